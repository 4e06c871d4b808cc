/** One process's clock on virtual time: it may run fast or slow, and its wall time may jump. */

import type { Clock, Timer } from '../../../src/lib/clock.ts';
import type { World } from '../world/world.ts';

/** Wall time at the start of every run: 2030-01-01. */
const START_MS = 1_893_456_000_000;

export type ClockComponents = {
  readonly world: World;
  /** Runs `action` in a turn of the process, unless it has ended. */
  readonly turn: (action: () => void) => void;
  /** How fast the clock runs: 1.1 is a tenth too fast. */
  readonly rate: number;
  /** What the machine's wall clock is wrong by, now. */
  readonly wallErrorMs: () => number;
  /** How long the event loop takes to come to what was put off. */
  readonly lagMs: () => number;
};

/** See the module comment. */
export function processClock(components: ClockComponents): Clock {
  const { world, turn, rate, wallErrorMs, lagMs } = components;
  return {
    nowMs: () => START_MS + world.nowMs * rate + wallErrorMs(),
    monotonicMs: () => world.nowMs * rate,
    after(delayMs, action): Timer {
      let cancelled = false;
      world.after(Math.max(0, delayMs) / rate, () => {
        if (cancelled) return;
        // What was overdue while the process stood still may be cancelled before its turn comes.
        turn(() => {
          if (!cancelled) action();
        });
      });
      return {
        cancel: () => {
          cancelled = true;
        },
      };
    },
    soon: (action) => world.after(lagMs(), () => turn(action)),
  };
}
