/** How a group begins: with an empty store, and with each other. */

import { foundingConfState } from '../../raft/config-change.ts';
import type { NodeId, SnapshotMeta } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import type { Host } from './machine/host.ts';
import type { World } from './world/world.ts';

/** The snapshot that `voters` found their group with. */
export function foundingOf(voters: readonly NodeId[]): SnapshotMeta {
  return { index: asIndex(1), term: asTerm(1), confState: foundingConfState(voters) };
}

/** Puts the founding snapshot on the disks of the voters. */
export async function found(
  world: World,
  meta: SnapshotMeta,
  hostOf: (node: NodeId) => Host,
): Promise<void> {
  const source = new world.product.StoreState().snapshot();
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.chunks()) chunks.push(chunk);
  const hardState = { term: meta.term, vote: undefined, commit: meta.index };
  for (const node of meta.confState.voters) {
    await hostOf(node).disk.found(meta, Buffer.concat(chunks), hardState);
  }
}
