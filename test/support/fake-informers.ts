/** Informers filled by hand, for agents whose tests concern the kernel rather than the API. */

import type { Client, Informer, InformerEvent } from '../../src/client/types.ts';
import { abortableWait } from '../../src/client/waiting.ts';
import type { KubeObject } from '../../src/resources/types.ts';

class FakeInformer implements Informer<KubeObject> {
  readonly #view: View;
  readonly #objects = new Map<string, KubeObject>();
  readonly #indexes = new Map<string, (object: KubeObject) => readonly string[]>();
  readonly #listeners = new Set<(event: InformerEvent<KubeObject>) => void>();

  constructor(view: View) {
    this.#view = view;
  }

  get synced(): boolean {
    return this.#view.complete;
  }

  whenSynced(signal?: AbortSignal): Promise<void> {
    return abortableWait(this.#view.whenComplete, signal);
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

/** Whether the caches are known to be current; the same for all kinds. */
class View {
  complete = false;
  readonly #completed = Promise.withResolvers<void>();
  readonly whenComplete = this.#completed.promise;

  finish(): void {
    this.complete = true;
    this.#completed.resolve();
  }
}

export class FakeInformers {
  readonly #view = new View();
  readonly #informers = new Map<string, FakeInformer>();

  /** @param options `synced` false: the caches stay incomplete until `sync`. Default true. */
  constructor(options: { readonly synced?: boolean } = {}) {
    if (options.synced ?? true) this.sync();
  }

  /** The view is complete from now on. */
  sync(): void {
    this.#view.finish();
  }

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
    const informer = this.#informers.get(kind) ?? new FakeInformer(this.#view);
    this.#informers.set(kind, informer);
    return informer;
  }
}
