/**
 * The protobuf messages of the API: which field stands behind which number. Loaded from a generated table on first use, and
 * parsed one message at a time.
 */

import { readFileSync } from 'node:fs';

/** What a field holds. A message is named in full, `k8s.io.api.core.v1.PodSpec`. */
export type FieldType =
  | { readonly kind: 'scalar'; readonly scalar: Scalar }
  | { readonly kind: 'message'; readonly message: string };

export type Scalar = 'string' | 'bytes' | 'bool' | 'int32' | 'int64' | 'double';

export type MessageField = {
  readonly name: string;
  readonly type: FieldType;
  /** `map`: `type` is that of the values; keys are always strings. */
  readonly shape: 'single' | 'repeated' | 'map';
};

/** Fields by number. */
export type Message = ReadonlyMap<number, MessageField>;

const SCALARS: ReadonlySet<string> = new Set([
  'string',
  'bytes',
  'bool',
  'int32',
  'int64',
  'double',
]);

let table: Record<string, string> | undefined;
const parsed = new Map<string, Message | undefined>();

/** The message of a full name, or undefined. */
export function messageNamed(name: string): Message | undefined {
  let message = parsed.get(name);
  if (message === undefined && !parsed.has(name)) {
    table ??= load();
    const text = table[name];
    message = text === undefined ? undefined : parseMessage(name, text);
    parsed.set(name, message);
  }
  return message;
}

/** The message behind a kind, or undefined: `apps/v1` Deployment is `k8s.io.api.apps.v1.Deployment`. */
export function messageOfKind(apiVersion: string, kind: string): string | undefined {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  // Packages are named for the first part of the group: rbac.authorization.k8s.io is `rbac`.
  const [short = ''] = group === '' ? ['core'] : group.split('.');
  const candidates = [
    `k8s.io.api.${short}.${version}.${kind}`,
    `k8s.io.apiextensions_apiserver.pkg.apis.${short}.${version}.${kind}`,
    `k8s.io.kube_aggregator.pkg.apis.${short}.${version}.${kind}`,
    // Options of requests travel under the group version of their object.
    `k8s.io.apimachinery.pkg.apis.meta.v1.${kind}`,
  ];
  return candidates.find((name) => messageNamed(name) !== undefined);
}

function load(): Record<string, string> {
  return JSON.parse(readFileSync(new URL('messages.generated.json', import.meta.url), 'utf8'));
}

function parseMessage(name: string, text: string): Message {
  const scope = name.slice(0, name.lastIndexOf('.'));
  const fields = new Map<number, MessageField>();
  for (const piece of text === '' ? [] : text.split('|')) {
    const [number = '', field = '', type = ''] = piece.split(' ');
    fields.set(Number(number), { name: field, ...parseType(scope, type) });
  }
  return fields;
}

function parseType(scope: string, text: string): Pick<MessageField, 'type' | 'shape'> {
  if (text.startsWith('*')) return { shape: 'repeated', type: typeNamed(scope, text.slice(1)) };
  const map = /^map<string,(.+)>$/.exec(text);
  if (map !== null) return { shape: 'map', type: typeNamed(scope, map[1] ?? '') };
  return { shape: 'single', type: typeNamed(scope, text) };
}

function typeNamed(scope: string, name: string): FieldType {
  if (SCALARS.has(name)) return { kind: 'scalar', scalar: name as Scalar };
  return { kind: 'message', message: name.startsWith('.') ? name.slice(1) : `${scope}.${name}` };
}
