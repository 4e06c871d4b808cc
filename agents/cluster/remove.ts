/** Deleting what may be gone already: to a level-triggered controller that is the same. */

import { isNotFound } from '../../src/client/errors.ts';
import type { Client, ClientDeleteOptions, KindMap, KindName } from '../../src/client/types.ts';
import type { KubeObject } from '../../src/resources/types.ts';

/**
 * Deletes exactly the object that was looked at (its uid is a precondition). Returns false when it was gone; a successor of
 * the same name is left alone and reported as a conflict.
 */
export async function deleteIfPresent<K extends KindName>(
  client: Client,
  kind: K,
  object: KindMap[K] & KubeObject,
  options: ClientDeleteOptions = {},
): Promise<boolean> {
  const { namespace, name, uid } = object.metadata;
  const key = namespace === undefined ? { name } : { namespace, name };
  const preconditions = { ...(uid === undefined ? {} : { uid }), ...options.preconditions };
  try {
    await client.delete(kind, key, { ...options, preconditions });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
