/**
 * Linearizable reads on any node: ask the leader for a read position (it confirms with a quorum that it still
 * leads), then wait until that much is applied here. One round is in flight at a time; whoever asks meanwhile
 * shares the next, since a position is only good for those who asked before it was requested.
 */

import type { LogIndex, ReadState } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Random } from '../lib/random.ts';

type Waiter = {
  readonly endMs: number;
  readonly resolve: () => void;
  readonly reject: (error: SkeinError) => void;
};
type Round = { requestId: number; askedMs: number; index: LogIndex | undefined; waiters: Waiter[] };

export type ReadBarrierComponents = {
  readonly clock: Clock;
  readonly random: Random;
  /** Asks the core for a position; false if it cannot be asked now. */
  readonly request: (requestId: number) => boolean;
  readonly applied: () => LogIndex;
};

/** After this long without an answer a round is asked again: the request or its answer was lost. */
const RETRY_MS = 300;
/** Highest number a process begins its requests with: leaves room for as many again. */
const FIRST_REQUEST_MAX = 2 ** 52;
/** Most readers waiting at once. */
const WAITERS_MAX = 100_000;

/** The barriers of one node. */
export class ReadBarrier {
  readonly #components: ReadBarrierComponents;
  #lastRequestId: number;
  #round: Round | undefined;
  #next: Waiter[] = [];

  constructor(components: ReadBarrierComponents) {
    this.#components = components;
    // A late answer to the process before this one must not pass for an answer to this one.
    this.#lastRequestId = components.random.int(1, FIRST_REQUEST_MAX);
  }

  wait(deadlineMs: number): Promise<void> {
    if (this.#next.length >= WAITERS_MAX) {
      const text = `${WAITERS_MAX} reads are waiting for the leader`;
      return Promise.reject(new SkeinError('no-leader', text, { retryable: true }));
    }
    const endMs = this.#components.clock.monotonicMs() + deadlineMs;
    return new Promise((resolve, reject) => {
      this.#next.push({ endMs, resolve, reject });
      // Those who ask in the same turn share the round.
      if (this.#next.length === 1) queueMicrotask(() => this.#begin());
    });
  }

  /** The core's answer to a request. */
  confirmed(state: ReadState): void {
    const round = this.#round;
    if (round === undefined || round.requestId !== state.requestId) return;
    round.index = state.index;
    this.applied();
  }

  /** The applied position moved. */
  applied(): void {
    const round = this.#round;
    if (round?.index === undefined || round.index > this.#components.applied()) return;
    this.#round = undefined;
    for (const waiter of round.waiters) waiter.resolve();
    this.#begin();
  }

  /** Deadlines and repeats. Called with every tick. */
  sweep(): void {
    const nowMs = this.#components.clock.monotonicMs();
    this.#next = expire(this.#next, nowMs);
    const round = this.#round;
    if (round !== undefined) {
      round.waiters = expire(round.waiters, nowMs);
      if (round.waiters.length === 0) this.#round = undefined;
      else if (round.index === undefined && nowMs - round.askedMs >= RETRY_MS) this.#ask(round);
    }
    this.#begin();
  }

  /** Who leads has changed: the old leader will not answer any more. */
  leaderChanged(): void {
    if (this.#round !== undefined && this.#round.index === undefined) this.#ask(this.#round);
    this.#begin();
  }

  stop(): void {
    const error = new SkeinError('aborted', 'the node is stopping');
    for (const waiter of [...this.#next.splice(0), ...(this.#round?.waiters ?? [])]) {
      waiter.reject(error);
    }
    this.#round = undefined;
  }

  #begin(): void {
    if (this.#round !== undefined || this.#next.length === 0) return;
    const waiters = this.#next;
    this.#next = [];
    this.#round = { requestId: 0, askedMs: 0, index: undefined, waiters };
    this.#ask(this.#round);
  }

  /** A request that cannot be made now is made again by a later sweep. */
  #ask(round: Round): void {
    round.requestId = ++this.#lastRequestId;
    round.askedMs = this.#components.clock.monotonicMs();
    if (!this.#components.request(round.requestId)) round.askedMs = Number.NEGATIVE_INFINITY;
  }
}

function expire(waiters: readonly Waiter[], nowMs: number): Waiter[] {
  const kept: Waiter[] = [];
  for (const waiter of waiters) {
    if (waiter.endMs > nowMs) kept.push(waiter);
    else {
      const text =
        'no leader confirmed the read before its deadline: a quorum of voters is out of reach';
      waiter.reject(new SkeinError('no-leader', text, { retryable: true }));
    }
  }
  return kept;
}
