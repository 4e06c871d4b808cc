/** The kinds that this server knows, found by what a request or an object names. */
import { invariant } from '../lib/invariant.ts';
import type { KindMap } from './generated/kinds.ts';
import { configMapKind } from './kinds/config-map.ts';
import { customResourceDefinitionKind } from './kinds/custom-resource-definition.ts';
import { deploymentKind } from './kinds/deployment.ts';
import { endpointSliceKind } from './kinds/endpoint-slice.ts';
import { endpointsKind } from './kinds/endpoints.ts';
import { eventKind } from './kinds/event.ts';
import { leaseKind } from './kinds/lease.ts';
import { namespaceKind } from './kinds/namespace.ts';
import { nodeKind } from './kinds/node.ts';
import { podKind } from './kinds/pod.ts';
import { replicaSetKind } from './kinds/replica-set.ts';
import { secretKind } from './kinds/secret.ts';
import { serviceKind } from './kinds/service.ts';
import { serviceAccountKind } from './kinds/service-account.ts';
import type { KubeObject, ResourceKind, ServedVersion } from './types.ts';

/** A kind as one group version serves it; `served` is absent for the storage version. */
export type FoundKind = { readonly kind: ResourceKind; readonly served?: ServedVersion };

/** One group version with all it serves, for discovery. */
export type GroupVersionKinds = {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly FoundKind[];
};

/** Lookups over a set of kinds. */
export interface KindRegistry {
  /** All kinds, in the order of registration. */
  readonly kinds: readonly ResourceKind[];
  byGroupVersionResource(group: string, version: string, plural: string): FoundKind | undefined;
  byGroupVersionKind(group: string, version: string, kind: string): FoundKind | undefined;
  /** By storage group and plural: the two parts of a storage key. */
  byStorageResource(group: string, plural: string): ResourceKind | undefined;
  /** A kind by its bare name: 'Pod'. The first registered wins. */
  byKind(kind: string): ResourceKind | undefined;
  /** As byKind for a built-in kind, typed. */
  builtIn<K extends keyof KindMap>(kind: K): ResourceKind<KindMap[K]>;
  /** Every group version served, core first, then by group; the preferred version of a group first. */
  groupVersions(): readonly GroupVersionKinds[];
}

/** The kinds of this release. */
export const allKinds: readonly ResourceKind[] = [
  erase(namespaceKind),
  erase(nodeKind),
  erase(podKind),
  erase(serviceKind),
  erase(endpointsKind),
  erase(configMapKind),
  erase(secretKind),
  erase(serviceAccountKind),
  erase(eventKind),
  erase(deploymentKind),
  erase(replicaSetKind),
  erase(endpointSliceKind),
  erase(leaseKind),
  erase(customResourceDefinitionKind),
];

/** A registry over `kinds`. Default: all built-in kinds. Two kinds may not serve the same resource. */
export function createKindRegistry(kinds: readonly ResourceKind[] = allKinds): KindRegistry {
  const byResource = new Map<string, FoundKind>();
  const byKind = new Map<string, FoundKind>();
  const byName = new Map<string, ResourceKind>();
  const byStorage = new Map<string, ResourceKind>();
  for (const kind of kinds) {
    for (const found of versionsOf(kind)) {
      const { group, version } = found.served ?? kind;
      const resource = `${group}/${version}/${kind.plural}`;
      invariant(!byResource.has(resource), 'each resource is served by one kind', { resource });
      byResource.set(resource, found);
      byKind.set(`${group}/${version}/${kind.kind}`, found);
    }
    if (!byName.has(kind.kind)) byName.set(kind.kind, kind);
    byStorage.set(`${kind.group}/${kind.plural}`, kind);
  }
  const groups = collectGroups(kinds);
  return {
    kinds,
    byGroupVersionResource: (group, version, plural) =>
      byResource.get(`${group}/${version}/${plural}`),
    byGroupVersionKind: (group, version, kind) => byKind.get(`${group}/${version}/${kind}`),
    byStorageResource: (group, plural) => byStorage.get(`${group}/${plural}`),
    byKind: (kind) => byName.get(kind),
    builtIn: <K extends keyof KindMap>(name: K) => {
      const kind = byName.get(name);
      invariant(kind !== undefined, 'a built-in kind is registered', { name });
      return kind as unknown as ResourceKind<KindMap[K]>;
    },
    groupVersions: () => groups,
  };
}

function versionsOf(kind: ResourceKind): FoundKind[] {
  return [{ kind }, ...kind.served.map((served) => ({ kind, served }))];
}

function collectGroups(kinds: readonly ResourceKind[]): readonly GroupVersionKinds[] {
  const groups = new Map<string, FoundKind[]>();
  for (const found of kinds.flatMap(versionsOf)) {
    const { group, version } = found.served ?? found.kind;
    const key = `${group}/${version}`;
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [found]);
    else list.push(found);
  }
  return [...groups]
    .map(([key, list]) => {
      const [group = '', version = ''] = key.split('/');
      return { group, version, kinds: list };
    })
    .sort((a, b) => compareGroups(a, b));
}

type GroupVersion = { readonly group: string; readonly version: string };

function compareGroups(a: GroupVersion, b: GroupVersion): number {
  if (a.group !== b.group) return a.group < b.group ? -1 : 1;
  return compareVersions(a.version, b.version);
}

/** Stable before beta before alpha; within a stage the higher number first. */
function compareVersions(a: string, b: string): number {
  const left = versionRank(a);
  const right = versionRank(b);
  for (const [index, value] of left.entries()) {
    const difference = (right[index] ?? 0) - value;
    if (difference !== 0) return difference;
  }
  return 0;
}

function versionRank(version: string): readonly [stage: number, major: number, minor: number] {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return [-1, 0, 0];
  const [, major, stage, minor] = match;
  return [stage === undefined ? 2 : stage === 'beta' ? 1 : 0, Number(major), Number(minor ?? 0)];
}

/** The machinery handles all kinds alike: each declaration only ever sees objects of its own kind. */
function erase<T extends KubeObject>(kind: ResourceKind<T>): ResourceKind {
  return kind as unknown as ResourceKind;
}
