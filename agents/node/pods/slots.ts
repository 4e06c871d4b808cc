/**
 * Bounds how many containers start at once. A slot that is held too long is given to the next in line
 * although its holder goes on: one hung start must not delay other pods.
 */

import { abortError } from '../../../src/lib/async.ts';
import type { Clock, Timer } from '../../../src/lib/clock.ts';

export type SlotsOptions = {
  /** Most at once. Default 8. */
  readonly slotsMax?: number;
  /** A slot counts as free after this long. Default 10 s. */
  readonly heldMsMax?: number;
};

export class Slots {
  readonly #clock: Clock;
  readonly #heldMsMax: number;
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(clock: Clock, options: SlotsOptions = {}) {
    this.#clock = clock;
    this.#free = options.slotsMax ?? 8;
    this.#heldMsMax = options.heldMsMax ?? 10_000;
  }

  /** Runs `work` when a slot is free. Rejects with code aborted when the signal fires while waiting. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#acquire(signal);
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      timer.cancel();
      this.#release();
    };
    const timer: Timer = this.#clock.after(this.#heldMsMax, release);
    try {
      return await work();
    } finally {
      release();
    }
  }

  #acquire(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(abortError(signal));
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(proceed);
        reject(abortError(signal));
      };
      const proceed = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(proceed);
    });
  }

  /** Hands the slot to whoever waits longest. */
  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
