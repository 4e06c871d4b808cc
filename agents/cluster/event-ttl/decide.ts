/** When an Event has had its time. Pure: the present time comes in. */

import type { Event } from '../kinds.ts';

/** Clocks of nodes differ by less than this; a time further ahead is somebody's invention. */
const CLOCK_SKEW_MS_MAX = 5 * 60_000;

/**
 * When an Event was last told, in milliseconds since the epoch: the newest of the times on it. Times that lie ahead do not
 * count, or a made-up one would keep its Event for ever.
 */
export function lastToldMs(event: Event, nowMs: number): number {
  const { metadata, eventTime, firstTimestamp, lastTimestamp, series } = event;
  const times = [
    metadata.creationTimestamp,
    eventTime,
    firstTimestamp,
    lastTimestamp,
    series?.lastObservedTime,
  ];
  let newest: number | undefined;
  for (const time of times) {
    const ms = Date.parse(time ?? '');
    if (Number.isNaN(ms) || ms > nowMs + CLOCK_SKEW_MS_MAX) continue;
    if (newest === undefined || ms > newest) newest = ms;
  }
  return newest ?? nowMs;
}
