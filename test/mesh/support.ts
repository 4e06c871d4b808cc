/** Mesh nodes over loopback for tests: started on free ports, admitted to each other, stopped at the end. */

import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { createIdentity } from '../../src/mesh/identity.ts';
import type { MeshLimits } from '../../src/mesh/limits.ts';
import { createMesh, type JoinableMesh } from '../../src/mesh/mesh.ts';
import type { WhereaboutsOptions } from '../../src/mesh/whereabouts.ts';

type Teardown = { teardown(action: () => Promise<void> | void): void };

export type NodeOptions = WhereaboutsOptions & {
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
      ...options,
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

/** A TCP relay whose traffic can be held back without closing anything: a host gone silent. */
export async function startRelay(t: Teardown, targetPort: number): Promise<Relay> {
  const sockets = new Set<Socket>();
  const relay = { silent: false, port: 0, connections: 0 };
  const server = createServer((near) => {
    relay.connections++;
    const far = connectTcp(targetPort, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => {
        if (!relay.silent) to.write(data);
      });
      from.on('close', () => {
        if (!relay.silent) to.destroy();
      });
      from.on('error', () => {});
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  relay.port = (server.address() as AddressInfo).port;
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return relay;
}

export type Relay = { silent: boolean; readonly port: number; readonly connections: number };

/** The TCP port a node listens on. */
export function portOf(node: JoinableMesh): number {
  return Number(/\/tcp\/(\d+)/.exec(node.addresses()[0] ?? '')?.[1]);
}
