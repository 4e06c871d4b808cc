/** The files of configMap, secret, downwardAPI and projected volumes. Pure, but for the token given in. */

import { type FieldContext, fieldValue, resourceFieldValue } from '../fields.ts';
import type { DownwardItem, KeyToPath, Pod, ProjectedSource, Volume } from '../kinds.ts';
import type { ObjectSource } from '../ports.ts';
import type { Payload, VolumeFile } from './atomic-writer.ts';

/** The files, or why the volume cannot be had yet, in upstream's words. */
export type PayloadResult =
  | { readonly kind: 'built'; readonly payload: Payload }
  | { readonly kind: 'missing'; readonly message: string };

/** Tokens fetched beforehand, by the path they are shown at. */
export type Tokens = ReadonlyMap<string, string>;

export type PayloadContext = {
  readonly fields: FieldContext;
  readonly objects: ObjectSource;
  readonly tokens: Tokens;
};

type Data = Readonly<Record<string, Uint8Array>>;
type Files = Map<string, VolumeFile>;

const MODE_DEFAULT = 0o644;
const TOKEN_MODE = 0o600;

/** True for the volumes that this file builds. */
export function hasPayload(volume: Volume): boolean {
  return Boolean(volume.configMap || volume.secret || volume.downwardAPI || volume.projected);
}

/** The files of a volume as they are to be now. */
export function payloadOf(context: PayloadContext, volume: Volume): PayloadResult {
  const { configMap, secret, downwardAPI, projected } = volume;
  const files: Files = new Map();
  let missing: string | undefined;
  if (configMap) {
    const { name = '', items, optional, defaultMode } = configMap;
    missing = addConfigMap(context, files, { name, items, optional, defaultMode });
  } else if (secret) {
    const { secretName = '', items, optional, defaultMode } = secret;
    missing = addSecret(context, files, { name: secretName, items, optional, defaultMode });
  } else if (downwardAPI) {
    missing = addDownward(context, files, downwardAPI.items ?? [], downwardAPI.defaultMode);
  } else {
    for (const source of projected?.sources ?? []) {
      missing ??= addProjected(context, files, source, projected?.defaultMode);
    }
  }
  if (missing !== undefined) return { kind: 'missing', message: missing };
  return { kind: 'built', payload: owned(files, context.fields.pod) };
}

type KeyedSource = {
  readonly name: string;
  readonly items: readonly KeyToPath[] | undefined;
  readonly optional: boolean | undefined;
  readonly defaultMode: number | undefined;
};

function addConfigMap(
  context: PayloadContext,
  files: Files,
  source: KeyedSource,
): string | undefined {
  const map = context.objects.configMap(namespaceOf(context), source.name);
  if (map === undefined)
    return source.optional ? undefined : `configmap "${source.name}" not found`;
  const data: Record<string, Uint8Array> = {};
  for (const [key, text] of Object.entries(map.data ?? {})) data[key] = Buffer.from(text, 'utf8');
  for (const [key, text] of Object.entries(map.binaryData ?? {})) {
    data[key] = Buffer.from(text, 'base64');
  }
  return addKeys(files, data, source, 'config');
}

function addSecret(context: PayloadContext, files: Files, source: KeyedSource): string | undefined {
  const secret = context.objects.secret(namespaceOf(context), source.name);
  if (secret === undefined)
    return source.optional ? undefined : `secret "${source.name}" not found`;
  const data: Record<string, Uint8Array> = {};
  for (const [key, text] of Object.entries(secret.data ?? {}))
    data[key] = Buffer.from(text, 'base64');
  return addKeys(files, data, source, 'secret');
}

function addKeys(
  files: Files,
  data: Data,
  source: KeyedSource,
  noun: 'config' | 'secret',
): string | undefined {
  const { items, optional, defaultMode = MODE_DEFAULT } = source;
  if (items === undefined || items.length === 0) {
    for (const [key, bytes] of Object.entries(data))
      files.set(key, { data: bytes, mode: defaultMode });
    return undefined;
  }
  for (const { key, path, mode } of items) {
    const bytes = data[key];
    if (bytes === undefined) {
      if (optional) continue;
      return `references non-existent ${noun} key: ${key}`;
    }
    const bad = badPath(path);
    if (bad) return bad;
    files.set(path, { data: bytes, mode: mode ?? defaultMode });
  }
  return undefined;
}

function addDownward(
  context: PayloadContext,
  files: Files,
  items: readonly DownwardItem[],
  defaultMode = MODE_DEFAULT,
): string | undefined {
  for (const { path, mode, fieldRef, resourceFieldRef } of items) {
    const bad = badPath(path);
    if (bad) return bad;
    const value = fieldRef
      ? fieldValue(context.fields, fieldRef)
      : resourceFieldRef && resourceFieldValue(context.fields, resourceFieldRef, undefined);
    if (value === undefined) return `unsupported field for the downward API file ${path}`;
    files.set(path, { data: Buffer.from(value, 'utf8'), mode: mode ?? defaultMode });
  }
  return undefined;
}

function addProjected(
  context: PayloadContext,
  files: Files,
  source: ProjectedSource,
  defaultMode: number | undefined,
): string | undefined {
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (configMap) {
    const { name = '', items, optional } = configMap;
    return addConfigMap(context, files, { name, items, optional, defaultMode });
  }
  if (secret) {
    const { name = '', items, optional } = secret;
    return addSecret(context, files, { name, items, optional, defaultMode });
  }
  if (downwardAPI) return addDownward(context, files, downwardAPI.items ?? [], defaultMode);
  if (serviceAccountToken) {
    const { path } = serviceAccountToken;
    const token = context.tokens.get(path);
    if (token === undefined) return 'failed to fetch token: none was issued';
    const owner = tokenOwner(context.fields.pod);
    const mode = owner.restricted ? TOKEN_MODE : (defaultMode ?? MODE_DEFAULT);
    const uid = owner.uid === undefined ? {} : { uid: owner.uid };
    files.set(path, { data: Buffer.from(token, 'utf8'), mode, ...uid });
    return undefined;
  }
  const [kind = 'unknown'] = Object.keys(source);
  return `projected volume sources of type ${kind} are not supported by this node`;
}

/** A token is for its pod's user alone, where that is known. */
function tokenOwner(pod: Pod): { restricted: boolean; uid?: number } {
  if (pod.spec.securityContext?.fsGroup !== undefined) return { restricted: true };
  const users = new Set(
    [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(
      (spec) => spec.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser,
    ),
  );
  const [uid] = users;
  return users.size === 1 && uid !== undefined ? { restricted: true, uid } : { restricted: false };
}

/** fsGroup owns every file and may read it. */
function owned(files: Files, pod: Pod): Payload {
  const gid = pod.spec.securityContext?.fsGroup;
  if (gid === undefined) return files;
  return new Map(
    [...files].map(([path, file]) => [path, { ...file, gid, mode: file.mode | 0o440 }]),
  );
}

function badPath(path: string): string | undefined {
  const parts = path.split('/');
  const bad = path === '' || path.startsWith('/') || parts.includes('..') || path.startsWith('..');
  return bad ? `invalid path: "${path}" must be relative and must not contain '..'` : undefined;
}

function namespaceOf(context: PayloadContext): string {
  return context.fields.pod.metadata.namespace ?? 'default';
}
