/**
 * How many pods a ReplicaSet lacks or has too many, which of them may go first, and what its status says.
 * Pure: pods, wall time and the last failure are inputs.
 */

import type { Pod, ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from '../kinds.ts';
import { isPodReady, msUntilAvailable, podCondition } from '../pods.ts';
import { isoSeconds } from '../times.ts';

export type ReplicaDecision =
  | { readonly kind: 'enough' }
  | { readonly kind: 'create'; readonly count: number }
  | { readonly kind: 'delete'; readonly pods: readonly Pod[] };

/** Pods created or deleted in one go; the rest follows in the next. */
export const BURST_MAX = 500;

export type ReplicaInputs = {
  readonly replicas: number;
  /** The owner's pods that count. */
  readonly active: readonly Pod[];
  /** Pods of related ReplicaSets (of the same Deployment) included: how many of them are active on each node. */
  readonly perNode: ReadonlyMap<string, number>;
  readonly nowMs: number;
};

/** Compares the pods that count with the number wanted. */
export function decideReplicas(inputs: ReplicaInputs): ReplicaDecision {
  const missing = inputs.replicas - inputs.active.length;
  if (missing > 0) return { kind: 'create', count: Math.min(missing, BURST_MAX) };
  if (missing === 0) return { kind: 'enough' };
  const ranked = rankForDeletion(inputs.active, inputs.perNode, inputs.nowMs);
  return { kind: 'delete', pods: ranked.slice(0, Math.min(-missing, BURST_MAX)) };
}

/** Sizes of the batches in which `count` pods are created: 1, 2, 4, ... so that a refusal is met early and cheaply. */
export function slowStartBatches(count: number): number[] {
  const batches: number[] = [];
  for (let left = count, size = 1; left > 0; left -= size, size *= 2) {
    batches.push(Math.min(size, left));
  }
  return batches;
}

/** Pods in the order in which they may go: those that serve least come first, as upstream ranks them. */
export function rankForDeletion(
  pods: readonly Pod[],
  perNode: ReadonlyMap<string, number>,
  nowMs: number,
): Pod[] {
  const ranks = new Map(pods.map((pod) => [pod, rank(pod, perNode, nowMs)]));
  return [...pods].sort((a, b) => compareRanks(ranks.get(a) ?? [], ranks.get(b) ?? []));
}

/** Lower goes first, element by element. */
function rank(pod: Pod, perNode: ReadonlyMap<string, number>, nowMs: number): number[] {
  const phases: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };
  const ready = isPodReady(pod);
  const readySince = ready ? podCondition(pod, 'Ready')?.lastTransitionTime : undefined;
  const restarts = Math.max(
    0,
    ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount),
  );
  return [
    pod.spec.nodeName ? 1 : 0,
    phases[pod.status?.phase ?? 'Pending'] ?? 0,
    ready ? 1 : 0,
    deletionCost(pod),
    -(perNode.get(pod.spec.nodeName ?? '') ?? 0),
    ageRank(readySince, nowMs),
    -restarts,
    ageRank(pod.metadata.creationTimestamp ?? undefined, nowMs),
  ];
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < a.length; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Ages that differ little rank alike (powers of two of milliseconds): the younger go first. */
function ageRank(since: string | undefined, nowMs: number): number {
  const sinceMs = Date.parse(since ?? '');
  if (Number.isNaN(sinceMs)) return -1;
  return Math.floor(Math.log2(Math.max(1, nowMs - sinceMs)));
}

function deletionCost(pod: Pod): number {
  const cost = Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost']);
  return Number.isInteger(cost) ? cost : 0;
}

export type StatusInputs = {
  readonly active: readonly Pod[];
  /** Pods on their way out. */
  readonly terminating: number;
  /** Why the last attempt to create or delete pods failed. */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
  readonly nowMs: number;
};

export type StatusDecision = {
  readonly status: ReplicaSetStatus;
  /** Until the next ready pod becomes available, if one is on the way there. */
  readonly availableInMs: number | undefined;
};

/** The status that describes `active`, and when it will change by the passing of time alone. */
export function decideStatus(replicaSet: ReplicaSet, inputs: StatusInputs): StatusDecision {
  const { active, nowMs } = inputs;
  const templateLabels = Object.entries(replicaSet.spec.template.metadata?.labels ?? {});
  let [ready, available, labelled] = [0, 0, 0];
  let availableInMs: number | undefined;
  for (const pod of active) {
    const labels = pod.metadata.labels ?? {};
    if (templateLabels.every(([key, value]) => labels[key] === value)) labelled++;
    const waitMs = msUntilAvailable(pod, replicaSet.spec.minReadySeconds ?? 0, nowMs);
    if (waitMs === undefined) continue;
    ready++;
    if (waitMs === 0) available++;
    else if (availableInMs === undefined || waitMs < availableInMs) availableInMs = waitMs;
  }
  const conditions = decideConditions(replicaSet.status?.conditions ?? [], inputs);
  const status: ReplicaSetStatus = {
    replicas: active.length,
    ...positive('fullyLabeledReplicas', labelled),
    ...positive('readyReplicas', ready),
    ...positive('availableReplicas', available),
    ...positive('terminatingReplicas', inputs.terminating),
    observedGeneration: replicaSet.metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
  return { status, availableInMs };
}

function decideConditions(
  present: readonly ReplicaSetCondition[],
  { failure, nowMs }: StatusInputs,
): ReplicaSetCondition[] {
  const others = present.filter((condition) => condition.type !== 'ReplicaFailure');
  if (!failure) return others;
  const known = present.find((condition) => condition.type === 'ReplicaFailure');
  const same = known?.status === 'True' && known.reason === failure.reason;
  const since = same ? known.lastTransitionTime : undefined;
  return [
    ...others,
    {
      type: 'ReplicaFailure',
      status: 'True',
      reason: failure.reason,
      message: failure.message,
      lastTransitionTime: since ?? isoSeconds(nowMs),
    },
  ];
}

/** Counts that are zero are left out, as upstream's encoding does. */
function positive<K extends string>(field: K, count: number): { [key in K]?: number } {
  return count > 0 ? ({ [field]: count } as { [key in K]?: number }) : {};
}
