/** Exponential backoff with jitter: how long to wait before try number n. */

import type { Random } from './random.ts';

export type BackoffOptions = {
  /** Wait before the first retry. Default 100 ms. */
  readonly initialMs?: number;
  /** Longest wait. Default 30 s. */
  readonly maxMs?: number;
  /** Growth per attempt. Default 2. */
  readonly factor?: number;
  /** Share of the wait that is random, 0 to 1. Default 0.2. */
  readonly jitter?: number;
};

/** The wait in milliseconds before retry `attempt` (0 for the first retry). */
export function backoffMs(attempt: number, random: Random, options: BackoffOptions = {}): number {
  const { initialMs = 100, maxMs = 30_000, factor = 2, jitter = 0.2 } = options;
  const full = Math.min(maxMs, initialMs * factor ** Math.min(attempt, 64));
  return full * (1 - jitter * random.float());
}
