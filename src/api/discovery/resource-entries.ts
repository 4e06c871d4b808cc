/**
 * What one group version serves, as discovery tells it: each resource with its names and verbs, each subresource
 * behind its resource. Both discovery forms (legacy and aggregated) are made of these.
 */

import type { ResourceKind, ServedVersion } from '../../resources/types.ts';
import { REVIEW_RESOURCES } from '../auth/reviews.ts';
import type { KindCatalog } from './catalog.ts';

export type SubresourceEntry = {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
};

export type ResourceEntry = {
  readonly name: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly SubresourceEntry[];
};

const ALL_VERBS = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];
const READ_VERBS = ['get', 'list', 'watch'];
const STATUS_VERBS = ['get', 'patch', 'update'];

/** The resources of a group version in order of name; empty if there is none. */
export function resourceEntries(
  catalog: KindCatalog,
  group: string,
  version: string,
): readonly ResourceEntry[] {
  const entries = catalog
    .servings(group, version)
    .map(({ kind, served }) => kindEntry(kind, served));
  for (const resource of REVIEW_RESOURCES) {
    if (resource.group !== group || !resource.versions.includes(version)) continue;
    entries.push({
      name: resource.plural,
      singular: resource.singular,
      namespaced: resource.namespaced,
      kind: resource.kind,
      verbs: ['create'],
      shortNames: [],
      categories: [],
      subresources: [],
    });
  }
  if (group === '' && version === 'v1' && catalog.find('', 'v1', 'pods') !== undefined) {
    entries.push({
      name: 'bindings',
      singular: 'binding',
      namespaced: true,
      kind: 'Binding',
      verbs: ['create'],
      shortNames: [],
      categories: [],
      subresources: [],
    });
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Groups with their versions: those of kinds and those of reviews. */
export function allGroups(
  catalog: KindCatalog,
): readonly { readonly group: string; readonly versions: readonly string[] }[] {
  const groups = [...catalog.groups()];
  for (const { group, versions } of REVIEW_RESOURCES) {
    if (!groups.some((known) => known.group === group)) groups.push({ group, versions });
  }
  return groups;
}

function kindEntry(kind: ResourceKind, served: ServedVersion | undefined): ResourceEntry {
  const { group, version } = served ?? kind;
  const subresources: SubresourceEntry[] = kind.subresources.map((subresource) => ({
    name: subresource.name,
    group: subresource.group ?? group,
    version: subresource.version ?? version,
    kind: subresource.kind,
    verbs: subresource.verbs,
  }));
  const has = (name: string) => subresources.some((subresource) => subresource.name === name);
  if (kind.hasStatus && !has('status')) {
    subresources.push({ name: 'status', group, version, kind: kind.kind, verbs: STATUS_VERBS });
  }
  if (kind.scale !== undefined && !has('scale')) {
    subresources.push({
      name: 'scale',
      group: 'autoscaling',
      version: 'v1',
      kind: 'Scale',
      verbs: STATUS_VERBS,
    });
  }
  return {
    name: kind.plural,
    singular: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: kind.writesRefused === undefined ? ALL_VERBS : READ_VERBS,
    // An older group that shows the same objects must not compete for the short names, nor list them twice under `all`.
    shortNames: group === kind.group ? kind.shortNames : [],
    categories: group === kind.group ? kind.categories : [],
    subresources: subresources.sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

const verbTables = new WeakMap<ResourceKind, ReadonlyMap<string, readonly string[]>>();

/** The verbs of a kind (`subresource` empty) or of one of its subresources; undefined if it has no such subresource. */
export function verbsServed(
  kind: ResourceKind,
  subresource: string,
): readonly string[] | undefined {
  let table = verbTables.get(kind);
  if (table === undefined) {
    const entry = kindEntry(kind, undefined);
    table = new Map([
      ['', entry.verbs],
      ...entry.subresources.map(({ name, verbs }) => [name, verbs] as const),
    ]);
    verbTables.set(kind, table);
  }
  return table.get(subresource);
}
