/**
 * The last word on an object before it is stored: the kind's own rules, and warnings about what is
 * on its way out.
 */

import { forbidden } from '../../resources/field-errors.ts';
import type { FieldError, KubeObject } from '../../resources/types.ts';
import { validateObjectMetaUpdate } from '../../resources/validation/metadata.ts';
import { invalid, subjectOf } from '../status.ts';
import type { RequestContext, Target } from '../types.ts';

/** Throws 422 with one cause per failure of a new object. */
export function validateNew(context: RequestContext, target: Target, object: KubeObject): void {
  refuse(
    target,
    object,
    faultsIn(() => target.kind.validate(object)),
  );
  warn(context, target, object);
}

/**
 * Throws 422 with one cause per failure of a changed object. A kind's validateUpdate covers
 * metadata and the whole object.
 */
export function validateChange(
  context: RequestContext,
  target: Target,
  object: KubeObject,
  old: KubeObject,
): void {
  const { kind } = target;
  const find = () =>
    kind.validateUpdate?.(object, old) ?? [
      ...validateObjectMetaUpdate(object.metadata, old.metadata),
      ...kind.validate(object),
    ];
  refuse(target, object, faultsIn(find));
  warn(context, target, object);
}

/** As validateChange, for a change through the status subresource. */
export function validateStatusChange(target: Target, object: KubeObject, old: KubeObject): void {
  const { kind } = target;
  const find = () =>
    kind.validateStatusUpdate?.(object, old) ??
    validateObjectMetaUpdate(object.metadata, old.metadata);
  refuse(target, object, faultsIn(find));
}

/** Validators hand lists of faults on as arguments; a hundred thousand of them exhaust the stack. */
function faultsIn(find: () => readonly FieldError[]): readonly FieldError[] {
  try {
    return find();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [forbidden('', 'the object has more faults than can be listed')];
  }
}

function refuse(target: Target, object: KubeObject, errors: readonly FieldError[]): void {
  if (errors.length === 0) return;
  throw invalid(subjectOf(target), object.metadata.name ?? '', errors);
}

function warn(context: RequestContext, target: Target, object: KubeObject): void {
  const { warnings } = target.kind;
  if (warnings === undefined) return;
  for (const text of warnings(object)) {
    // A retried write says the same again.
    if (!context.warnings.includes(text)) context.warnings.push(text);
  }
}
