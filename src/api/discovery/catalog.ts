/**
 * The kinds by the paths they are served under. Several group versions may show one kind; the catalog knows, for each
 * group version and plural, which declaration stands behind it and by which conversion.
 */

import type { ResourceKind, ServedVersion } from '../../resources/types.ts';

/** A kind as one group version serves it; `served` is absent for the storage version. */
export type Serving = { readonly kind: ResourceKind; readonly served?: ServedVersion };

export type GroupVersion = { readonly group: string; readonly version: string };

/** Where the kinds come from. `generation` changes whenever `kinds` does (custom resources). */
export interface KindSource {
  readonly generation: number;
  kinds(): readonly ResourceKind[];
}

/** The order of kubectl's and upstream's listings: core workloads first, then by name. */
const GROUP_ORDER = ['', 'apps', 'events.k8s.io', 'authentication.k8s.io', 'authorization.k8s.io'];

/** Looks kinds up by path; follows the source. */
export class KindCatalog {
  readonly #source: KindSource;
  #generation = -1;
  #byPath = new Map<string, Serving>();
  #versions = new Map<string, string[]>();

  constructor(source: KindSource) {
    this.#source = source;
  }

  /** Changes whenever an answer of this catalog may. */
  get generation(): number {
    return this.#source.generation;
  }

  /** The kind at `/apis/<group>/<version>/<plural>`, or undefined. */
  find(group: string, version: string, plural: string): Serving | undefined {
    this.#follow();
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** All kinds of a group version, by plural; empty if it has none. */
  servings(group: string, version: string): readonly Serving[] {
    this.#follow();
    const prefix = `${group}/${version}/`;
    const found = [...this.#byPath].filter(([path]) => path.startsWith(prefix));
    return found.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, serving]) => serving);
  }

  /** The groups that have kinds, each with its versions, preferred first. */
  groups(): readonly { readonly group: string; readonly versions: readonly string[] }[] {
    this.#follow();
    return [...this.#versions]
      .map(([group, versions]) => ({ group, versions }))
      .sort((a, b) => rank(a.group) - rank(b.group) || (a.group < b.group ? -1 : 1));
  }

  #follow(): void {
    if (this.#generation === this.#source.generation) return;
    this.#generation = this.#source.generation;
    this.#byPath = new Map();
    this.#versions = new Map();
    for (const kind of this.#source.kinds()) {
      this.#add(kind.group, kind.version, { kind });
      for (const served of kind.served) this.#add(served.group, served.version, { kind, served });
    }
    for (const versions of this.#versions.values()) versions.sort(compareVersions);
  }

  #add(group: string, version: string, serving: Serving): void {
    this.#byPath.set(`${group}/${version}/${serving.kind.plural}`, serving);
    const versions = this.#versions.get(group) ?? [];
    if (!versions.includes(version)) versions.push(version);
    this.#versions.set(group, versions);
  }
}

/** A source that never changes. */
export function fixedKinds(kinds: readonly ResourceKind[]): KindSource {
  return { generation: 0, kinds: () => kinds };
}

function rank(group: string): number {
  const index = GROUP_ORDER.indexOf(group);
  return index < 0 ? GROUP_ORDER.length : index;
}

/** Orders versions as Kubernetes does: v2, v1, v2beta1, v1beta2, v1alpha1, then the rest by name. */
export function compareVersions(a: string, b: string): number {
  const left = parseVersion(a);
  const right = parseVersion(b);
  if (left === undefined || right === undefined) {
    if (left !== undefined) return -1;
    if (right !== undefined) return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  return right.stability - left.stability || right.major - left.major || right.minor - left.minor;
}

function parseVersion(version: string) {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return undefined;
  const stability = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0;
  return { stability, major: Number(match[1]), minor: Number(match[3] ?? 0) };
}
