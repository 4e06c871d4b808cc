/** Durations for people, as `kubectl get` shows ages: two units at most, and the coarser the longer. */

const SECOND_MS = 1000;
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** Clocks of machines differ a little: an age of up to this many seconds below zero still counts as zero. */
const SKEW_SECONDS = 1;

/** `5s`, `3m12s`, `47m`, `5h3m`, `2d4h`, `95d`, `3y120d`; `<invalid>` if clearly negative. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / SECOND_MS);
  if (seconds < -SKEW_SECONDS) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 2 * MINUTE) return `${seconds}s`;
  if (seconds < 10 * MINUTE) return twoUnits(seconds, [MINUTE, 'm'], [1, 's']);
  if (seconds < 3 * HOUR) return `${Math.trunc(seconds / MINUTE)}m`;
  if (seconds < 8 * HOUR) return twoUnits(seconds, [HOUR, 'h'], [MINUTE, 'm']);
  if (seconds < 2 * DAY) return `${Math.trunc(seconds / HOUR)}h`;
  if (seconds < 8 * DAY) return twoUnits(seconds, [DAY, 'd'], [HOUR, 'h']);
  if (seconds < 2 * YEAR) return `${Math.trunc(seconds / DAY)}d`;
  if (seconds < 8 * YEAR) return twoUnits(seconds, [YEAR, 'y'], [DAY, 'd']);
  return `${Math.trunc(seconds / YEAR)}y`;
}

/** The age of an RFC 3339 timestamp; `<unknown>` if there is none. */
export function ageOf(timestamp: string | null | undefined, nowMs: number): string {
  if (timestamp === undefined || timestamp === null || timestamp === '') return '<unknown>';
  const at = Date.parse(timestamp);
  return Number.isNaN(at) ? '<unknown>' : humanDuration(nowMs - at);
}

type Unit = readonly [seconds: number, suffix: string];

function twoUnits(seconds: number, [coarse, coarseName]: Unit, [fine, fineName]: Unit): string {
  const head = Math.trunc(seconds / coarse);
  const rest = Math.trunc((seconds % coarse) / fine);
  return rest === 0 ? `${head}${coarseName}` : `${head}${coarseName}${rest}${fineName}`;
}
