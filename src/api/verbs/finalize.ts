/**
 * namespaces/finalize: takes finalizers out of a namespace's spec; with the last one the namespace
 * goes.
 */

import type { KubeObject } from '../../resources/types.ts';
import { methodNotSupported, subjectOf } from '../status.ts';
import type { ObjectAnswer, RequestContext, Target } from '../types.ts';
import { decodeObject } from './body.ts';
import { changeObject } from './change.ts';
import type { VerbsContext } from './components.ts';
import { agreeOnName } from './create.ts';
import { isReadyToGo } from './deletion-state.ts';
import { cloneJson } from './json.ts';
import { requiredName } from './keys.ts';
import { answerOf, checkPreconditions } from './update.ts';

type Namespace = KubeObject & { spec?: { finalizers?: string[] } };

/** Replaces spec.finalizers by those of the body. */
export async function finalizeNamespace(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  body: unknown,
): Promise<ObjectAnswer> {
  if (target.kind.kind !== 'Namespace') {
    throw methodNotSupported(subjectOf(target), 'update of finalize');
  }
  const wanted = decodeObject(context, target, body) as Namespace;
  agreeOnName(requiredName(target), wanted);
  const changed = await changeObject(verbs, context, target, (old) => {
    checkPreconditions(target, wanted, old);
    const object = cloneJson(old) as Namespace;
    object.spec = { ...object.spec, finalizers: [...(wanted.spec?.finalizers ?? [])] };
    if (object.spec.finalizers?.length === 0) delete object.spec.finalizers;
    return { object, removes: isReadyToGo(target.kind, object) };
  });
  return answerOf(target, changed);
}
