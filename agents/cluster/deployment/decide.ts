/**
 * One step of a Deployment: what to do to its ReplicaSets now, and what to report. Steps are small on purpose: scale
 * up or scale down, look at the result, decide again. So a step that is repeated, interrupted or made by
 * another leader does no harm. Pure.
 */

import { invariant } from '../../../src/lib/invariant.ts';
import type { Deployment, DeploymentStatus, ReplicaSet } from '../kinds.ts';
import { controllerReference } from '../owners.ts';
import { currentAnnotations, REVISION, revisionOf, withSizes } from './annotations.ts';
import {
  type Conditions,
  isComplete,
  msToDeadline,
  withAvailability,
  withNewReplicaSet,
  withPause,
  withProgress,
  withReplicaFailure,
} from './conditions.ts';
import { HASH_LABEL, sameTemplate, templateHash } from './hash.ts';
import {
  byCreation,
  growNew,
  isRecreate,
  limitsOf,
  rescale,
  type Sizes,
  shrinkOld,
  sizeOf,
  sum,
  wantedReplicas,
  wasScaled,
} from './sizes.ts';

export type RolloutInputs = {
  readonly deployment: Deployment;
  /** The ReplicaSets it controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** Pods of old ReplicaSets still run (only looked at for Recreate). */
  readonly oldPodsRunning: boolean;
  readonly nowMs: number;
};

export type Action =
  | { readonly kind: 'create'; readonly replicaSet: ReplicaSet }
  /** Writes `replicaSet` over `before`; a change of size is told as an event. */
  | { readonly kind: 'update'; readonly replicaSet: ReplicaSet; readonly before: ReplicaSet }
  | { readonly kind: 'delete'; readonly replicaSet: ReplicaSet }
  /** The revision annotation of the Deployment itself. */
  | { readonly kind: 'annotate'; readonly revision: string };

export type RolloutDecision = {
  /** To be carried out in this order. */
  readonly actions: readonly Action[];
  readonly status: DeploymentStatus;
  /** Until the rollout would count as stuck. */
  readonly againMs: number | undefined;
};

/** Decides the next step. */
export function decideRollout(inputs: RolloutInputs): RolloutDecision {
  const { deployment, nowMs } = inputs;
  const current = findCurrent(deployment, inputs.replicaSets);
  const old = inputs.replicaSets.filter((replicaSet) => replicaSet !== current);
  const start = withPause(deployment, deployment.status?.conditions ?? [], nowMs);
  const dying = deployment.metadata.deletionTimestamp !== undefined;
  if (dying) return report(inputs, current, { actions: [], conditions: start });
  const rescaled = !isRecreate(deployment) && wasScaled(deployment, inputs.replicaSets);
  if (deployment.spec.paused === true || rescaled) {
    const actions = [
      ...resize(deployment, rescale(deployment, current, old)),
      ...(deployment.spec.paused === true ? cleanUp(deployment, old) : []),
    ];
    return report(inputs, current, { actions, conditions: start });
  }
  const step = isRecreate(deployment)
    ? stepRecreate(inputs, current, old, start)
    : stepRolling(inputs, current, old, start);
  return report(inputs, current, step);
}

/** The ReplicaSet of the Deployment's present template; the oldest should there be several. */
export function findCurrent(
  deployment: Deployment,
  replicaSets: readonly ReplicaSet[],
): ReplicaSet | undefined {
  return [...replicaSets]
    .sort(byCreation)
    .find((replicaSet) => sameTemplate(replicaSet.spec.template, deployment.spec.template));
}

type Step = { readonly actions: readonly Action[]; readonly conditions: Conditions };

function stepRolling(
  inputs: RolloutInputs,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  start: Conditions,
): Step {
  const { deployment } = inputs;
  const begun = beginCurrent(inputs, current, old, start);
  if (!current) return begun;
  const size = sizeOf(current);
  const wanted = wantedReplicas(deployment);
  const grown = size > wanted ? wanted : growNew(deployment, size, [...old, current]);
  if (grown !== size) return withSize(begun, deployment, current, grown);
  const shrunk = resize(deployment, shrinkOld(deployment, current, old));
  if (shrunk.length > 0) return { ...begun, actions: [...begun.actions, ...shrunk] };
  return whenComplete(inputs, current, old, begun);
}

function stepRecreate(
  inputs: RolloutInputs,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  start: Conditions,
): Step {
  const { deployment } = inputs;
  const stopping = resize(
    deployment,
    new Map(old.filter((replicaSet) => sizeOf(replicaSet) > 0).map((rs) => [rs, 0])),
  );
  if (stopping.length > 0) return { actions: stopping, conditions: start };
  if (inputs.oldPodsRunning) return { actions: [], conditions: start };
  const begun = beginCurrent(inputs, current, old, start);
  if (!current) return begun;
  const wanted = wantedReplicas(deployment);
  if (sizeOf(current) !== wanted) return withSize(begun, deployment, current, wanted);
  return whenComplete(inputs, current, old, begun);
}

/** Creates the current ReplicaSet, or brings its revision and annotations up to date. */
function beginCurrent(
  inputs: RolloutInputs,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  start: Conditions,
): Step {
  const { deployment, nowMs } = inputs;
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  if (!current) {
    const replicaSet = newReplicaSet(deployment, old, revision);
    const { name } = replicaSet.metadata;
    const conditions = withNewReplicaSet(deployment, start, name, 'created', nowMs);
    const actions: Action[] = [{ kind: 'create', replicaSet }, ...annotate(deployment, replicaSet)];
    return { actions, conditions };
  }
  const conditions = withNewReplicaSet(deployment, start, current.metadata.name, 'found', nowMs);
  const updated = upToDate(deployment, current, revision);
  const actions: Action[] = updated
    ? [{ kind: 'update', replicaSet: updated, before: current }]
    : [];
  actions.push(...annotate(deployment, updated ?? current));
  return { actions, conditions };
}

/** The current ReplicaSet with a size, in one write with what `begun` changes about it. */
function withSize(begun: Step, deployment: Deployment, current: ReplicaSet, size: number): Step {
  const pending = begun.actions.find(
    (action) => action.kind === 'update' && action.before === current,
  );
  const others = begun.actions.filter((action) => action !== pending);
  const basis = pending?.kind === 'update' ? pending.replicaSet : current;
  const replicaSet = sized(deployment, basis, size);
  return { ...begun, actions: [{ kind: 'update', replicaSet, before: current }, ...others] };
}

function whenComplete(
  inputs: RolloutInputs,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
  step: Step,
): Step {
  const counts = countsOf(inputs, current);
  if (!isComplete(inputs.deployment, counts)) return step;
  return { ...step, actions: [...step.actions, ...cleanUp(inputs.deployment, old)] };
}

function newReplicaSet(
  deployment: Deployment,
  old: readonly ReplicaSet[],
  revision: number,
): ReplicaSet {
  const { name, namespace } = deployment.metadata;
  const { template, selector, minReadySeconds } = deployment.spec;
  const hash = templateHash(template, deployment.status?.collisionCount);
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  const size = growNew(deployment, 0, old);
  const annotations = currentAnnotations(deployment, {}, revision);
  const wanted = wantedReplicas(deployment);
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels,
      annotations: withSizes(annotations, wanted, wanted + limitsOf(deployment).surge),
      ownerReferences: [controllerReference(deployment, 'apps/v1', 'Deployment')],
    },
    spec: {
      replicas: size,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: {
        ...structuredClone(template),
        metadata: { ...structuredClone(template.metadata), labels },
      },
    },
  };
}

/** `current` with the annotations and the readiness time it should have, or undefined if it has them. */
function upToDate(
  deployment: Deployment,
  current: ReplicaSet,
  revision: number,
): ReplicaSet | undefined {
  const present = current.metadata.annotations ?? {};
  const annotations = currentAnnotations(deployment, present, revision);
  const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
  const changed =
    Object.entries(annotations).some(([key, value]) => present[key] !== value) ||
    (current.spec.minReadySeconds ?? 0) !== minReadySeconds;
  if (!changed) return undefined;
  return {
    ...current,
    metadata: { ...current.metadata, annotations },
    spec: { ...current.spec, minReadySeconds },
  };
}

function annotate(deployment: Deployment, current: ReplicaSet): Action[] {
  const revision = current.metadata.annotations?.[REVISION];
  invariant(revision !== undefined, 'the current ReplicaSet has a revision', {
    replicaSet: current.metadata.name,
  });
  const known = deployment.metadata.annotations?.[REVISION];
  return known === revision ? [] : [{ kind: 'annotate', revision }];
}

/** Writes for sizes, and for the sizes that ReplicaSets remember of the Deployment. */
function resize(deployment: Deployment, sizes: Sizes): Action[] {
  const actions: Action[] = [];
  for (const [before, size] of sizes) {
    const replicaSet = sized(deployment, before, size);
    const { annotations = {} } = before.metadata;
    const remembered = Object.entries(replicaSet.metadata.annotations ?? {}).every(
      ([key, value]) => annotations[key] === value,
    );
    if (size === sizeOf(before) && remembered) continue;
    actions.push({ kind: 'update', replicaSet, before });
  }
  return actions;
}

function sized(deployment: Deployment, replicaSet: ReplicaSet, size: number): ReplicaSet {
  invariant(size >= 0, 'a ReplicaSet has no fewer than 0 pods', { size });
  const wanted = wantedReplicas(deployment);
  const present = replicaSet.metadata.annotations ?? {};
  const annotations = withSizes(present, wanted, wanted + limitsOf(deployment).surge);
  return {
    ...replicaSet,
    metadata: { ...replicaSet.metadata, annotations },
    spec: { ...replicaSet.spec, replicas: size },
  };
}

/** Old ReplicaSets beyond the history limit go, the oldest revisions first, once nothing of them is left. */
function cleanUp(deployment: Deployment, old: readonly ReplicaSet[]): Action[] {
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const alive = old.filter((replicaSet) => replicaSet.metadata.deletionTimestamp === undefined);
  const excess = alive.length - limit;
  if (excess <= 0) return [];
  return [...alive]
    .sort((a, b) => revisionOf(a) - revisionOf(b) || byCreation(a, b))
    .slice(0, excess)
    .filter(
      ({ metadata, spec, status }) =>
        (spec.replicas ?? 1) === 0 &&
        (status?.replicas ?? 0) === 0 &&
        (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0),
    )
    .map((replicaSet) => ({ kind: 'delete', replicaSet }));
}

function report(
  inputs: RolloutInputs,
  current: ReplicaSet | undefined,
  step: Step,
): RolloutDecision {
  const { deployment, replicaSets, nowMs } = inputs;
  const counts = countsOf(inputs, current);
  const enough =
    (counts.availableReplicas ?? 0) >=
    wantedReplicas(deployment) - limitsOf(deployment).unavailable;
  let conditions = withAvailability(step.conditions, enough, nowMs);
  const progress = { deployment, conditions, counts, newReplicaSet: current, nowMs };
  // A held rollout is neither late nor complete; one that was scaled is judged as a rollout is.
  if (deployment.spec.paused !== true) conditions = withProgress(progress);
  const ordered = current
    ? [current, ...replicaSets.filter((replicaSet) => replicaSet !== current)]
    : replicaSets;
  conditions = withReplicaFailure(conditions, ordered, nowMs);
  const status = withoutZeros({ ...counts, conditions: [...conditions] });
  const againMs = msToDeadline(deployment, conditions, nowMs);
  return { actions: step.actions, status, againMs: againMs === 0 ? undefined : againMs };
}

function countsOf({ deployment, replicaSets }: RolloutInputs, current: ReplicaSet | undefined) {
  const available = sum(replicaSets, (rs) => rs.status?.availableReplicas ?? 0);
  const collisionCount = deployment.status?.collisionCount;
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(replicaSets, (rs) => rs.status?.replicas ?? 0),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum(replicaSets, (rs) => rs.status?.readyReplicas ?? 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(replicaSets, sizeOf) - available),
    ...(collisionCount === undefined ? {} : { collisionCount }),
  };
}

/** Counts that are zero are left out, as upstream's encoding does. */
function withoutZeros(status: DeploymentStatus): DeploymentStatus {
  const kept = Object.entries(status).filter(([, value]) => value !== 0);
  return Object.fromEntries(kept) as DeploymentStatus;
}
