/**
 * Patch: the present state in the client's version, with the patch applied, replaces the present
 * state; retried after a race.
 */

import { applyPatch } from '../patch/apply-patch.ts';
import { badRequest } from '../status.ts';
import type { ObjectAnswer, Patch, RequestContext, Target } from '../types.ts';
import { decodeObject } from './body.ts';
import { changeObject } from './change.ts';
import type { VerbsContext } from './components.ts';
import { agreeOnName, agreeOnNamespace } from './create.ts';
import { isRecord } from './json.ts';
import { requiredName } from './keys.ts';
import { answerOf, plannerFor } from './update.ts';
import { servedObject } from './versions.ts';

/** Patches an object or its status. */
export async function patchObject(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  patch: Patch,
): Promise<ObjectAnswer> {
  const name = requiredName(target);
  const schema = (target.served ?? target.kind).schema;
  const planner = plannerFor(verbs, context, target, (old) => {
    const patched = applyPatch(schema, servedObject(target, old), patch);
    if (!isRecord(patched)) throw badRequest('the patch makes something that is no object');
    const object = decodeObject(context, target, patched);
    agreeOnName(name, object);
    agreeOnNamespace(target, object);
    return object;
  });
  return answerOf(target, await changeObject(verbs, context, target, planner));
}
