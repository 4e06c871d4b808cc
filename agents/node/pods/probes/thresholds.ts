/** When a row of probe results counts: thresholds and schedule. Pure. */

import type { Probe } from '../kinds.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

export type CheckResult = { readonly kind: 'success' | 'failure'; readonly message: string };

/** Results in a row of the same kind. */
export type ProbeState = { readonly last: CheckResult['kind'] | undefined; readonly inRow: number };

export const PROBE_KINDS: readonly ProbeKind[] = ['startup', 'liveness', 'readiness'];
export const FRESH: ProbeState = { last: undefined, inRow: 0 };

const PERIOD_SECONDS = 10;
const TIMEOUT_SECONDS = 1;
const FAILURES = 3;

/** Counts a result; `verdict` is set when its threshold is reached. */
export function countResult(
  state: ProbeState,
  result: CheckResult['kind'],
  probe: Probe,
): { readonly state: ProbeState; readonly verdict: CheckResult['kind'] | undefined } {
  const inRow = state.last === result ? state.inRow + 1 : 1;
  const needed =
    result === 'success' ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? FAILURES);
  return { state: { last: result, inRow }, verdict: inRow >= needed ? result : undefined };
}

/** Milliseconds from the container's start to the first check. */
export function firstDelayMs(probe: Probe): number {
  return (probe.initialDelaySeconds ?? 0) * 1000;
}

export function periodMs(probe: Probe): number {
  return (probe.periodSeconds || PERIOD_SECONDS) * 1000;
}

export function timeoutMs(probe: Probe): number {
  return (probe.timeoutSeconds || TIMEOUT_SECONDS) * 1000;
}
