/**
 * Arithmetic of a rollout: how large each ReplicaSet should be. Pure; numbers in, numbers out.
 *
 * A ReplicaSet's status may lag behind its spec. What it reports as available is never taken for more than it is
 * asked to have, or pods already on their way out would be counted as serving.
 */

import { rollingLimits } from '../../../src/resources/int-or-string.ts';
import type { Deployment, ReplicaSet } from '../kinds.ts';
import { desiredOf, maxOf } from './annotations.ts';

/** New sizes by ReplicaSet; those not named stay as they are. */
export type Sizes = ReadonlyMap<ReplicaSet, number>;

/** Pods asked for. */
export function wantedReplicas(deployment: Deployment): number {
  return deployment.spec.replicas ?? 1;
}

/** How far a rollout may go above and below what is asked for; nothing either way for Recreate. */
export function limitsOf(deployment: Deployment): { surge: number; unavailable: number } {
  const wanted = wantedReplicas(deployment);
  if (isRecreate(deployment)) return { surge: 0, unavailable: 0 };
  const { maxSurge = '25%', maxUnavailable = '25%' } =
    deployment.spec.strategy?.rollingUpdate ?? {};
  if (wanted === 0) return { surge: 0, unavailable: 0 };
  const { surge, unavailable } = rollingLimits(maxSurge, maxUnavailable, wanted);
  return { surge, unavailable: Math.min(unavailable, wanted) };
}

export function isRecreate(deployment: Deployment): boolean {
  return deployment.spec.strategy?.type === 'Recreate';
}

export function sizeOf(replicaSet: ReplicaSet): number {
  return replicaSet.spec.replicas ?? 1;
}

/** Pods that serve and will go on serving. */
export function availableOf(replicaSet: ReplicaSet): number {
  return Math.min(replicaSet.status?.availableReplicas ?? 0, sizeOf(replicaSet));
}

/** Pods that are there or will be: a ReplicaSet that was shrunk still has them until it says otherwise. */
export function occupiedBy(replicaSet: ReplicaSet): number {
  return Math.max(replicaSet.status?.replicas ?? 0, sizeOf(replicaSet));
}

/** True when the status tells of the present spec. */
export function isObserved({ metadata, status }: ReplicaSet): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
}

export function sum(
  replicaSets: readonly ReplicaSet[],
  count: (replicaSet: ReplicaSet) => number,
): number {
  return replicaSets.reduce((total, replicaSet) => total + count(replicaSet), 0);
}

/**
 * The size the current ReplicaSet (now of `size`, 0 if it is yet to be made) may grow to, given `all` that exist. What others
 * gave up is room only once they report so, or for a moment there would be more pods than allowed.
 */
export function growNew(deployment: Deployment, size: number, all: readonly ReplicaSet[]): number {
  const wanted = wantedReplicas(deployment);
  if (isRecreate(deployment)) return wanted;
  if (!all.every(isObserved)) return size;
  const room = wanted + limitsOf(deployment).surge - sum(all, occupiedBy);
  return room <= 0 ? size : size + Math.max(0, Math.min(room, wanted - size));
}

/**
 * Shrinks old ReplicaSets as far as availability allows: pods that do not serve go first, for they cost
 * nothing and a broken rollout must not be stuck on them.
 */
export function shrinkOld(
  deployment: Deployment,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
): Sizes {
  const minAvailable = wantedReplicas(deployment) - limitsOf(deployment).unavailable;
  const all = [...old, current];
  const notYet = sizeOf(current) - availableOf(current);
  const removable = sum(all, sizeOf) - minAvailable - notYet;
  const sizes = new Map<ReplicaSet, number>();
  if (removable <= 0) return sizes;
  const oldestFirst = [...old].filter((rs) => sizeOf(rs) > 0).sort(byCreation);
  let unhealthyLeft = removable;
  for (const replicaSet of oldestFirst) {
    const unhealthy = sizeOf(replicaSet) - availableOf(replicaSet);
    const count = Math.min(unhealthy, unhealthyLeft);
    if (count === 0) continue;
    unhealthyLeft -= count;
    sizes.set(replicaSet, sizeOf(replicaSet) - count);
  }
  let healthyLeft = Math.min(sum(all, availableOf) - minAvailable, unhealthyLeft);
  for (const replicaSet of oldestFirst) {
    if (healthyLeft <= 0) break;
    const size = sizes.get(replicaSet) ?? sizeOf(replicaSet);
    const count = Math.min(size, availableOf(replicaSet), healthyLeft);
    healthyLeft -= count;
    if (count > 0) sizes.set(replicaSet, size - count);
  }
  return sizes;
}

/** True when some ReplicaSet was last scaled for another number of pods: the Deployment was scaled since. */
export function wasScaled(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
  const wanted = wantedReplicas(deployment);
  return replicaSets.some((replicaSet) => {
    const desired = desiredOf(replicaSet);
    return sizeOf(replicaSet) > 0 && desired !== undefined && desired !== wanted;
  });
}

/** Sizes after the Deployment was scaled: one ReplicaSet takes it all, several share in proportion to their sizes. */
export function rescale(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Sizes {
  const wanted = wantedReplicas(deployment);
  const single = activeOrLatest(current, old);
  if (single) return new Map([[single, wanted]]);
  if (current && isSaturated(deployment, current)) {
    return new Map(old.filter((rs) => sizeOf(rs) > 0).map((rs) => [rs, 0]));
  }
  if (isRecreate(deployment)) return new Map();
  const active = [...old, ...(current ? [current] : [])].filter((rs) => sizeOf(rs) > 0);
  const allowed = wanted > 0 ? wanted + limitsOf(deployment).surge : 0;
  return shareOut(deployment, active, allowed - sum(active, sizeOf));
}

function shareOut(deployment: Deployment, active: ReplicaSet[], toAdd: number): Sizes {
  const ageSign = toAdd > 0 ? -1 : 1;
  active.sort((a, b) => sizeOf(b) - sizeOf(a) || ageSign * byCreation(a, b));
  const sizes = new Map<ReplicaSet, number>();
  let added = 0;
  for (const replicaSet of active) {
    const share = toAdd === 0 ? 0 : proportion(deployment, replicaSet, toAdd, added);
    sizes.set(replicaSet, sizeOf(replicaSet) + share);
    added += share;
  }
  const [largest] = active;
  if (largest) {
    // Rounding leaves a rest: the largest takes it.
    sizes.set(largest, Math.max(0, (sizes.get(largest) ?? 0) + toAdd - added));
  }
  return sizes;
}

function proportion(
  deployment: Deployment,
  replicaSet: ReplicaSet,
  toAdd: number,
  added: number,
): number {
  const left = toAdd - added;
  if (left === 0) return 0;
  const size = sizeOf(replicaSet);
  const wanted = wantedReplicas(deployment);
  if (wanted === 0) return -size;
  const before = maxOf(replicaSet) ?? deployment.status?.replicas ?? size;
  const scaled = (size * (wanted + limitsOf(deployment).surge)) / Math.max(1, before);
  const share = Math.round(scaled) - size;
  return toAdd > 0 ? Math.max(0, Math.min(share, left)) : Math.min(0, Math.max(share, left));
}

function activeOrLatest(
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): ReplicaSet | undefined {
  const active = [...old, ...(current ? [current] : [])].filter((rs) => sizeOf(rs) > 0);
  if (active.length > 1) return undefined;
  if (active[0]) return active[0];
  return current ?? [...old].sort(byCreation).at(-1);
}

function isSaturated(deployment: Deployment, current: ReplicaSet): boolean {
  const wanted = wantedReplicas(deployment);
  return (
    sizeOf(current) === wanted && desiredOf(current) === wanted && availableOf(current) === wanted
  );
}

/** Older first; names decide among equals so that the order is always the same. */
export function byCreation(a: ReplicaSet, b: ReplicaSet): number {
  const [left, right] = [a, b].map(({ metadata }) => metadata.creationTimestamp ?? '');
  if (left !== right) return (left ?? '') < (right ?? '') ? -1 : 1;
  return a.metadata.name < b.metadata.name ? -1 : 1;
}
