/**
 * Who should vote: a pure decision from what the leader knows, one small step at a time. Members join as learners; the
 * leader promotes those that keep up, in pairs where one alone would leave an even number of voters; it replaces
 * voters that are gone, and spreads the votes over zones.
 *
 * Three rules hold in every round. No promotion comes together with a demotion: of two half-known machines one at a time
 * is judged. No step is taken that the voters within reach could not carry. And no step lowers the number of further
 * losses that the group can bear: a gone voter steps back before its stand-in comes (the majority of the rest is as
 * large as before, and the stand-in may fail like any other), a living one only after its stand-in votes.
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
  /**
   * What the cluster says of its members; empty while it says nothing. A member that is missing in it is stale: left over
   * from a join or a removal that broke off. Default: nothing is said.
   */
  readonly directory?: () => ReadonlyMap<NodeId, MemberFacts>;
};

export type MemberFacts = {
  /** Members that are likely to fail together. Undefined: not known, so that it fails alone. */
  readonly zone?: string | undefined;
};

/** The limits of the decision. */
export type MembershipLimits = Required<
  Pick<MembershipOptions, 'votersMax' | 'promotionStableMs' | 'voterGoneMs'>
>;

/** What the leader knows of one member. */
export type MemberView = {
  readonly node: NodeId;
  readonly zone: string | undefined;
  /** True if the cluster does not know it. */
  readonly stale: boolean;
  /** How long it has been caught up and answering; 0 if it is not. */
  readonly healthyMs: number;
  /** How long ago it was last known to answer. Whoever has not answered this leader yet is not present. */
  readonly silentMs: number;
};

export type MembershipView = {
  readonly self: NodeId;
  readonly confState: ConfState;
  /** Every member, also the leader itself, for whom only the zone counts. */
  readonly members: readonly MemberView[];
};

/** A change and why it is made; several steps are one joint change. */
export type MembershipDecision = {
  readonly why: string;
  readonly steps: readonly ConfChangeStep[];
};

/** Silence up to this long is the grain of observation, not absence. */
export const PRESENT_MS = 2_000;

/** How many of `members` should vote: an odd number, as two of two is less safe than one of one. */
export function votersTarget(members: number, votersMax: number): number {
  const wanted = Math.min(members, votersMax);
  return wanted % 2 === 1 ? wanted : Math.max(1, wanted - 1);
}

/** The next change to make; undefined if there is none, or one is under way. */
export function decideMembership(
  view: MembershipView,
  limits: MembershipLimits,
): MembershipDecision | undefined {
  if (view.confState.votersOutgoing.length > 0) return undefined;
  const council = new Council(view, limits);
  return (
    council.removeStale() ??
    council.demoteSurplus() ??
    council.demoteGone() ??
    council.promote() ??
    council.rebalance()
  );
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
  const majority = majorityOf(rest.length);
  if (reachable.length >= majority) return undefined;
  return `only ${reachable.length} of the remaining ${rest.length} voters can be reached, and ${majority} are needed`;
}

/** The rules, each looking at the same view. Among equals the order of ids decides. */
class Council {
  readonly #self: NodeId;
  readonly #limits: MembershipLimits;
  readonly #voters: readonly MemberView[];
  readonly #learners: readonly MemberView[];
  /** Learners that may be promoted. */
  readonly #ready: readonly MemberView[];
  readonly #target: number;

  constructor({ self, confState, members }: MembershipView, limits: MembershipLimits) {
    this.#self = self;
    this.#limits = limits;
    const known = new Map(members.map((member) => [member.node, member]));
    const look = (nodes: readonly NodeId[]) =>
      [...nodes].sort().map((node) => known.get(node) ?? unseen(node));
    this.#voters = look(confState.voters);
    this.#learners = look(confState.learners);
    this.#ready = this.#learners.filter(
      (one) => !one.stale && this.#isPresent(one) && one.healthyMs >= limits.promotionStableMs,
    );
    // A learner that is gone, or never came, must not make the group wait for it.
    const lasting = this.#learners.filter((member) => !this.#isGone(member)).length;
    this.#target = votersTarget(this.#voters.length + lasting, limits.votersMax);
  }

  /** Whom the cluster does not know goes for good, once it has been silent for long; learners first. */
  removeStale(): MembershipDecision | undefined {
    const stale = (member: MemberView) => member.stale && this.#isGone(member);
    const learner = this.#learners.find(stale);
    if (learner !== undefined) return remove(learner);
    const voter = this.#voters.find(stale);
    return voter !== undefined && this.#canSpare(voter) ? remove(voter) : undefined;
  }

  /** The gone step back first, then the silent, then those whose zone has most votes; never the leader. */
  demoteSurplus(): MembershipDecision | undefined {
    if (this.#voters.length <= this.#target) return undefined;
    const others = this.#voters.filter(({ node }) => node !== this.#self);
    const crowding = zonesOf(this.#voters);
    const node =
      others.find((voter) => this.#isGone(voter)) ??
      others.find((voter) => !this.#isPresent(voter)) ??
      others.reduce<MemberView | undefined>(
        (worst, voter) =>
          worst !== undefined && crowding(worst) > crowding(voter) ? worst : voter,
        undefined,
      );
    if (node === undefined || !this.#canSpare(node)) return undefined;
    return demote(node, `${this.#voters.length} vote and ${this.#target} should`);
  }

  /** Only if somebody is there to take the vote. */
  demoteGone(): MembershipDecision | undefined {
    const gone = this.#voters.find((voter) => this.#isGone(voter));
    if (gone === undefined || this.#ready.length === 0 || !this.#canSpare(gone)) return undefined;
    return demote(gone, `it has been silent for ${Math.round(gone.silentMs / 1000)} s`);
  }

  promote(): MembershipDecision | undefined {
    const missing = this.#target - this.#voters.length;
    const wanted = this.#voters.length % 2 === 1 ? 2 : 1;
    if (missing < wanted || this.#ready.length < wanted) return undefined;
    const chosen: MemberView[] = [];
    while (chosen.length < wanted) {
      const crowding = zonesOf([...this.#voters, ...chosen]);
      const left = this.#ready.filter((member) => !chosen.includes(member));
      const best = left.reduce((a, b) => (crowding(b) < crowding(a) ? b : a));
      chosen.push(best);
    }
    if (!this.#canCarry(chosen)) return undefined;
    return promote(chosen, `${this.#voters.length} vote and ${this.#target} should`);
  }

  /** One vote more in a zone that has too few; the surplus steps back in the next round. */
  rebalance(): MembershipDecision | undefined {
    if (this.#voters.length !== this.#target || !this.#voters.every((one) => this.#isPresent(one)))
      return undefined;
    const crowding = zonesOf(this.#voters);
    const others = this.#voters.filter(({ node }) => node !== this.#self);
    const most = Math.max(0, ...others.map(crowding));
    const better = this.#ready.find((learner) => most - crowding(learner) >= 2);
    if (better === undefined || !this.#canCarry([better])) return undefined;
    return promote([better], `${most} of ${this.#voters.length} voters are in one zone`);
  }

  #isGone({ node, silentMs }: MemberView): boolean {
    return node !== this.#self && silentMs >= this.#limits.voterGoneMs;
  }

  #isPresent({ node, silentMs }: MemberView): boolean {
    return node === this.#self || silentMs < PRESENT_MS;
  }

  /** True if the voters without `voter` have a majority within reach. */
  #canSpare(voter: MemberView): boolean {
    const rest = this.#voters.filter(({ node }) => node !== voter.node);
    const present = rest.filter((one) => this.#isPresent(one)).length;
    return rest.length > 0 && present >= majorityOf(rest.length);
  }

  /** True if the voters have a majority within reach now, and with `more`, who are there. */
  #canCarry(more: readonly MemberView[]): boolean {
    const present = this.#voters.filter((one) => this.#isPresent(one)).length;
    const count = this.#voters.length;
    return present >= majorityOf(count) && present + more.length >= majorityOf(count + more.length);
  }
}

/** How many of `voters` fail together with a member; those without a zone fail alone. */
function zonesOf(voters: readonly MemberView[]): (member: MemberView) => number {
  const counts = new Map<string, number>();
  for (const { zone } of voters) {
    if (zone !== undefined) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  }
  return ({ zone }) => (zone === undefined ? 0 : (counts.get(zone) ?? 0));
}

/** A member of which nothing was seen yet is neither healthy nor gone. */
function unseen(node: NodeId): MemberView {
  return { node, zone: undefined, stale: false, healthyMs: 0, silentMs: PRESENT_MS };
}

function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

function remove({ node }: MemberView): MembershipDecision {
  return { why: 'the cluster does not know it', steps: [{ kind: 'remove', node }] };
}

function demote({ node }: MemberView, why: string): MembershipDecision {
  return { why, steps: [{ kind: 'add-learner', node }] };
}

function promote(members: readonly MemberView[], why: string): MembershipDecision {
  return { why, steps: members.map(({ node }) => ({ kind: 'add-voter', node })) };
}
