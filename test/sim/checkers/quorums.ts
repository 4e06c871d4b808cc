/**
 * Majorities by their definition, for the checkers: written anew and naively, so that a mistake in the
 * core's arithmetic does not hide itself.
 */

import type { ConfState, NodeId } from '../../../raft/types.ts';

/** True if `nodes` hold a majority of each half that has voters. */
export function isQuorum(config: ConfState, nodes: ReadonlySet<NodeId>): boolean {
  const halves = [config.voters, config.votersOutgoing].filter((half) => half.length > 0);
  return (
    halves.length > 0 &&
    halves.every((half) => half.filter((node) => nodes.has(node)).length * 2 > half.length)
  );
}

/** A quorum of one and a quorum of the other that have no member in common, if there are such. */
export function disjointQuorums(a: ConfState, b: ConfState): readonly NodeId[] | undefined {
  const nodes = [...votersOf(new Set<NodeId>(), a, b)];
  for (let mask = 1; mask < 2 ** nodes.length; mask++) {
    const chosen = new Set(nodes.filter((_, at) => (mask >> at) & 1));
    const others = new Set(nodes.filter((node) => !chosen.has(node)));
    if (isQuorum(a, chosen) && isQuorum(b, others)) return [...chosen];
  }
  return undefined;
}

/** Everybody who votes in one of `configs`, added to `into`. */
export function votersOf(into: Set<NodeId>, ...configs: readonly ConfState[]): Set<NodeId> {
  for (const { voters, votersOutgoing } of configs) {
    for (const node of [...voters, ...votersOutgoing]) into.add(node);
  }
  return into;
}
