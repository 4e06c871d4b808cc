/** The annotations by which a Deployment and its ReplicaSets keep count of revisions and sizes. Pure. */

import type { Deployment, ReplicaSet } from '../kinds.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
const DESIRED = 'deployment.kubernetes.io/desired-replicas';
const MAX = 'deployment.kubernetes.io/max-replicas';

/** Annotations of a Deployment that its ReplicaSets do not take over. */
const OWN: readonly string[] = [
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED,
  MAX,
  'deprecated.deployment.rollback.to',
];

/** Longest revision history kept on one ReplicaSet, in characters. */
const HISTORY_LENGTH_MAX = 2000;

type Annotations = Readonly<Record<string, string>>;

/** The revision of a Deployment or ReplicaSet; 0 when it has none. */
export function revisionOf(object: Deployment | ReplicaSet): number {
  const revision = Number(object.metadata.annotations?.[REVISION]);
  return Number.isInteger(revision) ? revision : 0;
}

/** The size of the whole Deployment when this ReplicaSet was last scaled by it. */
export function desiredOf(replicaSet: ReplicaSet): number | undefined {
  return countOf(replicaSet, DESIRED);
}

/** The most pods the Deployment could have when this ReplicaSet was last scaled by it. */
export function maxOf(replicaSet: ReplicaSet): number | undefined {
  return countOf(replicaSet, MAX);
}

/** `annotations` with the sizes a ReplicaSet remembers of its Deployment. */
export function withSizes(annotations: Annotations, desired: number, max: number): Annotations {
  return { ...annotations, [DESIRED]: String(desired), [MAX]: String(max) };
}

/**
 * What the current ReplicaSet is annotated with: the Deployment's annotations, and the newest revision number. A
 * revision that is raised (a rollback to this template) leaves the former one in the history.
 */
export function currentAnnotations(
  deployment: Deployment,
  present: Annotations,
  revision: number,
): Annotations {
  const copied = Object.entries(deployment.metadata.annotations ?? {}).filter(
    ([key]) => !OWN.includes(key),
  );
  const annotations: Record<string, string> = { ...present, ...Object.fromEntries(copied) };
  const former = annotations[REVISION];
  if (former !== undefined && Number(former) >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (former === undefined) return annotations;
  const history = (annotations[REVISION_HISTORY] ?? '').split(',').filter((entry) => entry !== '');
  history.push(former);
  while (history.length > 1 && history.join(',').length > HISTORY_LENGTH_MAX) history.shift();
  annotations[REVISION_HISTORY] = history.join(',');
  return annotations;
}

function countOf(replicaSet: ReplicaSet, annotation: string): number | undefined {
  const text = replicaSet.metadata.annotations?.[annotation];
  const count = Number(text);
  return text === undefined || !Number.isInteger(count) ? undefined : count;
}
