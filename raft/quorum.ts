/**
 * The arithmetic of majorities, single and joint (dissertation 4.3): a joint configuration decides
 * only what both of its halves decide. No state, no way back to the rest of the core.
 */

import type { ConfState, LogIndex, NodeId } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** The two halves of a configuration that votes are counted in. */
export type VoterSets = Pick<ConfState, 'voters' | 'votersOutgoing'>;

/** How many of `count` voters are a majority. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * The highest index that a majority of `voters` acknowledged, `ackOf` telling each one's own. An
 * empty half decides nothing and stands in nobody's way: Infinity.
 */
export function majorityIndex(voters: readonly NodeId[], ackOf: (node: NodeId) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const acks: number[] = [];
  for (const node of voters) {
    // Insertion keeps the few numbers in falling order without a comparator call per pair.
    const ack = ackOf(node);
    let at = acks.length;
    while (at > 0 && (acks[at - 1] ?? 0) < ack) {
      acks[at] = acks[at - 1] ?? 0;
      at--;
    }
    acks[at] = ack;
  }
  return acks[majorityOf(voters.length) - 1] ?? 0;
}

/** The highest index both halves acknowledged by majority. 0 when there is no voter at all. */
export function committedIndex(sets: VoterSets, ackOf: (node: NodeId) => number): LogIndex {
  const incoming = majorityIndex(sets.voters, ackOf);
  const outgoing = majorityIndex(sets.votersOutgoing, ackOf);
  const both = Math.min(incoming, outgoing);
  return (both === Number.POSITIVE_INFINITY ? 0 : both) as LogIndex;
}

/** The state of a poll in one half: `voteOf` gives true, false, or undefined for not yet. */
export function majorityVote(
  voters: readonly NodeId[],
  voteOf: (node: NodeId) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  let granted = 0;
  let missing = 0;
  for (const node of voters) {
    const vote = voteOf(node);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = majorityOf(voters.length);
  if (granted >= needed) return 'won';
  return granted + missing >= needed ? 'pending' : 'lost';
}

/** The state of a poll: won needs both halves, one lost half loses it. Without voters none is won. */
export function voteResult(
  sets: VoterSets,
  voteOf: (node: NodeId) => boolean | undefined,
): VoteResult {
  if (sets.voters.length === 0 && sets.votersOutgoing.length === 0) return 'lost';
  const incoming = majorityVote(sets.voters, voteOf);
  const outgoing = majorityVote(sets.votersOutgoing, voteOf);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

/** True if `node` has a vote in either half. */
export function isVoter(sets: VoterSets, node: NodeId): boolean {
  return sets.voters.includes(node) || sets.votersOutgoing.includes(node);
}

/** True if `node` alone decides everything. */
export function isSoleVoter(sets: VoterSets, node: NodeId): boolean {
  return sets.votersOutgoing.length === 0 && sets.voters.length === 1 && sets.voters[0] === node;
}
