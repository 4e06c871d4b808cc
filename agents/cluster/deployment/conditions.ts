/** The conditions of a Deployment: Available, Progressing, ReplicaFailure, in upstream's words. Pure. */

import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../kinds.ts';
import { isoSeconds } from '../times.ts';

export type Conditions = readonly DeploymentCondition[];
type News = Pick<DeploymentCondition, 'type' | 'status'> & { reason: string; message: string };

/** The deadline that stands for none, as upstream's clients write it. */
const NO_DEADLINE = 2_147_483_647;
const NEW_AVAILABLE = 'NewReplicaSetAvailable';
const TIMED_OUT = 'ProgressDeadlineExceeded';

/** Seconds a rollout may stand still, or undefined when it may for ever. */
export function deadlineSeconds(deployment: Deployment): number | undefined {
  const seconds = deployment.spec.progressDeadlineSeconds;
  return seconds === undefined || seconds === NO_DEADLINE ? undefined : seconds;
}

/** The condition of a type, if reported. */
export function find(conditions: Conditions, type: string): DeploymentCondition | undefined {
  return conditions.find((condition) => condition.type === type);
}

/** Sets a condition; one that says the same already keeps its times. */
export function set(conditions: Conditions, news: News, nowMs: number): Conditions {
  const known = find(conditions, news.type);
  if (known?.status === news.status && known.reason === news.reason) return conditions;
  return replace(conditions, news, nowMs);
}

/** Without the condition of a type. */
export function remove(conditions: Conditions, type: string): Conditions {
  return conditions.filter((condition) => condition.type !== type);
}

/** Sets a condition and stamps its update even if it says the same: progress counts from there. */
function replace(conditions: Conditions, news: News, nowMs: number): Conditions {
  const known = find(conditions, news.type);
  const now = isoSeconds(nowMs);
  const since = known?.status === news.status ? (known.lastTransitionTime ?? now) : now;
  const condition = { ...news, lastUpdateTime: now, lastTransitionTime: since };
  return [...remove(conditions, news.type), condition];
}

/** Available: enough pods serve. */
export function withAvailability(
  conditions: Conditions,
  enough: boolean,
  nowMs: number,
): Conditions {
  const news = enough
    ? {
        status: 'True',
        reason: 'MinimumReplicasAvailable',
        message: 'Deployment has minimum availability.',
      }
    : {
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
  return set(conditions, { type: 'Available', ...news }, nowMs);
}

/** Progressing while the rollout is held, and once it is let go. A deadline already missed stays reported. */
export function withPause(
  deployment: Deployment,
  conditions: Conditions,
  nowMs: number,
): Conditions {
  if (deadlineSeconds(deployment) === undefined) return conditions;
  const known = find(conditions, 'Progressing');
  if (known?.reason === TIMED_OUT) return conditions;
  const paused = deployment.spec.paused === true;
  if (paused === (known?.reason === 'DeploymentPaused')) return conditions;
  const news = paused
    ? { reason: 'DeploymentPaused', message: 'Deployment is paused' }
    : { reason: 'DeploymentResumed', message: 'Deployment is resumed' };
  return set(conditions, { type: 'Progressing', status: 'Unknown', ...news }, nowMs);
}

/** Progressing when the ReplicaSet of the current template came to be, or was found. */
export function withNewReplicaSet(
  deployment: Deployment,
  conditions: Conditions,
  name: string,
  made: 'created' | 'found',
  nowMs: number,
): Conditions {
  if (deadlineSeconds(deployment) === undefined) return conditions;
  if (made === 'found' && find(conditions, 'Progressing')) return conditions;
  const news =
    made === 'created'
      ? { reason: 'NewReplicaSetCreated', message: `Created new replica set "${name}"` }
      : { reason: 'FoundNewReplicaSet', message: `Found new replica set "${name}"` };
  return replace(conditions, { type: 'Progressing', status: 'True', ...news }, nowMs);
}

/** Progressing when the ReplicaSet of the current template could not be created. */
export function withFailedCreate(
  deployment: Deployment,
  conditions: Conditions,
  message: string,
  nowMs: number,
): Conditions {
  if (deadlineSeconds(deployment) === undefined) return conditions;
  const news = { reason: 'ReplicaSetCreateError', message };
  return set(conditions, { type: 'Progressing', status: 'False', ...news }, nowMs);
}

export type ProgressInputs = {
  readonly deployment: Deployment;
  readonly conditions: Conditions;
  /** The counts about to be reported. */
  readonly counts: DeploymentStatus;
  readonly newReplicaSet: ReplicaSet | undefined;
  readonly nowMs: number;
};

/** Progressing by what the counts say: complete, moving on, or standing still for too long. */
export function withProgress(inputs: ProgressInputs): Conditions {
  const { deployment, conditions, counts, newReplicaSet, nowMs } = inputs;
  if (deadlineSeconds(deployment) === undefined) return remove(conditions, 'Progressing');
  const known = find(conditions, 'Progressing');
  const settled = counts.replicas === counts.updatedReplicas && known?.reason === NEW_AVAILABLE;
  if (settled) return conditions;
  const who = newReplicaSet
    ? `ReplicaSet "${newReplicaSet.metadata.name}"`
    : `Deployment "${deployment.metadata.name}"`;
  const type = 'Progressing';
  if (isComplete(deployment, counts)) {
    const message = `${who} has successfully progressed.`;
    return set(conditions, { type, status: 'True', reason: NEW_AVAILABLE, message }, nowMs);
  }
  if (hasMoved(deployment.status ?? {}, counts)) {
    const message = `${who} is progressing.`;
    const news = { type, status: 'True', reason: 'ReplicaSetUpdated', message };
    return replace(conditions, news, nowMs);
  }
  if ((msToDeadline(deployment, conditions, nowMs) ?? 1) > 0) return conditions;
  const message = `${who} has timed out progressing.`;
  return set(conditions, { type, status: 'False', reason: TIMED_OUT, message }, nowMs);
}

/** ReplicaFailure mirrors that of a ReplicaSet, the current one's first. */
export function withReplicaFailure(
  conditions: Conditions,
  replicaSets: readonly ReplicaSet[],
  nowMs: number,
): Conditions {
  for (const replicaSet of replicaSets) {
    const failure = (replicaSet.status?.conditions ?? []).find((c) => c.type === 'ReplicaFailure');
    if (failure?.status !== 'True') continue;
    const { status, reason = '', message = '' } = failure;
    return set(conditions, { type: 'ReplicaFailure', status, reason, message }, nowMs);
  }
  return remove(conditions, 'ReplicaFailure');
}

/** Milliseconds until the rollout counts as stuck; undefined when it cannot be. */
export function msToDeadline(
  deployment: Deployment,
  conditions: Conditions,
  nowMs: number,
): number | undefined {
  const deadline = deadlineSeconds(deployment);
  const known = find(conditions, 'Progressing');
  if (deadline === undefined || !known || known.reason === NEW_AVAILABLE) return undefined;
  if (known.reason === TIMED_OUT) return 0;
  const sinceMs = Date.parse(known.lastUpdateTime ?? known.lastTransitionTime ?? '');
  return Number.isNaN(sinceMs) ? 0 : Math.max(0, sinceMs + deadline * 1000 - nowMs);
}

/** True when all pods asked for are of the current template and available, and no others are left. */
export function isComplete(deployment: Deployment, counts: DeploymentStatus): boolean {
  const wanted = deployment.spec.replicas ?? 1;
  return (
    (counts.updatedReplicas ?? 0) === wanted &&
    (counts.replicas ?? 0) === wanted &&
    (counts.availableReplicas ?? 0) === wanted &&
    (counts.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function hasMoved(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus) =>
    replicas - updatedReplicas;
  return (
    (after.updatedReplicas ?? 0) !== (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}
