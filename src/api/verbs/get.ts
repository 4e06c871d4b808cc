/**
 * Get: the hot path. With resourceVersion 0 it is a look-up in the local replica; otherwise it
 * waits to be current first.
 */

import { notFound, subjectOf } from '../status.ts';
import type { GetOptions, ObjectAnswer, RequestContext, Target } from '../types.ts';
import type { VerbsContext } from './components.ts';
import { freshEnough } from './freshness.ts';
import { keyFor, requiredName } from './keys.ts';
import { bytesOf } from './versions.ts';

/** One object as it is stored. */
export async function getObject(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: GetOptions,
): Promise<ObjectAnswer> {
  const name = requiredName(target);
  const key = keyFor(target, name);
  if (options.resourceVersion !== '0') await freshEnough(verbs, context, options.resourceVersion);
  const item = verbs.store.get(key);
  if (item === undefined) throw notFound(subjectOf(target), name);
  return { code: 200, bytes: bytesOf(target, item), item };
}
