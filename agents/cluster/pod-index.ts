/** The shared pod cache, looked up by controller. */

import type { Informer } from '../../src/client/types.ts';
import type { Pod } from './kinds.ts';
import { controllerOf } from './owners.ts';

type Labels = Readonly<Record<string, string>>;

/** Index of pods by the uid of their controller; pods without one stand under their namespace and labels. */
export const OWNER_INDEX = 'cluster/controller-uid';

/** Registers the index; harmless when done before. */
export function addOwnerIndex(pods: Informer<Pod>): void {
  pods.addIndex(OWNER_INDEX, ownerIndex);
}

/**
 * Pods of `namespace` that no controller owns, among them all that have `labels`. One label narrows the search: there may be
 * very many of them.
 */
export function orphansOf(pods: Informer<Pod>, namespace: string, labels: Labels): readonly Pod[] {
  const [label] = Object.entries(labels);
  return pods.byIndex(OWNER_INDEX, label ? orphansWith(namespace, label) : orphans(namespace));
}

function ownerIndex(pod: Pod): readonly string[] {
  const owner = controllerOf(pod);
  if (owner) return [owner.uid];
  const { namespace = '', labels = {} } = pod.metadata;
  return [orphans(namespace), ...Object.entries(labels).map((one) => orphansWith(namespace, one))];
}

const orphans = (namespace: string) => `orphans of ${namespace}`;
const orphansWith = (namespace: string, [key, value]: readonly [string, string]) =>
  `${orphans(namespace)} with ${key}=${value}`;

/** Index of pods by namespace and each of their labels. */
const LABEL_INDEX = 'cluster/labels';

/** Registers the index; harmless when done before. */
export function addLabelIndex(pods: Informer<Pod>): void {
  pods.addIndex(LABEL_INDEX, labelIndex);
}

/** Pods of `namespace` by name, among them all that have every one of `labels`; none if no label is asked for. */
export function labelledPods(
  pods: Informer<Pod>,
  namespace: string,
  labels: Labels,
): readonly Pod[] {
  const [label] = Object.entries(labels);
  if (label === undefined) return [];
  const found = pods.byIndex(LABEL_INDEX, labelled(namespace, label));
  return [...found].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

function labelIndex({ metadata: { namespace = '', labels = {} } }: Pod): readonly string[] {
  return Object.entries(labels).map((label) => labelled(namespace, label));
}

const labelled = (namespace: string, [key, value]: readonly [string, string]) =>
  `${namespace}/${key}=${value}`;

/** Index of pods by the node they are bound to. */
export const NODE_INDEX = 'cluster/node-name';

/** Registers the index; harmless when done before. */
export function addNodeIndex(pods: Informer<Pod>): void {
  pods.addIndex(NODE_INDEX, nodeIndex);
}

function nodeIndex(pod: Pod): readonly string[] {
  return pod.spec.nodeName ? [pod.spec.nodeName] : [];
}
