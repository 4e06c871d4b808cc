/** Mesh nodes over loopback for tests: started on free ports, admitted to each other, stopped at the end. */

import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { createIdentity } from '../../src/mesh/identity.ts';
import type { MeshLimits } from '../../src/mesh/limits.ts';
import { createMesh, type JoinableMesh } from '../../src/mesh/mesh.ts';

type Teardown = { teardown(action: () => Promise<void> | void): void };

export type NodeOptions = {
  readonly identity?: Uint8Array;
  readonly listen?: readonly string[];
  readonly limits?: Partial<MeshLimits>;
};

let seed = 1;

/** A mesh node on a free loopback port; stops when the test ends. */
export async function startNode(t: Teardown, options: NodeOptions = {}): Promise<JoinableMesh> {
  const mesh = await createMesh(
    { logger: silentLogger, clock: systemClock, random: seededRandom(seed++) },
    {
      identity: options.identity ?? (await createIdentity()).bytes,
      listen: options.listen ?? ['/ip4/127.0.0.1/tcp/0'],
      limits: options.limits ?? {},
    },
  );
  t.teardown(() => mesh.stop());
  return mesh;
}

/** Admits all nodes to each other. */
export function admitAll(nodes: readonly JoinableMesh[]): void {
  const members = new Map(nodes.map((node) => [node.self, node.addresses()]));
  for (const node of nodes) node.admit(members);
}

/** `count` nodes that know and reach each other. */
export async function startCluster(
  t: Teardown,
  count: number,
  options: NodeOptions = {},
): Promise<JoinableMesh[]> {
  const nodes = await Promise.all(Array.from({ length: count }, () => startNode(t, options)));
  admitAll(nodes);
  await until(() => nodes.every((node) => node.peers().every((peer) => peer.connected)));
  return nodes;
}

/** Waits for a condition; rejects when it does not hold within `deadlineMs`. */
export async function until(condition: () => boolean, deadlineMs = 5000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
