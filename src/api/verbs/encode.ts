/**
 * Objects into the bytes that are stored. The head of the text is built by hand, with
 * resourceVersion as the first member of metadata: its place is then known by construction, a
 * constant per kind, and nothing a user writes into an object can be taken for it.
 */

import type { KubeObject, ResourceKind } from '../../resources/types.ts';
import { putVersion, StoredVersion } from '../../store/stored-version.ts';
import type { Key, Revision, StoredObject } from '../../store/types.ts';

/** A put's value: JSON with an empty resourceVersion, and where its digits belong. */
export type Encoded = { readonly value: Buffer; readonly revisionOffset: number };

/** The group version of an object as it stands in apiVersion. */
export function apiVersionOf(of: { readonly group: string; readonly version: string }): string {
  return of.group === '' ? of.version : `${of.group}/${of.version}`;
}

const heads = new WeakMap<ResourceKind, string>();

/** Serializes an object of the storage version once. `object` is not modified. */
export function encodeObject(kind: ResourceKind, object: KubeObject): Encoded {
  let head = heads.get(kind);
  if (head === undefined) {
    head = headOf(kind.kind, apiVersionOf(kind));
    heads.set(kind, head);
  }
  return encodeWithHead(head, object);
}

function headOf(kind: string, apiVersion: string): string {
  const names = `"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)}`;
  return `{${names},"metadata":{"resourceVersion":"`;
}

function encodeWithHead(head: string, object: KubeObject): Encoded {
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = object;
  const { resourceVersion: _revision, ...others } = metadata;
  const text = `${head}"${tailOf(others)}${tailOf(rest)}`;
  return { value: Buffer.from(text, 'utf8'), revisionOffset: Buffer.byteLength(head, 'utf8') };
}

/** The members of an object and its closing brace, to follow at least one other member. */
function tailOf(members: object): string {
  const text = JSON.stringify(members);
  return text === '{}' ? '}' : `,${text.slice(1)}`;
}

/** The version that a put of `encoded` makes at `revision`; the same bytes that apply stores. */
export function versionAt(
  key: Key,
  encoded: Encoded,
  revision: Revision,
  createRevision: Revision,
): StoredObject {
  const { value, revisionOffset } = encoded;
  return putVersion({ key, value, revisionOffset, revision, createRevision });
}

/**
 * What a dry run shows: the object as it would be stored, with the resourceVersion it has now, if
 * any.
 */
export function unstored(key: Key, encoded: Encoded, old: StoredObject | undefined): StoredObject {
  if (old !== undefined) return versionAt(key, encoded, old.revision, old.createRevision);
  const none = 0 as Revision;
  const fields = { key, revision: none, createRevision: none, revisionOffset: -1 };
  return new StoredVersion({ ...fields, bytes: withoutRevision(encoded) });
}

function withoutRevision(encoded: Encoded): Buffer {
  const object = JSON.parse(encoded.value.toString('utf8')) as KubeObject;
  delete object.metadata.resourceVersion;
  return Buffer.from(JSON.stringify(object), 'utf8');
}

/** An object of a further group version as JSON, its resourceVersion included. */
export function encodeServed(object: KubeObject): Buffer {
  return Buffer.from(JSON.stringify(object), 'utf8');
}
