/** Environment variables of containers and what they are taken from. */
import { invalid, notSupported, required } from '../field-errors.ts';
import type {
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  ObjectFieldSelector,
} from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import {
  configKeyProblems,
  dnsSubdomainProblems,
  envNameProblems,
  labelKeyProblems,
} from './names.ts';
import { validateResourceField } from './resources.ts';
import { validateName, validateOptionalName } from './values.ts';

/** Pod fields that a variable may take. */
const ENV_FIELDS: readonly string[] = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];

/** Pod fields that a downward-API file may take. */
export const FILE_FIELDS: readonly string[] = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];

/** Failures in `env`. */
export function validateEnv(variables: readonly EnvVar[], field: string): FieldError[] {
  return variables.flatMap((variable, index) => {
    const at = `${field}[${index}]`;
    return [
      ...validateName(variable.name, envNameProblems, `${at}.name`),
      ...sourceErrors(variable, `${at}.valueFrom`),
    ];
  });
}

/** Failures in `envFrom`. */
export function validateEnvFrom(sources: readonly EnvFromSource[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  sources.forEach((source, index) => {
    const at = `${field}[${index}]`;
    errors.push(...validateOptionalName(source.prefix, envNameProblems, `${at}.prefix`));
    const given = [source.configMapRef, source.secretRef].filter((ref) => ref !== undefined);
    for (const name of ['configMapRef', 'secretRef'] as const) {
      const reference = source[name];
      if (reference === undefined) continue;
      errors.push(...validateName(reference.name, dnsSubdomainProblems, `${at}.${name}.name`));
    }
    if (given.length === 0) {
      errors.push(invalid(field, '', 'must specify one of: `configMapRef` or `secretRef`'));
    } else if (given.length > 1) {
      errors.push(invalid(field, '', 'may not have more than one field specified at a time'));
    }
  });
  return errors;
}

/** Failures in a reference to a field of the pod. */
export function validateFieldRef(
  reference: ObjectFieldSelector,
  allowed: readonly string[],
  field: string,
): FieldError[] {
  if ((reference.apiVersion ?? '') === '') return [required(`${field}.apiVersion`)];
  const path = reference.fieldPath ?? '';
  if (path === '') return [required(`${field}.fieldPath`)];
  const subscript = /^(.*)\['(.*)'\]$/s.exec(path);
  if (subscript !== null) {
    const [, base = '', key = ''] = subscript;
    if (base !== 'metadata.annotations' && base !== 'metadata.labels') {
      return [invalid(field, base, 'does not support subscript')];
    }
    const checked = base === 'metadata.annotations' ? key.toLowerCase() : key;
    return labelKeyProblems(checked).map((problem) => invalid(field, key, problem));
  }
  if (!ENV_FIELDS.includes(path) && !FILE_FIELDS.includes(path)) {
    const why = `error converting fieldPath: field label not supported: ${path}`;
    return [invalid(`${field}.fieldPath`, path, why)];
  }
  return allowed.includes(path) ? [] : [notSupported(`${field}.fieldPath`, path, allowed)];
}

function sourceErrors(variable: EnvVar, field: string): FieldError[] {
  const source = variable.valueFrom;
  if (source === undefined) return [];
  const errors = referenceErrors(source, field);
  const count = [
    source.fieldRef,
    source.resourceFieldRef,
    source.configMapKeyRef,
    source.secretKeyRef,
    source.fileKeyRef,
  ].filter((reference) => reference !== undefined).length;
  if (count === 0) {
    errors.push(
      invalid(
        field,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
      ),
    );
  } else if ((variable.value ?? '') !== '') {
    errors.push(invalid(field, '', 'may not be specified when `value` is not empty'));
  } else if (count > 1) {
    errors.push(invalid(field, '', 'may not have more than one field specified at a time'));
  }
  return errors;
}

function referenceErrors(source: EnvVarSource, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (source.fieldRef !== undefined) {
    errors.push(...validateFieldRef(source.fieldRef, ENV_FIELDS, `${field}.fieldRef`));
  }
  if (source.resourceFieldRef !== undefined) {
    const at = `${field}.resourceFieldRef`;
    errors.push(...validateResourceField(source.resourceFieldRef, at, false));
  }
  for (const name of ['configMapKeyRef', 'secretKeyRef'] as const) {
    const reference = source[name];
    if (reference === undefined) continue;
    const at = `${field}.${name}`;
    const named = reference.name ?? '';
    for (const problem of dnsSubdomainProblems(named)) {
      errors.push(invalid(`${at}.name`, named, problem));
    }
    errors.push(...validateName(reference.key, configKeyProblems, `${at}.key`));
  }
  return errors;
}
