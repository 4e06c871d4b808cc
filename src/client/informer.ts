/**
 * The process's cache of one kind, fed by the local replica of the store. The list and the
 * subscription are taken in one turn, so nothing falls between them; objects are parsed once and
 * shared. Events arrive in the same turn in which the store applies them: what a listener reads
 * from the cache is never older than what it was told.
 *
 * `synced` means that the replica has caught up with every write acknowledged before the informer
 * started. Until then the cache shows the replica's older state. A node that cannot reach a quorum
 * goes on asking.
 */

import { sleep } from '../lib/async.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { KubeObject } from '../resources/types.ts';
import type {
  Revision,
  StoredObject,
  StoreEvent,
  StoreReader,
  StoreWatch,
} from '../store/types.ts';
import type { Informer, InformerEvent, ObjectKey } from './types.ts';
import { abortableWait } from './waiting.ts';

export type InformerComponents = {
  readonly store: StoreReader & {
    readBarrier(options?: { readonly signal?: AbortSignal }): Promise<void>;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
};

type Listener<T> = (event: InformerEvent<T>) => void;
type Extract<T> = (object: T) => readonly string[];

/** An index: for every value the objects that have it, by key. */
type Index<T> = { readonly extract: Extract<T>; readonly byValue: Map<string, Map<string, T>> };

/** Waits between attempts to learn that the replica is current. */
const SYNC_BACKOFF = { initialMs: 100, maxMs: 5_000 };

/** The cache of the objects under one prefix (`/<group>/<plural>/`). */
export class StoreInformer<T extends KubeObject> implements Informer<T> {
  readonly #components: InformerComponents;
  readonly #prefix: string;
  readonly #byNamespace = new Map<string, Map<string, T>>();
  readonly #listeners = new Set<Listener<T>>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #stop = new AbortController();
  readonly #whenSynced: Promise<void>;
  #watch: StoreWatch | undefined;
  #revision: Revision;
  #synced = false;

  constructor(components: InformerComponents, prefix: string) {
    this.#components = components;
    this.#prefix = prefix;
    this.#revision = components.store.revision();
    this.#start();
    this.#whenSynced = this.#confirm();
    // A stopped informer that nobody waits for is no unhandled rejection.
    this.#whenSynced.catch(() => {});
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** Revision of the newest event seen. */
  get revision(): Revision {
    return this.#revision;
  }

  whenSynced(signal?: AbortSignal): Promise<void> {
    return abortableWait(this.#whenSynced, signal);
  }

  get(key: ObjectKey): T | undefined {
    return this.#byNamespace.get(key.namespace ?? '')?.get(key.name);
  }

  list(namespace?: string): readonly T[] {
    if (namespace !== undefined) return [...(this.#byNamespace.get(namespace)?.values() ?? [])];
    const all: T[] = [];
    for (const objects of this.#byNamespace.values())
      for (const one of objects.values()) all.push(one);
    return all;
  }

  byIndex(index: string, value: string): readonly T[] {
    const found = this.#indexes.get(index);
    invariant(found !== undefined, 'an index is added before it is asked', { index });
    return [...(found.byValue.get(value)?.values() ?? [])];
  }

  addIndex(name: string, extract: Extract<T>): void {
    const known = this.#indexes.get(name);
    if (known !== undefined) {
      invariant(known.extract === extract, 'an index name means one function', { name });
      return;
    }
    const index: Index<T> = { extract, byValue: new Map() };
    this.#indexes.set(name, index);
    for (const object of this.list()) insertIntoIndex(index, object);
  }

  subscribe(listener: Listener<T>): () => void {
    // A wrapper of its own, so that the same function may be subscribed twice.
    const own: Listener<T> = (event) => listener(event);
    this.#listeners.add(own);
    for (const object of this.list()) this.#notifyOne(own, { type: 'added', object });
    return () => void this.#listeners.delete(own);
  }

  /** Ends the subscription; the cache stays as it is. */
  stop(): void {
    this.#stop.abort(new SkeinError('aborted', 'the informer has stopped'));
    this.#watch?.close();
  }

  #start(): void {
    const { store } = this.#components;
    const listed = store.list(this.#prefix);
    invariant(listed.kind === 'listed', 'a list of the newest state is never too old', {
      prefix: this.#prefix,
    });
    for (const item of listed.items) this.#put(item);
    this.#revision = listed.revision;
    const watching = store.watch(this.#prefix, listed.revision, (events, revision) => {
      for (const event of events) this.#handle(event);
      this.#revision = revision;
    });
    invariant(watching.kind === 'watching', 'the newest revision is never too old to watch', {
      prefix: this.#prefix,
    });
    this.#watch = watching.watch;
  }

  async #confirm(): Promise<void> {
    const { store, clock, random, logger } = this.#components;
    const { signal } = this.#stop;
    for (let attempt = 0; ; attempt++) {
      try {
        await store.readBarrier({ signal });
        this.#synced = true;
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        const facts = { prefix: this.#prefix, attempt, reason: messageOf(error) };
        logger.debug(facts, 'the replica is not known to be current yet');
        await sleep(backoffMs(attempt, random, SYNC_BACKOFF), clock, signal);
      }
    }
  }

  #handle(event: StoreEvent): void {
    if (event.type === 'delete') {
      this.#remove(event.object.object as T);
      return;
    }
    this.#put(event.object);
  }

  #put(item: StoredObject): void {
    const object = item.object as T;
    const namespace = object.metadata.namespace ?? '';
    let objects = this.#byNamespace.get(namespace);
    if (objects === undefined) {
      objects = new Map();
      this.#byNamespace.set(namespace, objects);
    }
    const previous = objects.get(object.metadata.name);
    objects.set(object.metadata.name, object);
    for (const index of this.#indexes.values()) {
      if (previous !== undefined) removeFromIndex(index, previous);
      insertIntoIndex(index, object);
    }
    this.#notify(
      previous === undefined ? { type: 'added', object } : { type: 'modified', object, previous },
    );
  }

  #remove(last: T): void {
    const namespace = last.metadata.namespace ?? '';
    const objects = this.#byNamespace.get(namespace);
    const known = objects?.get(last.metadata.name);
    if (objects === undefined || known === undefined) return;
    objects.delete(last.metadata.name);
    if (objects.size === 0) this.#byNamespace.delete(namespace);
    for (const index of this.#indexes.values()) removeFromIndex(index, known);
    this.#notify({ type: 'deleted', object: last });
  }

  #notify(event: InformerEvent<T>): void {
    for (const listener of this.#listeners) this.#notifyOne(listener, event);
  }

  /** A listener's failure is its own: neither the store's apply nor other listeners may suffer. */
  #notifyOne(listener: Listener<T>, event: InformerEvent<T>): void {
    try {
      listener(event);
    } catch (error) {
      const { logger } = this.#components;
      logger.error(
        { prefix: this.#prefix, event: event.type, error },
        'an informer listener threw',
      );
    }
  }
}

function identity(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

function insertIntoIndex<T extends KubeObject>(index: Index<T>, object: T): void {
  const id = identity(object);
  for (const value of index.extract(object)) {
    let objects = index.byValue.get(value);
    if (objects === undefined) {
      objects = new Map();
      index.byValue.set(value, objects);
    }
    objects.set(id, object);
  }
}

function removeFromIndex<T extends KubeObject>(index: Index<T>, object: T): void {
  const id = identity(object);
  for (const value of index.extract(object)) {
    const objects = index.byValue.get(value);
    objects?.delete(id);
    if (objects?.size === 0) index.byValue.delete(value);
  }
}
