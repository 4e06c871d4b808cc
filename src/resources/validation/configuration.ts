/** ConfigMaps and Secrets: keys, sizes, what each type of Secret must hold, and immutability. */

import { sameMeaning } from '../equality.ts';
import { forbidden, invalid, required, tooLong } from '../field-errors.ts';
import type { ConfigMap, Secret } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { configKeyProblems } from './names.ts';

/** Everything in a ConfigMap or Secret may not be larger than this. */
const DATA_BYTES_MAX = 1024 * 1024;
const IMMUTABLE = 'field is immutable when `immutable` is set';
const REDACTED = '<secret contents redacted>';
const ACCOUNT_ANNOTATION = 'kubernetes.io/service-account.name';

/** Failures in a ConfigMap's data. */
export function validateConfigMap(configMap: ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(configMap.data ?? {})) {
    errors.push(...keyErrors(key, `data[${key}]`));
    if (Object.hasOwn(configMap.binaryData ?? {}, key)) {
      errors.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    }
    bytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(configMap.binaryData ?? {})) {
    errors.push(...keyErrors(key, `binaryData[${key}]`));
    bytes += decodedBytes(value);
  }
  if (bytes > DATA_BYTES_MAX) errors.push(tooLong('[]', DATA_BYTES_MAX));
  return errors;
}

/** Failures of an update to a ConfigMap that has been made immutable. */
export function validateConfigMapUpdate(configMap: ConfigMap, old: ConfigMap): FieldError[] {
  if (old.immutable !== true) return [];
  const errors: FieldError[] = [];
  if (configMap.immutable !== true) errors.push(forbidden('immutable', IMMUTABLE));
  for (const name of ['data', 'binaryData'] as const) {
    if (!sameMeaning(configMap[name], old[name])) errors.push(forbidden(name, IMMUTABLE));
  }
  return errors;
}

/** Failures in a Secret's data, by its type. */
export function validateSecret(secret: Secret): FieldError[] {
  const data = secret.data ?? {};
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    errors.push(...keyErrors(key, `data[${key}]`));
    bytes += decodedBytes(value);
  }
  if (bytes > DATA_BYTES_MAX) errors.push(tooLong('data', DATA_BYTES_MAX));
  const needs = (key: string) => {
    if (!Object.hasOwn(data, key)) errors.push(required(`data[${key}]`));
  };
  switch (secret.type) {
    case 'kubernetes.io/service-account-token':
      if (!secret.metadata.annotations?.[ACCOUNT_ANNOTATION]) {
        errors.push(required(`metadata.annotations[${ACCOUNT_ANNOTATION}]`));
      }
      break;
    case 'kubernetes.io/dockercfg':
      errors.push(...jsonErrors(data, '.dockercfg'));
      break;
    case 'kubernetes.io/dockerconfigjson':
      errors.push(...jsonErrors(data, '.dockerconfigjson'));
      break;
    case 'kubernetes.io/basic-auth':
      if (!Object.hasOwn(data, 'username') && !Object.hasOwn(data, 'password')) {
        needs('username');
        needs('password');
      }
      break;
    case 'kubernetes.io/ssh-auth':
      if ((data['ssh-privatekey'] ?? '') === '') errors.push(required('data[ssh-privatekey]'));
      break;
    case 'kubernetes.io/tls':
      needs('tls.crt');
      needs('tls.key');
      break;
    default:
  }
  return errors;
}

/** Failures of an update: the type stays, and so does everything of an immutable Secret. */
export function validateSecretUpdate(secret: Secret, old: Secret): FieldError[] {
  const errors: FieldError[] = [];
  if ((secret.type ?? '') !== (old.type ?? '')) {
    errors.push(invalid('type', secret.type ?? '', 'field is immutable'));
  }
  if (old.immutable === true) {
    if (secret.immutable !== true) errors.push(forbidden('immutable', IMMUTABLE));
    if (!sameMeaning(secret.data, old.data)) errors.push(forbidden('data', IMMUTABLE));
  }
  return errors;
}

function keyErrors(key: string, field: string): FieldError[] {
  return configKeyProblems(key).map((problem) => invalid(field, key, problem));
}

function jsonErrors(data: Readonly<Record<string, string>>, key: string): FieldError[] {
  const value = data[key];
  if (value === undefined) return [required(`data[${key}]`)];
  try {
    JSON.parse(Buffer.from(value, 'base64').toString('utf8'));
    return [];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [invalid(`data[${key}]`, REDACTED, why)];
  }
}

/** The size of base64 text once decoded. */
function decodedBytes(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return Math.floor((text.length * 3) / 4) - padding;
}
