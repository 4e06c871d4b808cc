/** Takes a proposal to whoever leads: here, elsewhere, or as soon as somebody does. */

import type { NodeId } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Forwarder } from './forwarding.ts';
import type { Leadership } from './leadership.ts';
import type { LocalOutcome, Proposals } from './proposals.ts';
import type { ProposeOptions, ProposeResult } from './types.ts';

export type ProposalRouterComponents = {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly leadership: Leadership;
  readonly proposals: Proposals;
  readonly forwarder: Forwarder;
};

const DEADLINE_MS = 5_000;
/** A refused proposal is tried again after this long, or when the leader changes. */
const REFUSED_PAUSE_MS = 25;

/** The proposals of one node, wherever they go. */
export class ProposalRouter {
  readonly #components: ProposalRouterComponents;
  #stopped = false;

  constructor(components: ProposalRouterComponents) {
    this.#components = components;
  }

  /** See Consensus.propose. Only what certainly had no effect is tried again. */
  async propose(data: Uint8Array, options: ProposeOptions): Promise<ProposeResult> {
    const { clock, leadership, proposals, forwarder, self } = this.#components;
    const { deadlineMs = DEADLINE_MS, leaderWaitMs = deadlineMs, signal } = options;
    proposals.requireFit(data);
    const endMs = clock.monotonicMs() + deadlineMs;
    let refusal: string | undefined;
    /** When the present time without a leader will have been too long. */
    let leaderlessEndMs: number | undefined;
    for (;;) {
      if (this.#stopped) return { kind: 'dropped', reason: 'the node is stopping' };
      if (signal?.aborted) return { kind: 'dropped', reason: 'withdrawn before it was sent' };
      const remainingMs = endMs - clock.monotonicMs();
      if (remainingMs <= 0) return refused(refusal);
      const { leader } = leadership;
      if (leader === undefined) {
        refusal = undefined;
        const nowMs = clock.monotonicMs();
        leaderlessEndMs ??= nowMs + leaderWaitMs;
        if (nowMs >= leaderlessEndMs) return refused(undefined);
        await this.#pause(Math.min(endMs, leaderlessEndMs) - nowMs, signal);
        continue;
      }
      leaderlessEndMs = undefined;
      const home = leader === self ? proposals : forwarder;
      const outcome = await withdrawable(home.propose(data, remainingMs), signal);
      if (outcome.kind !== 'refused') return outcome;
      refusal = outcome.reason;
      await this.#pause(Math.min(REFUSED_PAUSE_MS, endMs - clock.monotonicMs()), signal);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Until the leader changes, but no longer than `delayMs`. */
  #pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock, leadership } = this.#components;
    return new Promise<void>((resolve) => {
      const wake = () => {
        timer.cancel();
        withdraw();
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timer = clock.after(Math.max(0, delayMs), wake);
      const withdraw = leadership.onNextLeader(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}

function refused(refusal: string | undefined): ProposeResult {
  if (refusal !== undefined) return { kind: 'dropped', reason: refusal };
  return { kind: 'dropped', reason: 'no leader was found in time', code: 'no-leader' };
}

/** A caller that withdraws does not learn what becomes of its proposal. */
function withdrawable(
  outcome: Promise<LocalOutcome>,
  signal: AbortSignal | undefined,
): Promise<LocalOutcome> {
  if (signal === undefined) return outcome;
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve({ kind: 'unknown', reason: 'withdrawn while in flight' });
    signal.addEventListener('abort', onAbort, { once: true });
    outcome.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
