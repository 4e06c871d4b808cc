/** What every object's metadata must satisfy, at creation and at update. */
import { duplicate, forbidden, invalid, required, tooLong } from '../field-errors.ts';
import type { FieldError, KubeObject, ObjectMeta, OwnerReference, ResourceKind } from '../types.ts';
import {
  dnsLabelProblems,
  labelKeyProblems,
  labelValueProblems,
  objectNameProblems,
} from './names.ts';

/** Annotations of one object may not be larger than this, keys and values together. */
const ANNOTATIONS_BYTES_MAX = 256 * 1024;
const IMMUTABLE = 'field is immutable';

type MetaRules = {
  readonly nameRule: ResourceKind['nameRule'];
  readonly namespaced: boolean;
  /** Path of the metadata. Default `metadata`. */
  readonly field?: string;
};

/** Failures in an object's metadata: names, labels, annotations, owners, finalizers. */
export function validateObjectMeta(meta: ObjectMeta, rules: MetaRules): FieldError[] {
  const field = rules.field ?? 'metadata';
  const errors: FieldError[] = [];
  if (meta.generateName !== undefined && meta.generateName !== '') {
    for (const problem of objectNameProblems(meta.generateName, rules.nameRule, true)) {
      errors.push(invalid(`${field}.generateName`, meta.generateName, problem));
    }
  }
  if (meta.name === undefined || meta.name === '') {
    errors.push(required(`${field}.name`, 'name or generateName is required'));
  } else {
    for (const problem of objectNameProblems(meta.name, rules.nameRule)) {
      errors.push(invalid(`${field}.name`, meta.name, problem));
    }
  }
  errors.push(...namespaceErrors(meta.namespace ?? '', rules.namespaced, `${field}.namespace`));
  if (meta.generation !== undefined && meta.generation < 0) {
    errors.push(
      invalid(`${field}.generation`, meta.generation, 'must be greater than or equal to 0'),
    );
  }
  errors.push(...validateLabels(meta.labels, `${field}.labels`));
  errors.push(...validateAnnotations(meta.annotations, `${field}.annotations`));
  errors.push(...ownerErrors(meta.ownerReferences ?? [], `${field}.ownerReferences`));
  errors.push(...finalizerErrors(meta.finalizers ?? [], `${field}.finalizers`));
  return errors;
}

/** Failures of an update in metadata that may not change. */
export function validateObjectMetaUpdate(
  meta: ObjectMeta,
  old: ObjectMeta,
  field = 'metadata',
): FieldError[] {
  const errors: FieldError[] = [];
  const fixed = (name: 'name' | 'namespace' | 'uid' | 'creationTimestamp') => {
    if ((meta[name] ?? '') !== (old[name] ?? '')) {
      errors.push(invalid(`${field}.${name}`, meta[name] ?? '', IMMUTABLE));
    }
  };
  if (old.deletionTimestamp !== undefined) {
    const before = new Set(old.finalizers ?? []);
    const added = (meta.finalizers ?? []).filter((finalizer) => !before.has(finalizer));
    if (added.length > 0) {
      const found = JSON.stringify(added);
      errors.push(
        forbidden(
          `${field}.finalizers`,
          `no new finalizers can be added if the object is being deleted, found new finalizers ${found}`,
        ),
      );
    }
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(invalid(`${field}.generation`, meta.generation, 'must not be decremented'));
  }
  fixed('name');
  fixed('namespace');
  fixed('uid');
  fixed('creationTimestamp');
  if ((meta.deletionTimestamp ?? '') !== (old.deletionTimestamp ?? '')) {
    errors.push(invalid(`${field}.deletionTimestamp`, meta.deletionTimestamp, IMMUTABLE));
  }
  if (meta.deletionGracePeriodSeconds !== old.deletionGracePeriodSeconds) {
    errors.push(
      invalid(`${field}.deletionGracePeriodSeconds`, meta.deletionGracePeriodSeconds, IMMUTABLE),
    );
  }
  return errors;
}

/** The metadata part of a kind's `validate`. */
export function validateMeta(
  object: KubeObject,
  kind: Pick<ResourceKind, 'nameRule' | 'namespaced'>,
): FieldError[] {
  return validateObjectMeta(object.metadata, kind);
}

/** Failures in a map of labels. */
export function validateLabels(
  labels: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const problem of labelKeyProblems(key)) errors.push(invalid(field, key, problem));
    for (const problem of labelValueProblems(value)) errors.push(invalid(field, value, problem));
  }
  return errors;
}

/** Failures in a map of annotations. */
export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    // Capitals are let through in annotations' prefixes, as upstream always did.
    for (const problem of labelKeyProblems(key.toLowerCase())) {
      errors.push(invalid(field, key, problem));
    }
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > ANNOTATIONS_BYTES_MAX) errors.push(tooLong(field, ANNOTATIONS_BYTES_MAX));
  return errors;
}

function namespaceErrors(namespace: string, namespaced: boolean, field: string): FieldError[] {
  if (!namespaced) {
    return namespace === '' ? [] : [forbidden(field, 'not allowed on this type')];
  }
  if (namespace === '') return [required(field)];
  return dnsLabelProblems(namespace).map((problem) => invalid(field, namespace, problem));
}

function ownerErrors(owners: readonly OwnerReference[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller: string | undefined;
  owners.forEach((owner, index) => {
    const at = `${field}[${index}]`;
    if ((owner.apiVersion ?? '') === '') {
      errors.push(invalid(`${at}.apiVersion`, owner.apiVersion ?? '', 'version must not be empty'));
    }
    if ((owner.kind ?? '') === '') errors.push(invalid(`${at}.kind`, '', 'must not be empty'));
    if ((owner.name ?? '') === '') errors.push(invalid(`${at}.name`, '', 'must not be empty'));
    if ((owner.uid ?? '') === '') errors.push(invalid(`${at}.uid`, '', 'must not be empty'));
    if (owner.controller !== true) return;
    const named = `${owner.kind}/${owner.name}`;
    if (controller === undefined) controller = named;
    else {
      errors.push(
        invalid(
          field,
          owners,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${named}`,
        ),
      );
    }
  });
  return errors;
}

function finalizerErrors(finalizers: readonly string[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  finalizers.forEach((finalizer, index) => {
    for (const problem of labelKeyProblems(finalizer)) {
      errors.push(invalid(`${field}[${index}]`, finalizer, problem));
    }
    if (seen.has(finalizer)) errors.push(duplicate(`${field}[${index}]`, finalizer));
    seen.add(finalizer);
  });
  if (seen.has('orphan') && seen.has('foregroundDeletion')) {
    errors.push(
      invalid(field, finalizers, 'finalizers orphan and foregroundDeletion cannot be both set'),
    );
  }
  return errors;
}
