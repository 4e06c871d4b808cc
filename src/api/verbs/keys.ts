/** Where a target's objects live in the store. */

import { namespacePrefix, objectKey, resourcePrefix } from '../../store/keys.ts';
import type { Key } from '../../store/types.ts';
import { badRequest } from '../status.ts';
import type { Target } from '../types.ts';

/** The key of the object `name` of the target's kind and namespace. */
export function keyFor(target: Target, name: string): Key {
  const { group, plural, namespaced } = target.kind;
  if (!namespaced) return objectKey({ group, plural, name });
  const { namespace } = target;
  if (namespace === undefined || namespace === '') {
    throw badRequest('an empty namespace may not be set when a resource name is provided');
  }
  return objectKey({ group, plural, namespace, name });
}

/** The prefix of all objects that the target covers. */
export function prefixFor(target: Target): string {
  const { group, plural, namespaced } = target.kind;
  if (namespaced && target.namespace !== undefined && target.namespace !== '') {
    return namespacePrefix(group, plural, target.namespace);
  }
  return resourcePrefix(group, plural);
}

/** The target's name; a request that needs one and has none is a bad request. */
export function requiredName(target: Target): string {
  if (target.name === undefined || target.name === '') throw badRequest('name must be provided');
  return target.name;
}
