/** Small things that the declarations of kinds share. */
import { sameMeaning } from '../equality.ts';
import type { FieldError, KubeObject, ResourceKind } from '../types.ts';
import { validateMeta, validateObjectMetaUpdate } from '../validation/metadata.ts';

/** Of the proxy subresources: every method of HTTP that has a verb. */
export const PROXY_VERBS = ['create', 'delete', 'get', 'patch', 'update'] as const;

/** What a declaration says; metadata checks are added to its own. */
export type KindDeclaration<T extends KubeObject> = Omit<
  ResourceKind<T>,
  'listKind' | 'singular' | 'validate' | 'validateUpdate' | 'validateStatusUpdate'
> & {
  readonly validate?: ResourceKind<T>['validate'];
  readonly validateUpdate?: ResourceKind<T>['validateUpdate'];
  readonly validateStatusUpdate?: ResourceKind<T>['validateStatusUpdate'];
};

/**
 * Completes a declaration. `validate` covers metadata and what the kind itself checks; `validateUpdate`
 * covers metadata's immutability, the whole object, and what the kind forbids to change.
 */
export function declareKind<T extends KubeObject>(
  declaration: KindDeclaration<T>,
): ResourceKind<T> {
  const validate = (object: T): FieldError[] => [
    ...validateMeta(object, declaration),
    ...(declaration.validate?.(object) ?? []),
  ];
  return {
    ...declaration,
    listKind: `${declaration.kind}List`,
    singular: declaration.kind.toLowerCase(),
    validate,
    validateUpdate: (object, old) => [
      ...validateObjectMetaUpdate(object.metadata, old.metadata),
      ...validate(object),
      ...(declaration.validateUpdate?.(object, old) ?? []),
    ],
    validateStatusUpdate: (object, old) => [
      ...validateObjectMetaUpdate(object.metadata, old.metadata),
      ...(declaration.validateStatusUpdate?.(object, old) ?? []),
    ],
  };
}

/** An object with a spec whose changes are counted. */
type Counted = KubeObject & { spec?: object | undefined };

/** Generation of a new object. Mutates. */
export function startGeneration(object: KubeObject): void {
  object.metadata.generation = 1;
}

/** Generation after an update: one more than before if the spec changed. Mutates. */
export function countGeneration<T extends Counted>(object: T, old: T): void {
  const before = old.metadata.generation ?? 0;
  object.metadata.generation = sameMeaning(object.spec, old.spec) ? before : before + 1;
  if (object.metadata.generation === 0) delete object.metadata.generation;
}

/** Sets or removes an optional field; an undefined value leaves no trace. Mutates. */
export function assignOptional<T extends object, K extends keyof T>(
  target: T,
  key: K,
  value: T[K] | undefined,
): void {
  if (value === undefined) delete target[key];
  else target[key] = value;
}
