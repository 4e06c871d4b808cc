/** The informers of one process, one per kind, started on first use and shared by every client. */

import { invariant } from '../lib/invariant.ts';
import type { KubeObject, ResourceKind } from '../resources/types.ts';
import { resourcePrefix } from '../store/keys.ts';
import { type InformerComponents, StoreInformer } from './informer.ts';
import type { Informer, KindMap, KindName } from './types.ts';

/** Hands out the one informer of a kind. */
export class InformerSet {
  readonly #components: InformerComponents;
  readonly #kinds: ReadonlyMap<string, ResourceKind>;
  readonly #started = new Map<string, StoreInformer<KubeObject>>();

  constructor(components: InformerComponents, kinds: ReadonlyMap<string, ResourceKind>) {
    this.#components = components;
    this.#kinds = kinds;
  }

  informer<K extends KindName>(name: K): Informer<KindMap[K]> {
    let informer = this.#started.get(name);
    if (informer === undefined) {
      const kind = this.#kinds.get(name);
      invariant(kind !== undefined, 'an informer is asked for a declared kind', { name });
      informer = new StoreInformer(this.#components, resourcePrefix(kind.group, kind.plural));
      this.#started.set(name, informer);
    }
    // What lies under a kind's prefix has that kind's type: only the verbs write there.
    return informer as unknown as Informer<KindMap[K]>;
  }

  /** Stops every informer. */
  stop(): void {
    for (const informer of this.#started.values()) informer.stop();
  }
}
