/**
 * The queue between what happens and what is done about it. It holds keys, never events, so its
 * length is bounded by the number of objects, and a storm of changes to one object is one piece of
 * work.
 *
 * Laws (each is a test): a key waits at most once; a key that is being worked on is never handed
 * out again; a key added meanwhile runs once more afterwards; keys come out in the order they were
 * added; a delayed add keeps the earliest time; failures of a key delay its next turn exponentially
 * until it is forgotten.
 */

import { abortError } from '../lib/async.ts';
import { type BackoffOptions, backoffMs } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Random } from '../lib/random.ts';

export type WorkQueueComponents = { readonly clock: Clock; readonly random: Random };

/** Waits between retries of one key. Default 50 ms doubling to 60 s. */
export const RETRY_BACKOFF: Required<BackoffOptions> = {
  initialMs: 50,
  maxMs: 60_000,
  factor: 2,
  jitter: 0.2,
};

type Delayed = { readonly dueMs: number; readonly timer: Timer };
type Waiter = (key: string) => void;

export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #backoff: BackoffOptions;
  /** Keys that wait, in order. A Set keeps insertion order and removes duplicates. */
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  /** Keys added while being worked on. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers = new Set<Waiter>();
  #closed = false;

  constructor(components: WorkQueueComponents, backoff: BackoffOptions = RETRY_BACKOFF) {
    this.#clock = components.clock;
    this.#random = components.random;
    this.#backoff = backoff;
  }

  /** Keys that wait for their turn, delayed ones excluded. */
  get depth(): number {
    return this.#waiting.size + this.#again.size;
  }

  /** True if nothing waits, runs or is delayed. */
  get idle(): boolean {
    return this.depth === 0 && this.#working.size === 0 && this.#delayed.size === 0;
  }

  /** Queues `key` now, unless it waits already. Cancels a delayed add of the same key. */
  add(key: string): void {
    if (this.#closed) return;
    this.#undelay(key);
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    const [taker] = this.#takers;
    if (taker === undefined) {
      this.#waiting.add(key);
      return;
    }
    this.#takers.delete(taker);
    this.#working.add(key);
    taker(key);
  }

  /** Queues `key` after `delayMs`; of several delayed adds the earliest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#closed) return;
    if (!(delayMs > 0)) {
      this.add(key);
      return;
    }
    if (this.#waiting.has(key) || this.#again.has(key)) return;
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const earlier = this.#delayed.get(key);
    if (earlier !== undefined && earlier.dueMs <= dueMs) return;
    this.#undelay(key);
    const timer = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, timer });
  }

  /**
   * Counts a failure of `key` and queues it after the wait that its failures have earned; returns
   * that wait.
   */
  addRateLimited(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const delayMs = backoffMs(failures, this.#random, this.#backoff);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** Forgets the failures of `key`: its next retry waits the initial time. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Failures of `key` since it was last forgotten. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, marked as being worked on until `done`. Rejects when the signal fires. */
  take(signal: AbortSignal): Promise<string> {
    if (signal.aborted) return Promise.reject(abortError(signal));
    const [key] = this.#waiting;
    if (key !== undefined) {
      this.#waiting.delete(key);
      this.#working.add(key);
      return Promise.resolve(key);
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#takers.delete(taker);
        reject(abortError(signal));
      };
      const taker: Waiter = (next) => {
        signal.removeEventListener('abort', onAbort);
        resolve(next);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#takers.add(taker);
    });
  }

  /** Ends the work on `key`; if it was added meanwhile, it is queued again. */
  done(key: string): void {
    this.#working.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Drops everything that waits and refuses new keys. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#again.clear();
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#failures.clear();
  }

  #undelay(key: string): void {
    this.#delayed.get(key)?.timer.cancel();
    this.#delayed.delete(key);
  }
}
