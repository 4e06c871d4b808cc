/** Informers filled by hand, for agents whose tests concern the kernel rather than the API. */

import type { Client, Informer, InformerEvent } from '../../src/client/types.ts';
import type { KubeObject } from '../../src/resources/types.ts';

class FakeInformer implements Informer<KubeObject> {
  readonly synced = true;
  readonly #objects = new Map<string, KubeObject>();
  readonly #indexes = new Map<string, (object: KubeObject) => readonly string[]>();
  readonly #listeners = new Set<(event: InformerEvent<KubeObject>) => void>();

  whenSynced(): Promise<void> {
    return Promise.resolve();
  }

  get(key: { readonly namespace?: string | undefined; readonly name: string }) {
    return this.#objects.get(`${key.namespace ?? ''}/${key.name}`);
  }

  list(namespace?: string): readonly KubeObject[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter((o) => o.metadata.namespace === namespace);
  }

  byIndex(index: string, value: string): readonly KubeObject[] {
    const extract = this.#indexes.get(index);
    return this.list().filter((object) => extract?.(object).includes(value));
  }

  addIndex(index: string, extract: (object: KubeObject) => readonly string[]): void {
    this.#indexes.set(index, extract);
  }

  subscribe(listener: (event: InformerEvent<KubeObject>) => void): () => void {
    this.#listeners.add(listener);
    for (const object of this.list()) listener({ type: 'added', object });
    return () => this.#listeners.delete(listener);
  }

  put(object: KubeObject): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#tell(previous ? { type: 'modified', object, previous } : { type: 'added', object });
  }

  remove(object: KubeObject): void {
    if (this.#objects.delete(keyOf(object))) this.#tell({ type: 'deleted', object });
  }

  #tell(event: InformerEvent<KubeObject>): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

export class FakeInformers {
  readonly #informers = new Map<string, FakeInformer>();

  /** A client of which only `informer` may be called. */
  get client(): Client {
    return { informer: (kind: string) => this.#of(kind) } as unknown as Client;
  }

  put(kind: string, object: KubeObject): void {
    this.#of(kind).put(object);
  }

  remove(object: KubeObject): void {
    for (const informer of this.#informers.values()) informer.remove(object);
  }

  #of(kind: string): FakeInformer {
    const informer = this.#informers.get(kind) ?? new FakeInformer();
    this.#informers.set(kind, informer);
    return informer;
  }
}
