/**
 * The law of ownership: when an object goes because its owners went, and when an owner that waits for its
 * dependents may go. Pure.
 */

import type { KubeObject, OwnerReference } from '../../../src/resources/types.ts';

export const ORPHAN = 'orphan';
export const FOREGROUND = 'foregroundDeletion';

/** What became of an owner that an object names. */
export type OwnerState =
  /** It exists, or it cannot be told: the object stays. */
  | 'solid'
  /** It is gone, or another object bears its name. */
  | 'absent'
  /** It waits, being deleted in the foreground, for its dependents to go. */
  | 'waiting';

export type OwnedDecision =
  | { readonly kind: 'keep' }
  /** Some owners are left: the object only forgets the others. */
  | { readonly kind: 'forget-owners'; readonly uids: readonly string[] }
  | { readonly kind: 'delete'; readonly policy: 'Background' | 'Foreground' | 'Orphan' }
  /** Deleted in the foreground in its turn, without blocking a dependent that waits for it in a ring. */
  | { readonly kind: 'delete-in-ring' };

export type OwnedInputs = {
  readonly object: KubeObject;
  readonly owners: readonly { readonly reference: OwnerReference; readonly state: OwnerState }[];
  readonly dependents: readonly KubeObject[];
};

/** Decides the fate of an object with owners. */
export function decideOwned({ object, owners, dependents }: OwnedInputs): OwnedDecision {
  if (owners.length === 0) return { kind: 'keep' };
  const dying = object.metadata.deletionTimestamp !== undefined;
  // A foreground deletion under way is finished by its own finalizer.
  if (dying) return { kind: 'keep' };
  const gone = owners.filter(({ state }) => state !== 'solid');
  if (gone.length < owners.length) {
    if (gone.length === 0) return { kind: 'keep' };
    return { kind: 'forget-owners', uids: gone.map(({ reference }) => reference.uid) };
  }
  const waitedFor = owners.some(({ state }) => state === 'waiting');
  if (waitedFor && dependents.length > 0) {
    const ring = dependents.some((dependent) => isWaiting(dependent));
    return ring ? { kind: 'delete-in-ring' } : { kind: 'delete', policy: 'Foreground' };
  }
  return { kind: 'delete', policy: policyOf(object) };
}

export type OwnerDecision =
  | { readonly kind: 'nothing' }
  /** Take the owner out of its dependents, then the finalizer out of the owner. */
  | { readonly kind: 'orphan-dependents' }
  /** Dependents that block the deletion must go first. */
  | { readonly kind: 'await-dependents' }
  | { readonly kind: 'release' };

/** Decides the next step for an object that is being deleted and has dependents to settle. */
export function decideOwner(object: KubeObject, dependents: readonly KubeObject[]): OwnerDecision {
  if (object.metadata.deletionTimestamp === undefined) return { kind: 'nothing' };
  const finalizers = object.metadata.finalizers ?? [];
  if (finalizers.includes(ORPHAN)) return { kind: 'orphan-dependents' };
  if (!finalizers.includes(FOREGROUND)) return { kind: 'nothing' };
  const blocking = dependents.some((dependent) => blocks(dependent, object));
  return blocking ? { kind: 'await-dependents' } : { kind: 'release' };
}

/** True for an object that is being deleted in the foreground. */
export function isWaiting(object: KubeObject): boolean {
  return (
    object.metadata.deletionTimestamp !== undefined &&
    (object.metadata.finalizers ?? []).includes(FOREGROUND)
  );
}

/** The references of `object` without those to `uids`. */
export function withoutOwners(object: KubeObject, uids: readonly string[]): OwnerReference[] {
  return (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.includes(uid));
}

/** How an owner reads when it does not block anymore. */
export function unblocked(object: KubeObject): OwnerReference[] {
  return (object.metadata.ownerReferences ?? []).map((reference) => ({
    ...reference,
    blockOwnerDeletion: false,
  }));
}

function blocks(dependent: KubeObject, owner: KubeObject): boolean {
  const reference = dependent.metadata.ownerReferences?.find(
    ({ uid }) => uid === owner.metadata.uid,
  );
  return reference?.blockOwnerDeletion === true;
}

function policyOf(object: KubeObject): 'Background' | 'Foreground' | 'Orphan' {
  const finalizers = object.metadata.finalizers ?? [];
  if (finalizers.includes(ORPHAN)) return 'Orphan';
  return finalizers.includes(FOREGROUND) ? 'Foreground' : 'Background';
}
