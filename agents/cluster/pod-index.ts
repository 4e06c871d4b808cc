/** The shared pod cache, looked up by controller. */

import type { Informer } from '../../src/client/types.ts';
import type { Pod } from './kinds.ts';
import { controllerOf } from './owners.ts';

/** Index of pods by the uid of their controller; pods without one stand under their namespace. */
export const OWNER_INDEX = 'cluster/controller-uid';

/** Registers the index; harmless when done before. */
export function addOwnerIndex(pods: Informer<Pod>): void {
  pods.addIndex(OWNER_INDEX, ownerIndex);
}

/** Pods of `namespace` that no controller owns. */
export function orphansOf(pods: Informer<Pod>, namespace: string): readonly Pod[] {
  return pods.byIndex(OWNER_INDEX, `orphans of ${namespace}`);
}

function ownerIndex(pod: Pod): readonly string[] {
  return [controllerOf(pod)?.uid ?? `orphans of ${pod.metadata.namespace ?? ''}`];
}

/** Index of pods by the node they are bound to. */
export const NODE_INDEX = 'cluster/node-name';

/** Registers the index; harmless when done before. */
export function addNodeIndex(pods: Informer<Pod>): void {
  pods.addIndex(NODE_INDEX, nodeIndex);
}

function nodeIndex(pod: Pod): readonly string[] {
  return pod.spec.nodeName ? [pod.spec.nodeName] : [];
}
