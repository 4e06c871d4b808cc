/** When an object that is being deleted may go. */

import type { KubeObject, ResourceKind } from '../../resources/types.ts';

type NamespaceSpec = { readonly spec?: { readonly finalizers?: readonly string[] } };

/** True if something still has to be done before the object may go. */
export function hasFinalizers(kind: ResourceKind, object: KubeObject): boolean {
  if ((object.metadata.finalizers ?? []).length > 0) return true;
  // A namespace has finalizers of an older kind as well, in its spec.
  if (kind.kind !== 'Namespace' || kind.group !== '') return false;
  return ((object as NamespaceSpec).spec?.finalizers ?? []).length > 0;
}

/** True if the object is being deleted, nothing has to be done first and no grace period runs. */
export function isReadyToGo(kind: ResourceKind, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata;
  if (deletionTimestamp === undefined) return false;
  return deletionGracePeriodSeconds === 0 && !hasFinalizers(kind, object);
}
