/** What an API server does with an object before storing it, cut down to what src/resources does: for tests. */
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { checkStructure } from '../../src/resources/decode.ts';
import { fieldErrorText } from '../../src/resources/field-errors.ts';
import { createKindRegistry } from '../../src/resources/registry.ts';
import type { KubeObject, ResourceKind } from '../../src/resources/types.ts';

export const registry = createKindRegistry();

export type Admitted = {
  readonly kind: ResourceKind;
  readonly object: KubeObject;
  /** Sentences of structure and validation, in that order. */
  readonly errors: readonly string[];
};

/** The kind an object names. Throws if none is registered. */
export function kindOf(object: { apiVersion?: string; kind?: string }) {
  const [group = '', version = ''] = (object.apiVersion ?? '').includes('/')
    ? (object.apiVersion ?? '').split('/')
    : ['', object.apiVersion ?? ''];
  return registry.byGroupVersionKind(group, version, object.kind ?? '');
}

/** Decodes, defaults, converts, prepares and validates a new object in namespace `default`. */
export function admit(input: unknown): Admitted {
  const raw = structuredClone(input) as KubeObject;
  const found = kindOf(raw as { apiVersion?: string; kind?: string });
  if (found === undefined) throw new Error(`no kind for ${raw.apiVersion} ${raw.kind}`);
  const { kind, served } = found;
  const problems = checkStructure(raw, served?.schema ?? kind.schema);
  if (problems.some((problem) => problem.kind === 'type')) {
    return { kind, object: raw, errors: problems.map(({ message }) => message) };
  }
  raw.metadata ??= { name: '' };
  if (kind.namespaced) raw.metadata.namespace ??= 'default';
  served?.defaults?.(raw);
  const object = served?.toStorage(raw) ?? raw;
  kind.defaults?.(object);
  kind.prepareCreate?.(object, { nowIso: '2026-01-01T00:00:00Z' });
  const errors = kind.validate(object).map(fieldErrorText);
  return { kind, object, errors: [...problems.map(({ message }) => message), ...errors] };
}

/** Sentences against an update of a stored object. */
export function updateErrors(kind: ResourceKind, object: KubeObject, old: KubeObject): string[] {
  kind.defaults?.(object);
  kind.prepareUpdate?.(object, old, { nowIso: '2026-01-01T00:00:00Z' });
  return (kind.validateUpdate?.(object, old) ?? []).map(fieldErrorText);
}

/** A copy of `object` with `value` at `path` (`spec.containers.0.image`); undefined removes the field. */
export function withAt<T extends object>(object: T, path: string, value: unknown): T {
  const copy = structuredClone(object);
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let holder = copy as Record<string, unknown>;
  for (const key of keys) {
    holder[key] ??= {};
    holder = holder[key] as Record<string, unknown>;
  }
  if (value === undefined) delete holder[last];
  else holder[last] = value;
  return copy;
}

/** The documents of a manifest in test/fixtures/manifests. */
export function manifest(name: string): KubeObject[] {
  const url = new URL(`../fixtures/manifests/${name}.yaml`, import.meta.url);
  return parseAllDocuments(readFileSync(url, 'utf8')).map((document) => document.toJS());
}

/** A pod as short as can be. */
export const MINIMAL_POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default' },
  spec: { containers: [{ name: 'web', image: 'nginx:1.27' }] },
};

/** A Deployment as short as can be. */
export const MINIMAL_DEPLOYMENT = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'web', image: 'nginx:1.27' }] },
    },
  },
};

/** A Service as short as can be. */
export const MINIMAL_SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
};
