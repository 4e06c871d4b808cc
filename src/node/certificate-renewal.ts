/**
 * New certificates for a process that runs for longer than they last. They are made anew well before their end, by the wall
 * clock, which is what those who verify them go by.
 */

import type { Clock, Timer } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';

export type RenewalComponents = {
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes and installs new certificates. */
  readonly renew: () => Promise<void>;
};

/** A twelfth of their life: many failures in a row do no harm. */
export const RENEW_AFTER_MS = 30 * 86_400_000;
/** Timers of months do not exist, and a suspended machine stops them. */
export const CHECK_MS = 3_600_000;

/** Starts to renew; returns how to stop. */
export function startRenewal({ clock, log, renew }: RenewalComponents): () => void {
  let madeAtMs = clock.nowMs();
  let timer: Timer;
  let stopped = false;
  const check = async (): Promise<void> => {
    const age = clock.nowMs() - madeAtMs;
    // A clock that was set back by far says nothing of their age: rather too early.
    if (age < 0 || age >= RENEW_AFTER_MS) {
      try {
        await renew();
        madeAtMs = clock.nowMs();
        log.info({}, 'the certificates of this node were renewed');
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'the certificates of this node were not renewed');
      }
    }
    if (!stopped) schedule();
  };
  const schedule = (): void => {
    timer = clock.after(CHECK_MS, () => void check());
  };
  schedule();
  return () => {
    stopped = true;
    timer.cancel();
  };
}
