/**
 * Deletes every object that a list would show. Not one transaction: each goes by the rules of a
 * single delete.
 */

import type { KubeObject } from '../../resources/types.ts';
import type { StoredObject } from '../../store/types.ts';
import { ApiError } from '../status.ts';
import type { DeleteOptions, ListAnswer, ListOptions, RequestContext, Target } from '../types.ts';
import { changeObject } from './change.ts';
import type { VerbsContext } from './components.ts';
import { checkDeleteOptions, deletionPlanner, memberTarget } from './delete.ts';
import { listObjects } from './list.ts';

/** Deletions of one request in flight. */
const CONCURRENT_MAX = 16;

/** Answers with the objects as they were last, gone or marked. */
export async function deleteCollection(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: DeleteOptions,
  selection: ListOptions,
): Promise<ListAnswer> {
  checkDeleteOptions(options);
  const listed = await listObjects(verbs, context, target, selection);
  const items: StoredObject[] = new Array(listed.items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < listed.items.length; at = next++) {
      const item = listed.items[at];
      if (item !== undefined) items[at] = await deleteOne(verbs, context, target, options, item);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_MAX }, worker));
  return { ...listed, items };
}

async function deleteOne(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: DeleteOptions,
  item: StoredObject,
): Promise<StoredObject> {
  const member = memberTarget(target, item.object as KubeObject);
  const planner = deletionPlanner(verbs, context, member, options);
  try {
    return (await changeObject(verbs, context, member, planner)).item;
  } catch (error) {
    // Somebody else was faster.
    if (error instanceof ApiError && error.reason === 'NotFound') return item;
    throw error;
  }
}
