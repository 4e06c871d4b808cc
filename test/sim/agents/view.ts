/** The cluster's objects as the committed history has them. */

import type { Pod, ReplicaSet } from '../../../agents/cluster/kinds.ts';
import type {
  Deployment,
  EndpointSlice,
  Endpoints,
  Node,
  Service,
} from '../../../src/resources/generated/kinds.ts';
import type { KubeObject } from '../../../src/resources/types.ts';
import type { ModelEvent } from '../checkers/store-model.ts';

type Kinds = {
  readonly pods: Pod;
  readonly nodes: Node;
  readonly services: Service;
  readonly endpoints: Endpoints;
  readonly endpointslices: EndpointSlice;
  readonly replicasets: ReplicaSet;
  readonly deployments: Deployment;
};
export type Plural = keyof Kinds;

/** One committed change of an object. */
export type Change = {
  readonly plural: string;
  readonly key: string;
  readonly before: KubeObject | undefined;
  readonly after: KubeObject | undefined;
};

export class ClusterView {
  readonly #objects = new Map<string, Map<string, KubeObject>>();

  /** Takes one event over; undefined if it is not about an object that users see. */
  take({ key, type, text }: ModelEvent): Change | undefined {
    const [, group, plural = ''] = key.split('/');
    if (group === 'skein') return undefined;
    const objects = this.#of(plural);
    const before = objects.get(key);
    const after = type === 'put' ? (JSON.parse(text) as KubeObject) : undefined;
    if (after === undefined) objects.delete(key);
    else objects.set(key, after);
    return { plural, key, before, after };
  }

  list<P extends Plural>(plural: P): Kinds[P][] {
    return [...this.#of(plural).values()] as unknown as Kinds[P][];
  }

  /** The uids of everything there is. */
  uids(): Set<string> {
    const all = [...this.#objects.values()].flatMap((objects) => [...objects.values()]);
    return new Set(all.map(({ metadata }) => metadata.uid ?? ''));
  }

  /** Everything there is. */
  *all(): Iterable<KubeObject> {
    for (const objects of this.#objects.values()) yield* objects.values();
  }

  #of(plural: string): Map<string, KubeObject> {
    let objects = this.#objects.get(plural);
    if (objects === undefined) {
      objects = new Map();
      this.#objects.set(plural, objects);
    }
    return objects;
  }
}

/** The uid of the object that controls this one. */
export function controllerUid({ metadata }: Pick<KubeObject, 'metadata'>): string | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;
}

/** A pod that counts for its owner: neither finished nor on its way out. */
export function isLive({ metadata, status }: Pod): boolean {
  const finished = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return metadata.deletionTimestamp === undefined && !finished;
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') === true;
}
