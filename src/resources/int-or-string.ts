/** Numbers that may also be percentages: how many pods `25%` of ten are, rounded up or down. */

const PERCENT = /^(\d+)%$/;

/** The percentage that `value` states, or undefined if it is no percentage. */
export function percentOf(value: number | string | undefined): number | undefined {
  if (typeof value !== 'string') return undefined;
  const digits = PERCENT.exec(value)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The count that `value` stands for out of `total`: itself if a number, its share if a percentage, `undefined` if neither. */
export function scaledValue(
  value: number | string | undefined,
  total: number,
  rounding: 'up' | 'down',
): number | undefined {
  if (typeof value === 'number') return value;
  const percent = percentOf(value);
  if (percent === undefined) return undefined;
  const share = (percent * total) / 100;
  return rounding === 'up' ? Math.ceil(share) : Math.floor(share);
}

/**
 * The limits of a rolling update in pods: the surge rounds up, the unavailable down; when both come to nothing, one pod may be
 * unavailable, or the update could never proceed.
 */
export function rollingLimits(
  maxSurge: number | string | undefined,
  maxUnavailable: number | string | undefined,
  desired: number,
): { readonly surge: number; readonly unavailable: number } {
  const surge = scaledValue(maxSurge ?? 0, desired, 'up') ?? 0;
  const unavailable = scaledValue(maxUnavailable ?? 0, desired, 'down') ?? 0;
  return surge === 0 && unavailable === 0 ? { surge: 0, unavailable: 1 } : { surge, unavailable };
}
