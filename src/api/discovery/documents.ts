/**
 * The discovery documents, as bytes made once per generation of the catalog: /api, /apis, /apis/<group>, the
 * resource lists of group versions, and the aggregated form that answers all of it in one request.
 */

import { createHash } from 'node:crypto';
import type { KindCatalog } from './catalog.ts';
import { allGroups, type ResourceEntry, resourceEntries } from './resource-entries.ts';

/** A document and the tag under which clients may keep it. */
export type Document = { readonly bytes: Buffer; readonly etag: string };

export type AggregatedVersion = 'v2' | 'v2beta1';

/** Serves discovery for a catalog. */
export class DiscoveryDocuments {
  readonly #catalog: KindCatalog;
  readonly #made = new Map<string, Document | undefined>();
  #generation: number;

  constructor(catalog: KindCatalog) {
    this.#catalog = catalog;
    this.#generation = catalog.generation;
  }

  /** /api: APIVersions. `serverAddress` is where the client reached us. */
  coreVersions(serverAddress: string): object {
    return {
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
    };
  }

  /** /apis: APIGroupList. */
  groups(): Document {
    return this.#document('groups', () => ({
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: this.#namedGroups().map(groupBody),
    }));
  }

  /** /apis/<group>: APIGroup, or undefined. */
  group(group: string): Document | undefined {
    const found = this.#namedGroups().find((one) => one.group === group);
    if (found === undefined) return undefined;
    return this.#document(`group ${group}`, () => ({
      kind: 'APIGroup',
      apiVersion: 'v1',
      ...groupBody(found),
    }));
  }

  /** /api/v1 and /apis/<group>/<version>: APIResourceList, or undefined. */
  resources(group: string, version: string): Document | undefined {
    const entries = resourceEntries(this.#catalog, group, version);
    if (entries.length === 0) return undefined;
    return this.#document(`resources ${group}/${version}`, () => ({
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: group === '' ? version : `${group}/${version}`,
      resources: entries.flatMap((entry) => legacyEntries(entry)),
    }));
  }

  /** /api (`core`) or /apis in the aggregated form. */
  aggregated(core: boolean, version: AggregatedVersion): Document {
    return this.#document(`aggregated ${core} ${version}`, () => ({
      kind: 'APIGroupDiscoveryList',
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items: allGroups(this.#catalog)
        .filter(({ group }) => (group === '') === core)
        .map(({ group, versions }) => ({
          metadata: { name: group, creationTimestamp: null },
          versions: versions.map((one) => ({
            version: one,
            resources: resourceEntries(this.#catalog, group, one).map((entry) =>
              aggregatedEntry(entry, group, one),
            ),
            freshness: 'Current',
          })),
        })),
    }));
  }

  #namedGroups() {
    return allGroups(this.#catalog).filter(({ group }) => group !== '');
  }

  #document(id: string, make: () => object): Document {
    if (this.#generation !== this.#catalog.generation) {
      this.#generation = this.#catalog.generation;
      this.#made.clear();
    }
    let document = this.#made.get(id);
    if (document === undefined) {
      document = documentOf(make());
      this.#made.set(id, document);
    }
    return document;
  }
}

/** A value as JSON bytes (or bytes as they are) with a tag made of their hash. */
export function documentOf(value: object): Document {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
  const etag = createHash('sha256').update(bytes).digest('hex').slice(0, 64).toUpperCase();
  return { bytes, etag };
}

function groupBody({
  group,
  versions,
}: {
  readonly group: string;
  readonly versions: readonly string[];
}) {
  const all = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: all, preferredVersion: all[0] };
}

function legacyEntries(entry: ResourceEntry): readonly object[] {
  const main = {
    name: entry.name,
    singularName: entry.singular,
    namespaced: entry.namespaced,
    kind: entry.kind,
    verbs: entry.verbs,
    ...(entry.shortNames.length === 0 ? {} : { shortNames: entry.shortNames }),
    ...(entry.categories.length === 0 ? {} : { categories: entry.categories }),
  };
  const below = entry.subresources.map((subresource) => ({
    name: `${entry.name}/${subresource.name}`,
    singularName: '',
    namespaced: entry.namespaced,
    group: subresource.group,
    version: subresource.version,
    kind: subresource.kind,
    verbs: subresource.verbs,
  }));
  return [main, ...below];
}

function aggregatedEntry(entry: ResourceEntry, group: string, version: string): object {
  return {
    resource: entry.name,
    responseKind: { group, version, kind: entry.kind },
    scope: entry.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: entry.singular,
    verbs: entry.verbs,
    ...(entry.shortNames.length === 0 ? {} : { shortNames: entry.shortNames }),
    ...(entry.categories.length === 0 ? {} : { categories: entry.categories }),
    ...(entry.subresources.length === 0
      ? {}
      : {
          subresources: entry.subresources.map((subresource) => ({
            subresource: subresource.name,
            responseKind: {
              group: subresource.group,
              version: subresource.version,
              kind: subresource.kind,
            },
            verbs: subresource.verbs,
          })),
        }),
  };
}
