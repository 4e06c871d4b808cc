/**
 * Leases: reads that ask nobody. A member that answers a heartbeat promises to help nobody else to lead for a
 * while (LeaseOptions.promiseMs): it neither campaigns nor grants votes, whatever it hears meanwhile, also after it
 * forgot its leader. While the promises of a quorum hold, nobody else can have been elected, so what the leader knows
 * to be committed is everything that is.
 *
 * The leader counts a promise from when the heartbeat *left*, on its own clock; the member from when it *came*, in
 * its own ticks. So the leader's end comes first as long as clocks run equally fast within `clockDriftMax`. The one way
 * around a promise is a hand-over, and whoever told a peer to take over relies on no promise again in that term:
 * the message may arrive at any time. README.md has the whole argument.
 */

import type { Core } from './core.ts';
import type { Progress } from './progress.ts';
import { committedIndex } from './quorum.ts';
import type { Message } from './types.ts';

type HeartbeatResponse = Extract<Message, { type: 'heartbeat-response' }>;

/** The part of a promise that is left out because clocks do not run equally fast. */
const clockDriftMax = 0.1;
/** What is left out beside: timers that fire early, leaps of the clock that are too small to be noticed. */
const marginMs = 25;
/** Rounds of heartbeats whose time of leaving is remembered. */
const sentMax = 64;

/** Makes the promise that goes with the answer to a heartbeat: its length, undefined without leases. */
export function promise(core: Core): number | undefined {
  const { lease } = core.settings;
  if (lease === undefined) return undefined;
  core.lease.promiseElapsed = 0;
  return lease.promiseMs;
}

/** True while a promise of ours, or of the process before this one, may hold. */
export function hasPromised(core: Core): boolean {
  const { lease } = core.settings;
  return lease !== undefined && core.lease.promiseElapsed < lease.promiseTicks;
}

/**
 * The context of the periodic heartbeat: its own with leases, as each answer says which one it is of. Otherwise that
 * of the newest round of reads that waits, 0 if none does.
 */
export function heartbeatContext({ reads, settings }: Core): number {
  if (settings.lease !== undefined) return ++reads.context;
  return reads.rounds.length === 0 ? 0 : reads.context;
}

/** A round of heartbeats is on its way out. */
export function noteHeartbeatRound(core: Core, context: number): void {
  if (core.settings.lease === undefined) return;
  const { sent } = core.lease;
  sent.push({ context, atMs: undefined });
  if (sent.length > sentMax) sent.shift();
}

/** The batch that carries the newest heartbeats is taken now: none of them can arrive earlier. */
export function stampHeartbeats(core: Core, nowMs: number | undefined): void {
  const { sent } = core.lease;
  for (let at = sent.length - 1; at >= 0; at--) {
    const round = sent[at];
    if (round === undefined || round.atMs !== undefined) return;
    round.atMs = nowMs ?? Number.NEGATIVE_INFINITY;
  }
}

/** A peer answered a heartbeat; what it promised counts from when that heartbeat left. */
export function notePromise(
  core: Core,
  progress: Progress,
  { readContext, promiseMs }: HeartbeatResponse,
): void {
  const { lease } = core.settings;
  if (promiseMs === undefined || lease === undefined) return;
  const atMs = core.lease.sent.find(({ context }) => context === readContext)?.atMs;
  if (atMs === undefined) return;
  const untilMs = atMs + Math.min(promiseMs, lease.promiseMs) * (1 - clockDriftMax) - marginMs;
  progress.promisedUntilMs = Math.max(progress.promisedUntilMs, untilMs);
}

/** True if nobody else can have led up to `nowMs`. */
export function leaseHolds(core: Core, nowMs: number | undefined): boolean {
  if (nowMs === undefined || core.settings.lease === undefined || core.role !== 'leader') {
    return false;
  }
  if (core.lease.handedOver || core.transferTarget !== undefined) return false;
  if (core.leavingIndex !== undefined) return false;
  const until = (node: string): number =>
    node === core.id ? Number.MAX_VALUE : (core.peers.get(node)?.promisedUntilMs ?? 0);
  return nowMs < committedIndex(core.confState, until);
}
