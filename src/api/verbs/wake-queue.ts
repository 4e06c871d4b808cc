/**
 * Wakes the readers of watches, some in each turn of the event loop. One write may concern ten thousand watchers, and
 * encoding and sending it to all of them takes a good part of a second: other work must get its turn in between.
 */

import type { Clock } from '../../lib/clock.ts';

/** Readers woken in one turn: a few milliseconds of work. */
const WAKES_PER_TURN = 64;

/** One per process. What waits is bounded by the number of watches: each waits at most once. */
export class WakeQueue {
  readonly #clock: Pick<Clock, 'soon'>;
  #waiting: (() => void)[] = [];
  #left = WAKES_PER_TURN;
  #scheduled = false;

  constructor(clock: Pick<Clock, 'soon'>) {
    this.#clock = clock;
  }

  /** Calls `wake` in this turn if it is among the first, otherwise in one of the next. */
  wake(wake: () => void): void {
    if (this.#left > 0) {
      this.#left--;
      wake();
    } else this.#waiting.push(wake);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    const next = this.#waiting.splice(0, WAKES_PER_TURN);
    this.#left = WAKES_PER_TURN - next.length;
    for (const wake of next) wake();
    if (this.#waiting.length > 0) this.#schedule();
    else this.#left = WAKES_PER_TURN;
  }
}
