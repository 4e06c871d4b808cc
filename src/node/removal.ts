/**
 * Removes a node from the cluster: from the group that votes, from the members (which cuts its connections everywhere), its
 * Node object, and the pods it ran, so that they are replaced at once. Every step may be repeated, so that a removal that was interrupted is simply ordered again.
 */

import { isNotFound } from '../client/errors.ts';
import type { Client } from '../client/types.ts';
import { STATUS_METHOD } from '../consensus/consensus.ts';
import type { Consensus } from '../consensus/types.ts';
import { hasCode, messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Mesh } from '../mesh/types.ts';
import type { Store } from '../store/types.ts';
import type { MemberRecord } from './data-dir.ts';
import { deleteMember, memberOfNode, readMembers } from './members.ts';

/** The request by which a node learns that it is removed, while it can still be reached. */
export const REMOVED_METHOD = 'node.removed';

export type RemovalComponents = {
  readonly store: Store;
  readonly consensus: Pick<Consensus, 'removeMember'>;
  readonly mesh: Pick<Mesh, 'self' | 'request'>;
  readonly client: Pick<Client, 'get' | 'list' | 'delete'>;
  readonly clusterId: string;
  readonly log: Logger;
};

export type Removed = {
  readonly node: string;
  readonly peer: string | undefined;
  /** Undefined if the node itself knows: it ends. Otherwise why it could not be told: it runs on, cut off, until somebody stops it. */
  readonly untold: string | undefined;
};

/** A busy machine may need a moment; a dead one is not waited for, because its connections are gone. */
const TELL_DEADLINE_MS = 5000;

/** The error of a node that is no member any more, with the remedy. */
export function removedError(clusterId: string, root: string): SkeinError {
  return new SkeinError(
    'not-admitted',
    `this node was removed from cluster ${clusterId} and may not return under its old identity; to use the machine again: skein reset --yes --data-dir ${root}, then skein join with a new token`,
  );
}

/**
 * Removes node `name`. Rejects with config-invalid when there is none, when it is this node, or when those that would
 * remain could not go on (with the reason); with no-leader while there is no quorum.
 */
export async function removeNode(components: RemovalComponents, name: string): Promise<Removed> {
  const { store, mesh, log } = components;
  await store.readBarrier();
  const member = memberOfNode(store, name);
  if (!member && !(await hasNodeObject(components, name))) {
    const known = readMembers(store)
      .map(({ node }) => node)
      .sort();
    throw new SkeinError(
      'config-invalid',
      `there is no node "${name}"; nodes are ${known.join(', ')}`,
    );
  }
  if (member?.peer === mesh.self) {
    throw new SkeinError(
      'config-invalid',
      `${name} is the node of this machine: it cannot see its own removal through; run this command on another node`,
    );
  }
  const untold = member ? await removeMember(components, member) : 'it is no member';
  await deleteNodeObject(components, name);
  await deletePods(components, name);
  log.info({ member: name, peer: member?.peer, untold }, 'a node was removed from the cluster');
  return { node: name, peer: member?.peer, untold };
}

/** Resolves with why the node could not be told, or undefined. */
async function removeMember(
  components: RemovalComponents,
  member: MemberRecord,
): Promise<string | undefined> {
  const { store, consensus } = components;
  const { node, peer } = member;
  try {
    await consensus.removeMember(peer);
  } catch (error) {
    // The reason comes with the peer's id, which nobody recognises.
    if (!hasCode(error, 'config-invalid')) throw error;
    const text = messageOf(error).replaceAll(peer, node);
    throw new SkeinError('config-invalid', text, { cause: error });
  }
  // Before its connections are cut: afterwards nobody can tell it anything.
  const untold = await tell(components, peer);
  await deleteMember(store, peer);
  return untold;
}

async function tell(
  { mesh, clusterId }: RemovalComponents,
  peer: string,
): Promise<string | undefined> {
  const options = { deadlineMs: TELL_DEADLINE_MS };
  return mesh.request(peer, REMOVED_METHOD, { clusterId }, options).then(
    () => undefined,
    (error: unknown) => messageOf(error),
  );
}

/** True if the process of `peer` answers now. */
export async function answers(mesh: Pick<Mesh, 'request'>, peer: string): Promise<boolean> {
  const options = { deadlineMs: TELL_DEADLINE_MS };
  return mesh.request(peer, STATUS_METHOD, {}, options).then(
    () => true,
    () => false,
  );
}

async function hasNodeObject({ client }: RemovalComponents, name: string): Promise<boolean> {
  try {
    await client.get('Node', { name });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** After the member: as long as the node is one it would register itself anew. */
async function deleteNodeObject({ client }: RemovalComponents, name: string): Promise<void> {
  try {
    await client.delete('Node', { name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** After the Node object: their replacements must not be sent to the same node. Without grace, as nobody is left to end them. */
async function deletePods({ client, log }: RemovalComponents, name: string): Promise<void> {
  const { items } = await client.list('Pod', { fieldSelector: `spec.nodeName=${name}` });
  for (const { metadata } of items) {
    const { namespace = 'default', name: pod, uid } = metadata;
    const key = { namespace, name: pod };
    const preconditions = uid === undefined ? {} : { uid };
    try {
      await client.delete('Pod', key, { gracePeriodSeconds: 0, preconditions });
    } catch (error) {
      // Whatever is left is found by the collector of orphaned pods.
      if (!isNotFound(error))
        log.warn({ pod: key, error: messageOf(error) }, 'a pod was not deleted');
    }
  }
}
