/**
 * Adoption and release: brings ownership of pods in line with the selector of the object that owns them. A dying owner
 * neither adopts nor releases, and whether it is dying is asked of the API, not of a cache, before anything is adopted.
 */

import { isNotFound } from '../../src/client/errors.ts';
import type { Client } from '../../src/client/types.ts';
import { matchesLabelSelector } from '../../src/resources/labels.ts';
import type { Pod, ReplicaSet } from './kinds.ts';
import { controllerReference, decideClaim } from './owners.ts';
import { isPodFinished } from './pods.ts';

/** The pods among `candidates` that belong to `owner`, after adopting and releasing what the selector says. */
export async function claimPods(
  client: Client,
  owner: ReplicaSet,
  kind: 'ReplicaSet',
  candidates: readonly Pod[],
): Promise<readonly Pod[]> {
  const owned: Pod[] = [];
  const adoptable: Pod[] = [];
  for (const pod of candidates) {
    const selected = matchesLabelSelector(owner.spec.selector, pod.metadata.labels ?? {});
    const claim = decideClaim(owner, pod, selected);
    if (claim === 'own') owned.push(pod);
    else if (claim === 'adopt' && !isPodFinished(pod)) adoptable.push(pod);
    else if (claim === 'release') await release(client, owner, pod);
  }
  if (adoptable.length === 0 || !(await mayAdopt(client, owner, kind))) return owned;
  for (const pod of adoptable) {
    const adopted = await adopt(client, owner, kind, pod);
    if (adopted) owned.push(adopted);
  }
  return owned;
}

async function mayAdopt(client: Client, owner: ReplicaSet, kind: 'ReplicaSet'): Promise<boolean> {
  const { namespace = '', name, uid } = owner.metadata;
  try {
    const live = await client.get(kind, { namespace, name });
    return live.metadata.uid === uid && live.metadata.deletionTimestamp === undefined;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function adopt(
  client: Client,
  owner: ReplicaSet,
  kind: 'ReplicaSet',
  pod: Pod,
): Promise<Pod | undefined> {
  const reference = controllerReference(owner, 'apps/v1', kind);
  return patchOwners(client, pod, [...(pod.metadata.ownerReferences ?? []), reference]);
}

async function release(client: Client, owner: ReplicaSet, pod: Pod): Promise<void> {
  const others = (pod.metadata.ownerReferences ?? []).filter(
    (reference) => reference.uid !== owner.metadata.uid,
  );
  await patchOwners(client, pod, others);
}

/** The resource version in the patch makes it fail when the pod changed since it was looked at. */
async function patchOwners(
  client: Client,
  pod: Pod,
  ownerReferences: Pod['metadata']['ownerReferences'],
): Promise<Pod | undefined> {
  const { namespace = '', name, uid, resourceVersion } = pod.metadata;
  const body = { metadata: { uid, resourceVersion, ownerReferences } };
  try {
    return await client.patch('Pod', { namespace, name }, { type: 'merge', body });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
