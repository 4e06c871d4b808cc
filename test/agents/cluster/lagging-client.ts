/**
 * A client whose caches show everything late and in order, as those of a node do that lags behind, and which does not wait
 * for its own writes to be seen. What agents do twice for want of having seen the first shows here.
 */

import type {
  Client,
  Informer,
  InformerEvent,
  KindMap,
  KindName,
  ObjectKey,
} from '../../../src/client/types.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { KubeObject } from '../../../src/resources/types.ts';

export type LagOptions = {
  readonly clock: Clock;
  readonly random: Random;
  /** Longest delay of an event. */
  readonly lagMs: number;
};

/** Wraps `inner`; all clients derived from the result share its late caches. */
export function laggingClient(inner: Client, options: LagOptions): Client {
  const informers = new Map<string, LaggingInformer<KubeObject>>();
  const wrap = (client: Client): Client => ({
    get: (kind, key) => client.get(kind, key),
    list: (kind, listOptions) => client.list(kind, listOptions),
    create: (kind, object) => client.create(kind, object),
    update: (kind, object) => client.update(kind, object),
    updateStatus: (kind, object) => client.updateStatus(kind, object),
    patch: (kind, key, patch, patchOptions) => client.patch(kind, key, patch, patchOptions),
    delete: (kind, key, deleteOptions) => client.delete(kind, key, deleteOptions),
    bind: (pod, node, uid) => client.bind(pod, node, uid),
    finalize: (namespace) => client.finalize(namespace),
    requestToken: (account, tokenOptions) => client.requestToken(account, tokenOptions),
    informer: <K extends KindName>(kind: K) => {
      let informer = informers.get(kind);
      if (!informer) {
        informer = new LaggingInformer(
          client.informer(kind) as unknown as Informer<KubeObject>,
          options,
        );
        informers.set(kind, informer);
      }
      return informer as unknown as Informer<KindMap[K]>;
    },
    fenced: (name, term) => wrap(client.fenced(name, term)),
    as: (user, groups) => wrap(client.as(user, groups)),
  });
  return wrap(inner);
}

class LaggingInformer<T extends KubeObject> implements Informer<T> {
  readonly synced = true;
  readonly #options: LagOptions;
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<(event: InformerEvent<T>) => void>();
  readonly #indexes = new Map<string, (object: T) => readonly string[]>();
  readonly #pending: InformerEvent<T>[] = [];

  constructor(inner: Informer<T>, options: LagOptions) {
    this.#options = options;
    let present = true;
    inner.subscribe((event) => {
      if (present) this.#apply(event);
      else this.#later(event);
    });
    present = false;
  }

  whenSynced(): Promise<void> {
    return Promise.resolve();
  }

  get({ namespace = '', name }: ObjectKey): T | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  list(namespace?: string): readonly T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined
      ? all
      : all.filter(({ metadata }) => (metadata.namespace ?? '') === namespace);
  }

  byIndex(index: string, value: string): readonly T[] {
    const extract = this.#indexes.get(index);
    return this.list().filter((object) => extract?.(object).includes(value) ?? false);
  }

  addIndex(index: string, extract: (object: T) => readonly string[]): void {
    this.#indexes.set(index, extract);
  }

  subscribe(listener: (event: InformerEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    for (const object of this.list()) listener({ type: 'added', object });
    return () => void this.#listeners.delete(listener);
  }

  /** Late, by chance more or less, but in order. */
  #later(event: InformerEvent<T>): void {
    this.#pending.push(event);
    const { clock, random, lagMs } = this.#options;
    clock.after(random.int(0, lagMs), () => {
      const next = this.#pending.shift();
      if (next) this.#apply(next);
    });
  }

  #apply(event: InformerEvent<T>): void {
    const { namespace = '', name } = event.object.metadata;
    const key = `${namespace}/${name}`;
    if (event.type === 'deleted') this.#objects.delete(key);
    else this.#objects.set(key, event.object);
    for (const listener of this.#listeners) listener(event);
  }
}
