/** Keys of a reconciler: `namespace/name`, or `name` for cluster-scoped objects. */

import type { KubeObject } from '../resources/types.ts';
import type { ObjectKey } from './types.ts';

/** The reconcile key of an object. */
export function keyOf(object: Pick<KubeObject, 'metadata'>): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The reconcile key of an object named by its parts. */
export function formatKey(key: ObjectKey): string {
  return key.namespace === undefined ? key.name : `${key.namespace}/${key.name}`;
}

/** Undoes keyOf. */
export function parseKey(key: string): ObjectKey {
  const slash = key.indexOf('/');
  if (slash === -1) return { name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
