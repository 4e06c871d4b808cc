/**
 * Who should vote: a pure decision from what the leader knows. Members join as learners; the leader promotes those
 * that keep up, in pairs where one alone would leave an even number of voters, replaces a voter that is gone for
 * long by a learner that is there, and never takes a step that the reachable voters cannot carry.
 */

import type { ConfChangeStep, ConfState, NodeId } from '../../raft/types.ts';

export type MembershipOptions = {
  /** Most voters: 1, 3 or 5. Default 5. */
  readonly votersMax?: number;
  /** Entries a learner may lag behind the commit index and still count as caught up. Default 500. */
  readonly promotionLagMax?: number;
  /** How long a learner must have kept up. Default 1000 ms. */
  readonly promotionStableMs?: number;
  /** How long a voter must be silent to be replaced by a learner. Default 60 000 ms. */
  readonly voterGoneMs?: number;
};

/** What the leader knows of one other member. */
export type MemberView = {
  readonly node: NodeId;
  /** How long it has been caught up and answering; 0 if it is not. */
  readonly healthyMs: number;
  /** How long ago it last answered, or, if it never did, since when it has been waited for. */
  readonly silentMs: number;
  /** True once it has answered this leader. */
  readonly heard: boolean;
};

export type MembershipView = {
  readonly self: NodeId;
  readonly confState: ConfState;
  /** Every member but the leader itself. */
  readonly others: readonly MemberView[];
};

/** Silence up to this long is the grain of observation, not absence. */
const PRESENT_MS = 2_000;

/** How many of `members` should vote: an odd number, as two of two is less safe than one of one. */
export function votersTarget(members: number, votersMax: number): number {
  const wanted = Math.min(members, votersMax);
  return wanted % 2 === 1 ? wanted : Math.max(1, wanted - 1);
}

/** The next change to make, or none. Several steps are one joint change. */
export function decideMembership(
  view: MembershipView,
  options: Required<MembershipOptions>,
): readonly ConfChangeStep[] {
  const steps = wantedSteps(view, options);
  return isCarried(view, steps) ? steps : [];
}

/**
 * True if most of those who would vote are here now. A new leader has not heard everybody yet: to demote a voter that
 * answers, while one that died with the last leader passes for present, costs the majority for good.
 */
function isCarried(
  { confState, others, self }: MembershipView,
  steps: readonly ConfChangeStep[],
): boolean {
  const voters = new Set(confState.voters);
  for (const { kind, node } of steps) {
    if (kind === 'add-voter') voters.add(node);
    else voters.delete(node);
  }
  const here = others.filter((member) => voters.has(member.node) && isPresent(member));
  return (here.length + (voters.has(self) ? 1 : 0)) * 2 > voters.size;
}

function wantedSteps(
  view: MembershipView,
  options: Required<MembershipOptions>,
): readonly ConfChangeStep[] {
  const { confState, others, self } = view;
  if (confState.votersOutgoing.length > 0) return [];
  const { voters, learners } = confState;
  const known = new Map(others.map((member) => [member.node, member]));
  const target = votersTarget(voters.length + learners.length, options.votersMax);
  const ready = learners
    .filter((node) => (known.get(node)?.healthyMs ?? 0) >= options.promotionStableMs)
    .sort();
  const present = (node: NodeId) => node === self || isPresent(known.get(node));
  const gone = voters
    .filter((node) => (known.get(node)?.silentMs ?? 0) >= options.voterGoneMs)
    .sort();
  if (voters.length > target) {
    // The silent go first; the leader never demotes itself.
    const candidates = voters.filter((node) => node !== self).sort();
    const node = gone[0] ?? candidates.find((voter) => !present(voter)) ?? candidates.at(-1);
    return node === undefined ? [] : [{ kind: 'add-learner', node }];
  }
  const missing = target - voters.length;
  const wanted = voters.length % 2 === 1 ? 2 : 1;
  if (missing >= wanted && ready.length >= wanted) {
    return ready.slice(0, wanted).map((node) => ({ kind: 'add-voter', node }));
  }
  const [absent] = gone;
  const [standIn] = ready;
  if (absent !== undefined && standIn !== undefined) {
    return [
      { kind: 'add-voter', node: standIn },
      { kind: 'add-learner', node: absent },
    ];
  }
  return [];
}

/** Why `node` must not be removed now, or undefined if it may be. `answering`: who answers at this moment, beside ourselves. */
export function removalFault(
  { id: self, confState }: { readonly id: NodeId; readonly confState: ConfState },
  node: NodeId,
  answering: ReadonlySet<NodeId>,
): string | undefined {
  if (!confState.voters.includes(node)) return undefined;
  const rest = confState.voters.filter((voter) => voter !== node);
  if (rest.length === 0) return 'it is the only voter';
  const reachable = rest.filter((voter) => voter === self || answering.has(voter));
  const majority = Math.floor(rest.length / 2) + 1;
  if (reachable.length >= majority) return undefined;
  return `only ${reachable.length} of the remaining ${rest.length} voters can be reached, and ${majority} are needed`;
}

function isPresent(member: MemberView | undefined): boolean {
  return member?.heard === true && member.silentMs < PRESENT_MS;
}
