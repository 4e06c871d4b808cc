/** Times as the API writes them, and as timers can bear them. */

/** RFC 3339 with seconds, as the API's times are. */
export function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The furthest a timer can be set; beyond it timers fire at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** A duration that a timer can bear: user-given seconds may run to decades. */
export function timerMs(ms: number): number {
  return Math.min(TIMER_MS_MAX, Math.max(0, ms));
}
