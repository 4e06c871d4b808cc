/** How long each call of the runtime and the network may take. A call that exceeds its deadline fails alone. */

import { withDeadline } from '../../../src/lib/async.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { timerMs } from './times.ts';

export const DEADLINE_MS = {
  create: 60_000,
  start: 60_000,
  inspect: 10_000,
  list: 20_000,
  remove: 30_000,
  /** Beyond the grace period. */
  stop: 15_000,
  kill: 10_000,
  attach: 30_000,
  detach: 30_000,
  volumes: 60_000,
  logsTail: 5_000,
  api: 15_000,
} as const;

export type Bounded = { readonly clock: Clock; readonly signal: AbortSignal };

/** Runs one call under its deadline. */
export function bounded<T>(
  call: keyof typeof DEADLINE_MS,
  { clock, signal }: Bounded,
  work: (signal: AbortSignal) => Promise<T>,
  extraMs = 0,
): Promise<T> {
  const deadlineMs = timerMs(DEADLINE_MS[call] + extraMs);
  return withDeadline(work, { deadlineMs, clock, what: `the ${call} call`, signal });
}
