/** The difference between the status shown and the status to show, as a patch. Pure. */

import { isDeepStrictEqual } from 'node:util';
import type { PodCondition, PodStatus } from './kinds.ts';

/** Fields this node writes; all others of the status belong to somebody else. */
const FIELDS = [
  'phase',
  'reason',
  'message',
  'hostIP',
  'hostIPs',
  'podIP',
  'podIPs',
  'startTime',
  'qosClass',
  'containerStatuses',
  'initContainerStatuses',
  'ephemeralContainerStatuses',
] as const;

/** Lists that a strategic merge would join by address instead of replacing. */
const JOINED: ReadonlySet<string> = new Set(['hostIPs', 'podIPs']);

/**
 * Body of a strategic merge patch that turns `shown` into `wanted`; undefined when nothing of ours
 * differs. The uid makes it fail if the name belongs to another pod by now.
 */
export function statusPatch(
  uid: string,
  shown: PodStatus | undefined,
  wanted: PodStatus,
): object | undefined {
  const status: Record<string, unknown> = {};
  for (const field of FIELDS) {
    const next = wanted[field];
    if (same(shown?.[field], next)) continue;
    status[field] = JOINED.has(field) && Array.isArray(next) ? replaced(next) : (next ?? null);
  }
  const conditions = (wanted.conditions ?? []).flatMap((next) => {
    const old = shown?.conditions?.find(({ type }) => type === next.type);
    return same(stripProbeTime(old), next) ? [] : [conditionPatch(old, next)];
  });
  if (conditions.length > 0) status['conditions'] = conditions;
  if (Object.keys(status).length === 0) return undefined;
  return { metadata: { uid }, status };
}

/** True if the change is one that others wait for: phase, readiness, an address, a run that ended. */
export function isUrgent(shown: PodStatus | undefined, wanted: PodStatus): boolean {
  const of = (status: PodStatus | undefined) => [
    status?.phase === 'Pending' ? undefined : status?.phase,
    status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True',
    (status?.containerStatuses ?? [])
      .filter(({ restartCount, state }) => restartCount > 0 || state?.terminated)
      .map(({ restartCount, state }) => [restartCount, state?.terminated]),
  ];
  return !isDeepStrictEqual(of(shown), of(wanted));
}

/** What the API will show once the patch is in. */
export function merged(shown: PodStatus | undefined, wanted: PodStatus): PodStatus {
  const own = new Set(wanted.conditions?.map(({ type }) => type));
  const others = (shown?.conditions ?? []).filter(({ type }) => !own.has(type));
  return { ...shown, ...wanted, conditions: [...others, ...(wanted.conditions ?? [])] };
}

/** Absent reasons must be nulled: a merge keeps what is not named. */
function conditionPatch(old: PodCondition | undefined, next: PodCondition): object {
  return {
    ...next,
    ...(old?.reason && !next.reason ? { reason: null } : {}),
    ...(old?.message && !next.message ? { message: null } : {}),
  };
}

function replaced(list: readonly unknown[]): unknown[] {
  return [{ $patch: 'replace' }, ...list];
}

/** Fields that the server adds to conditions and that we do not write. */
function stripProbeTime(condition: PodCondition | undefined): PodCondition | undefined {
  if (condition === undefined) return undefined;
  const { lastProbeTime: _, observedGeneration: __, ...rest } = condition;
  return rest;
}

/** Equal as JSON: an undefined field counts as absent. */
function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(clean(a), clean(b));
}

function clean(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
