/**
 * The shape of keys: `/<group>/<plural>/<namespace>/<name>`. The core group is written `core`, a
 * cluster-scoped object has an empty namespace. Every prefix ends in a slash, so that the prefix of one
 * namespace never covers another that merely starts alike.
 */

import type { Key } from './types.ts';

/** What names one object; `group` is empty for the core group, `namespace` for cluster scope. */
export type ObjectName = {
  readonly group: string;
  readonly plural: string;
  readonly namespace?: string | undefined;
  readonly name: string;
};

/** Keys below this are the product's own bookkeeping and are never served. */
export const INTERNAL_PREFIX = '/skein/';

/** `/apps/deployments/default/web`. */
export function objectKey(of: ObjectName): Key {
  return `${resourcePrefix(of.group, of.plural)}${of.namespace ?? ''}/${of.name}`;
}

/** `/apps/deployments/`: every object of one resource. */
export function resourcePrefix(group: string, plural: string): string {
  return `/${group === '' ? 'core' : group}/${plural}/`;
}

/** `/apps/deployments/default/`: one namespace of one resource; an empty namespace means cluster scope. */
export function namespacePrefix(group: string, plural: string, namespace: string): string {
  return `${resourcePrefix(group, plural)}${namespace}/`;
}

/** A key of the product's own: `/skein/<area>//<name>`. */
export function internalKey(area: string, name: string): Key {
  return `${INTERNAL_PREFIX}${area}//${name}`;
}

/** The parts of a key (`group` empty for core), or undefined if `key` is none. */
export function parseKey(key: Key): Required<ObjectName> | undefined {
  if (!key.startsWith('/')) return undefined;
  const groupEnd = key.indexOf('/', 1);
  const pluralEnd = groupEnd < 0 ? -1 : key.indexOf('/', groupEnd + 1);
  const namespaceEnd = pluralEnd < 0 ? -1 : key.indexOf('/', pluralEnd + 1);
  if (namespaceEnd < 0) return undefined;
  const group = key.slice(1, groupEnd);
  const plural = key.slice(groupEnd + 1, pluralEnd);
  const name = key.slice(namespaceEnd + 1);
  if (group === '' || plural === '' || name === '') return undefined;
  return {
    group: group === 'core' ? '' : group,
    plural,
    namespace: key.slice(pluralEnd + 1, namespaceEnd),
    name,
  };
}

/** `/<group>/<plural>/` of a key, or the whole key if it has no such part. */
export function resourcePrefixOf(key: Key): string {
  const pluralEnd = key.indexOf('/', key.indexOf('/', 1) + 1);
  return pluralEnd < 0 ? key : key.slice(0, pluralEnd + 1);
}

/** Every prefix that covers `key`, shortest first, and the key itself. */
export function coveringPrefixes(key: Key): string[] {
  const prefixes: string[] = [];
  for (let at = key.indexOf('/'); at >= 0 && prefixes.length < 4; at = key.indexOf('/', at + 1)) {
    prefixes.push(key.slice(0, at + 1));
  }
  prefixes.push(key);
  return prefixes;
}

/** True if a watch or search for `prefix` concerns `key`: one that ends in a slash names many keys, any other one. */
export function covers(prefix: string, key: Key): boolean {
  return prefix.endsWith('/') ? key.startsWith(prefix) : key === prefix;
}

/** The smallest string behind every string that starts with `prefix`; undefined if there is none. */
export function prefixEnd(prefix: string): string | undefined {
  if (prefix === '') return undefined;
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
