/**
 * Raft's unit of time, from a clock that may stall: a process that was paused or busy has not heard its peers,
 * which is no sign that they are silent. Missed ticks are never made up for, and a late one of a node that does
 * not lead is left out, so that what arrived meanwhile is read first; but never two in a row, or a
 * machine that is always late would never elect anybody.
 */

import type { Clock, Timer } from '../lib/clock.ts';

export type TickerOptions = {
  /** Time between ticks. Default 50 ms. */
  readonly tickMs?: number;
  /** Told with every tick how late it is. */
  readonly onLate?: (lateMs: number) => void;
  /** Told of each stall, with how late the tick was. */
  readonly onStall?: (lateMs: number) => void;
};

/** A tick later than this many periods is a stall. */
const STALL_PERIODS = 3;

/** Calls `tick` until stopped. */
export class Ticker {
  readonly #clock: Clock;
  readonly #tick: () => void;
  /** True if a late tick may be left out. */
  readonly #lenient: () => boolean;
  readonly #tickMs: number;
  readonly #onLate: ((lateMs: number) => void) | undefined;
  readonly #onStall: ((lateMs: number) => void) | undefined;
  #timer: Timer | undefined;
  #leftOut = false;

  constructor(clock: Clock, tick: () => void, lenient: () => boolean, options: TickerOptions = {}) {
    this.#clock = clock;
    this.#tick = tick;
    this.#lenient = lenient;
    this.#tickMs = options.tickMs ?? 50;
    this.#onLate = options.onLate;
    this.#onStall = options.onStall;
  }

  start(): void {
    const dueMs = this.#clock.monotonicMs() + this.#tickMs;
    this.#timer = this.#clock.after(this.#tickMs, () => {
      const lateMs = this.#clock.monotonicMs() - dueMs;
      this.start();
      this.#onLate?.(Math.max(0, lateMs));
      const stalled = lateMs > this.#tickMs * (STALL_PERIODS - 1);
      if (stalled) this.#onStall?.(lateMs);
      this.#leftOut = stalled && !this.#leftOut && this.#lenient();
      if (!this.#leftOut) this.#tick();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
