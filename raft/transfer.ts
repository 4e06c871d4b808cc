/**
 * Handing leadership over on purpose (dissertation 3.10): the leader takes no proposals, brings the
 * target up to date, and tells it to campaign at once. It gives up after an election timeout.
 */

import type { Core } from './core.ts';
import { maybeCampaign } from './election.ts';
import { isVoter } from './quorum.ts';
import { completeTransfer, nudge } from './replication.ts';
import type { NodeId } from './types.ts';

/** Begins a hand-over to `target`; a follower passes the wish on to the leader. */
export function transferLeadership(core: Core, target: NodeId): void {
  if (core.role === 'leader') {
    beginTransfer(core, target);
    return;
  }
  const { id: from, leader: to, term } = core;
  if (to === undefined) {
    core.settings.trace?.('transfer-ignored', { target, reason: 'no leader is known' });
    return;
  }
  core.messages.push({ type: 'transfer-leader', from, to, term, target });
}

/** On the leader: the newest wish counts, an equal one does not begin again. */
export function beginTransfer(core: Core, target: NodeId): void {
  const progress = core.peers.get(target);
  const reason = whyNotTo(core, target);
  if (reason !== undefined || progress === undefined) {
    core.settings.trace?.('transfer-ignored', { target, reason: reason ?? 'is no member' });
    return;
  }
  core.transferTarget = target;
  // The time allowed begins now.
  core.electionElapsed = 0;
  core.settings.trace?.('transfer', { target });
  if (progress.match === core.log.lastIndex) completeTransfer(core, progress);
  else nudge(core, progress);
}

/** The hand-over will not happen: it took too long, or its target cannot lead any more. */
export function abortTransfer(core: Core, reason: string): void {
  if (core.transferTarget === undefined) return;
  core.settings.trace?.('transfer-aborted', { target: core.transferTarget, reason });
  core.transferTarget = undefined;
}

/** The leader told us to take over: at once, or when a committed membership change is applied. */
export function handleTimeoutNow(core: Core): void {
  core.takeOverDue = core.log.hasUnappliedConfig();
  if (!core.takeOverDue) maybeCampaign(core, 'transfer');
}

/** Something was applied: a take-over may have waited for it. */
export function maybeTakeOver(core: Core): void {
  if (core.takeOverDue && core.role === 'follower') handleTimeoutNow(core);
}

function whyNotTo(core: Core, target: NodeId): string | undefined {
  if (target === core.id) return 'leads already';
  if (core.transferTarget === target) return 'is under way';
  // Leaving the joint state demotes or removes those who vote in its outgoing half only.
  if (!isVoter({ voters: core.confState.voters, votersOutgoing: [] }, target)) return 'is no voter';
  return undefined;
}
