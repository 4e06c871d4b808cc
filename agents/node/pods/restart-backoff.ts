/** The crash-loop delay of upstream's kubelet: none, then 10 s doubling to 300 s, forgotten after 10 min. */

import type { ContainerExit, RestartBackoff } from './record.ts';

export type RestartBackoffOptions = {
  /** Delay before the second restart. Default 10 s. */
  readonly initialMs: number;
  /** Longest delay. Default 300 s. */
  readonly maxMs: number;
};

export const RESTART_BACKOFF_DEFAULTS: RestartBackoffOptions = {
  initialMs: 10_000,
  maxMs: 300_000,
};

/** `start` now, with the delay the next exit will meet; or `wait` until a time. */
export type RestartDecision =
  | { readonly kind: 'start'; readonly backoff: RestartBackoff }
  | { readonly kind: 'wait'; readonly untilMs: number; readonly delayMs: number };

/** Whether a container that ended with `exit` may be started again at `nowMs`. */
export function decideRestart(
  exit: ContainerExit,
  backoff: RestartBackoff | undefined,
  nowMs: number,
  options: RestartBackoffOptions,
): RestartDecision {
  // A run that lasted longer than twice the maximum since the delay was set counts as healthy.
  const forgotten =
    backoff === undefined || exit.finishedAtMs - backoff.setAtMs > 2 * options.maxMs;
  if (forgotten) {
    return { kind: 'start', backoff: { delayMs: options.initialMs, setAtMs: nowMs } };
  }
  const untilMs = exit.finishedAtMs + backoff.delayMs;
  if (nowMs < untilMs) return { kind: 'wait', untilMs, delayMs: backoff.delayMs };
  const delayMs = Math.min(options.maxMs, backoff.delayMs * 2);
  return { kind: 'start', backoff: { delayMs, setAtMs: nowMs } };
}

/** A delay in the way Go prints one: 10s, 1m20s, 5m0s. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds === 0) return `${ms}ms`;
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${seconds % 60}s`;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds % 60}s`;
}
