/** The kinds that agents treat alike, whatever they are: what the namespace controller and the garbage collector sweep. */

import type { Client, Informer, KindName } from '../../src/client/types.ts';
import type { KubeObject, ResourceKind } from '../../src/resources/types.ts';

/** The part of a kind's declaration that matters here. */
export type SweptKind = Pick<ResourceKind, 'group' | 'plural' | 'namespaced'> & {
  readonly kind: KindName;
};

/** The built-in kinds among `kinds`. */
export function sweptKinds(kinds: readonly ResourceKind[]): readonly SweptKind[] {
  return kinds.map(({ group, plural, namespaced, kind }) => {
    return { group, plural, namespaced, kind: kind as KindName };
  });
}

/** The cache of any kind, seen as metadata only. */
export function metadataInformer(client: Client, kind: KindName): Informer<KubeObject> {
  // An informer of a kind hands out objects of that kind, all of which are KubeObjects; only reads happen here.
  return client.informer(kind) as unknown as Informer<KubeObject>;
}
