/**
 * The set arithmetic of membership (dissertation 4.1 to 4.3), free of any state. One step changes at
 * most one voter, so that old and new majorities overlap; several steps go through a joint state.
 *
 * Laws of a configuration: voters and learners are disjoint; `learnersNext` are voters that are on
 * their way out of the outgoing half; outside a joint state `votersOutgoing`, `learnersNext` and
 * `autoLeave` are empty or false; there is at least one voter; who was removed is no member ever again.
 */

import type { ConfChange, ConfChangeStep, ConfState, NodeId } from './types.ts';

export type ConfigOutcome =
  | { readonly kind: 'changed'; readonly confState: ConfState }
  /** The change makes no sense in this configuration; `reason` says why. */
  | { readonly kind: 'refused'; readonly reason: string };

/** The configuration of a member that knows none: what a joiner starts with. */
export const emptyConfState: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** The configuration a group of `voters` is founded with. It remembers whom it will remove. */
export function foundingConfState(voters: readonly NodeId[]): ConfState {
  return { ...emptyConfState, voters: [...voters].sort(), removed: [] };
}

/**
 * The context of a change from which on a group remembers whom it removes. To be proposed once all members know the
 * rule: the log alone must say what is refused, or members would apply a change differently.
 */
export const rememberingContext = Uint8Array.of(1);

/**
 * Most members that may be removed in the life of a group. All of them are remembered, by every snapshot: an id that was
 * forgotten could come back with a disk that knows nothing of its promises.
 */
export const removedMax = 10_000;

/** The configuration after `change`, or why it cannot be made from `current`. */
export function changeConfig(current: ConfState, change: ConfChange): ConfigOutcome {
  const refusal = whyNever(current, change.steps);
  if (refusal !== undefined) return refused(refusal);
  const outcome = makeChange(current, change);
  const remembers = current.removed !== undefined || change.context[0] === rememberingContext[0];
  if (outcome.kind === 'refused' || !remembers) return outcome;
  const members = membersOf(outcome.confState);
  const gone = [...membersOf(current)].filter((node) => !members.has(node)).sort();
  return changed({ ...outcome.confState, removed: [...(current.removed ?? []), ...gone] });
}

/** True if `node` was a member once and never may be again. */
export function isRemoved({ removed }: ConfState, node: NodeId): boolean {
  return removed?.includes(node) === true;
}

function whyNever(current: ConfState, steps: readonly ConfChangeStep[]): string | undefined {
  const returning = steps.find(({ kind, node }) => kind !== 'remove' && isRemoved(current, node));
  if (returning !== undefined) return `${returning.node} was removed, and ids are never reused`;
  const removals = steps.filter(({ kind }) => kind === 'remove').length;
  // Asked when a joint configuration is entered, as it has to be left whatever it removes.
  if (removals > 0 && (current.removed?.length ?? 0) + removals > removedMax) {
    return `${removedMax} members were removed from this group, and it cannot remember more`;
  }
  return undefined;
}

function makeChange(current: ConfState, change: ConfChange): ConfigOutcome {
  const joint = current.votersOutgoing.length > 0;
  const [first, second] = change.steps;
  if (first === undefined) {
    return joint ? leaveJoint(current) : refused('there is no joint configuration to leave');
  }
  if (joint) return refused('a joint configuration must be left first');
  return second === undefined ? simple(current, first) : enterJoint(current, change.steps);
}

/** Every member, in whatever capacity. */
export function membersOf(confState: ConfState): Set<NodeId> {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  return new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]);
}

/** Undefined if `confState` keeps the laws above, otherwise the one it breaks. */
export function brokenConfigLaw(confState: ConfState): string | undefined {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  if (learners.some((node) => voters.includes(node) || votersOutgoing.includes(node)))
    return 'a learner is no voter';
  if (learnersNext.some((node) => !votersOutgoing.includes(node)))
    return 'a learner to be is a voter of the outgoing half';
  if (learnersNext.some((node) => voters.includes(node)))
    return 'a learner to be is no voter of the incoming half';
  if (votersOutgoing.length === 0 && (learnersNext.length > 0 || autoLeave))
    return 'only a joint configuration has learners to be or leaves by itself';
  const members = membersOf(confState);
  if (confState.removed?.some((node) => members.has(node))) return 'who was removed is no member';
  return undefined;
}

function simple(current: ConfState, step: ConfChangeStep): ConfigOutcome {
  const voters = new Set(current.voters);
  const learners = new Set(current.learners);
  voters.delete(step.node);
  learners.delete(step.node);
  if (step.kind === 'add-voter') voters.add(step.node);
  if (step.kind === 'add-learner') learners.add(step.node);
  if (voters.size === 0) return refused('a group keeps at least one voter');
  return changed({ ...emptyConfState, voters: sorted(voters), learners: sorted(learners) });
}

function enterJoint(current: ConfState, steps: readonly ConfChangeStep[]): ConfigOutcome {
  const outgoing = new Set(current.voters);
  const voters = new Set(current.voters);
  const learners = new Set(current.learners);
  const learnersNext = new Set<NodeId>();
  for (const { kind, node } of steps) {
    voters.delete(node);
    learners.delete(node);
    learnersNext.delete(node);
    if (kind === 'add-voter') voters.add(node);
    // A demoted voter votes in the outgoing half until the joint state is left.
    if (kind === 'add-learner') (outgoing.has(node) ? learnersNext : learners).add(node);
  }
  if (outgoing.size === 0) return refused('a joint configuration starts from one with voters');
  if (voters.size === 0) return refused('a group keeps at least one voter');
  return changed({
    voters: sorted(voters),
    votersOutgoing: sorted(outgoing),
    learners: sorted(learners),
    learnersNext: sorted(learnersNext),
    autoLeave: true,
  });
}

function leaveJoint(current: ConfState): ConfigOutcome {
  const learners = sorted(new Set([...current.learners, ...current.learnersNext]));
  return changed({ ...emptyConfState, voters: sorted(new Set(current.voters)), learners });
}

function sorted(nodes: ReadonlySet<NodeId>): NodeId[] {
  return [...nodes].sort();
}

function changed(confState: ConfState): ConfigOutcome {
  return { kind: 'changed', confState };
}

function refused(reason: string): ConfigOutcome {
  return { kind: 'refused', reason };
}
