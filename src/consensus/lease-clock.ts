/**
 * The time by which a leader judges its leases. It must not stand still while the world goes on, as the monotonic
 * clock does when the machine sleeps: then promises made before would seem fresh. The wall clock notices, so whenever
 * it leaps ahead, this clock leaps with it. Wall time that is set forward by hand ends a lease too early, which costs
 * one round trip; set back it changes nothing.
 *
 * What cannot be noticed is a machine that is frozen from outside with all its clocks (a virtual machine that is
 * moved): such machines read by quorum.
 */

import type { Clock } from '../lib/clock.ts';

/** Differences up to this are the grain of the clocks. The core's own margin for a lease covers it. */
const LEAP_MS = 20;

/** One node's clock for leases. */
export class LeaseClock {
  readonly #clock: Clock;
  /** Wall time ahead of monotonic time, as far as it is accounted for. */
  #aheadMs: number;
  #leaptMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#aheadMs = clock.nowMs() - clock.monotonicMs();
  }

  /** Milliseconds since an arbitrary start; never back, never slower than either clock. */
  nowMs(): number {
    const monotonicMs = this.#clock.monotonicMs();
    const aheadMs = this.#clock.nowMs() - monotonicMs;
    const leapMs = aheadMs - this.#aheadMs;
    if (leapMs > LEAP_MS) this.#leaptMs += leapMs;
    if (Math.abs(leapMs) > LEAP_MS) this.#aheadMs = aheadMs;
    return monotonicMs + this.#leaptMs;
  }
}
