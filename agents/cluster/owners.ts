/** Owner references: who controls an object, and what an owner writes into its children. Pure. */

import type { KubeObject, OwnerReference } from '../../src/resources/types.ts';

/** The one owner marked as controller, if any. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

/** True when `owner` (with a uid) is the controller of `object`. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

/** The controller reference that a child of `owner` carries. */
export function controllerReference(
  owner: KubeObject,
  apiVersion: string,
  kind: string,
): OwnerReference {
  return {
    apiVersion,
    kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** What to do with one object that an owner may claim. */
export type Claim = 'own' | 'adopt' | 'release' | 'ignore';

/**
 * The rule of adoption: an owner keeps what it controls and still selects, lets go of what it no longer
 * selects, takes matching orphans, and touches nothing while it is itself being deleted.
 */
export function decideClaim(owner: KubeObject, object: KubeObject, selected: boolean): Claim {
  const controller = controllerOf(object);
  const dying = owner.metadata.deletionTimestamp !== undefined;
  if (controller) {
    if (controller.uid !== owner.metadata.uid) return 'ignore';
    if (selected) return 'own';
    return dying || object.metadata.deletionTimestamp !== undefined ? 'ignore' : 'release';
  }
  if (dying || !selected || object.metadata.deletionTimestamp !== undefined) return 'ignore';
  return 'adopt';
}
