/**
 * The process's view of one kind: the local replica itself, with indexes and listeners beside it. Nothing is copied:
 * an object is parsed when it is asked for, and the parsed form is shared and kept as long as memory allows (see
 * src/store/parse-cache.ts). Events arrive in the same turn in which the store applies them: what a listener reads is
 * never older than what it was told.
 *
 * A new index or listener has to see every object once. That goes in slices, so that a hundred thousand objects do not
 * stop the event loop, and all who came together are served by one pass. A change to an object that the pass has not
 * reached yet is left to the pass.
 *
 * `synced` means that the replica has caught up with every write acknowledged before the informer started. Until then it
 * shows the replica's older state. A node that cannot reach a quorum goes on asking. `whenSynced` waits for the pass too.
 */

import { sleep } from '../lib/async.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { KubeObject } from '../resources/types.ts';
import type { Key, StoredObject, StoreEvent, StoreReader, StoreWatch } from '../store/types.ts';
import { InformerIndex } from './informer-index.ts';
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

/** Sees every object once, then every change. */
type Follower = {
  readonly handle: (event: StoreEvent) => void;
  readonly meet: (key: Key, object: unknown) => void;
  /** What it has seen: everything, nothing yet, or as much as the pass it takes part in. */
  seen: 'all' | 'nothing' | 'pass';
};

type IndexFollower<T> = Follower & { readonly index: InformerIndex<T> };

/** Waits between attempts to learn that the replica is current. */
const SYNC_BACKOFF = { initialMs: 100, maxMs: 5_000 };
/** How long a pass goes on before the event loop gets its turn, and how many objects it fetches at once. */
const SLICE_MS = 8;
const PAGE_OBJECTS = 64;

/** The objects under one prefix (`/<group>/<plural>/`). */
export class StoreInformer<T extends KubeObject> implements Informer<T> {
  readonly #components: InformerComponents;
  readonly #prefix: string;
  readonly #indexes = new Map<string, IndexFollower<T>>();
  readonly #listeners = new Set<Follower>();
  readonly #stop = new AbortController();
  readonly #whenCurrent: Promise<void>;
  readonly #watch: StoreWatch;
  #current = false;
  /** The key up to which the pass under way has come. */
  #pass: Key | undefined;
  #idle = Promise.withResolvers<void>();

  constructor(components: InformerComponents, prefix: string) {
    this.#components = components;
    this.#prefix = prefix;
    this.#idle.resolve();
    const watching = components.store.watch(prefix, undefined, (events) => this.#handle(events));
    invariant(watching.kind === 'watching', 'the newest revision is never too old to watch', {
      prefix,
    });
    this.#watch = watching.watch;
    this.#whenCurrent = this.#confirm();
    // A stopped informer that nobody waits for is no unhandled rejection.
    this.#whenCurrent.catch(() => {});
  }

  get synced(): boolean {
    return this.#current;
  }

  async whenSynced(signal?: AbortSignal): Promise<void> {
    await abortableWait(this.#whenCurrent, signal);
    await abortableWait(this.#idle.promise, signal);
  }

  get(key: ObjectKey): T | undefined {
    const stored = this.#components.store.get(`${this.#prefix}${key.namespace ?? ''}/${key.name}`);
    return stored?.object as T | undefined;
  }

  list(namespace?: string): readonly T[] {
    const prefix = namespace === undefined ? this.#prefix : `${this.#prefix}${namespace}/`;
    return this.#items(prefix).map((item) => item.object as T);
  }

  byIndex(name: string, value: string): readonly T[] {
    const found = this.#indexes.get(name);
    invariant(found !== undefined, 'an index is added before it is asked', { index: name });
    // Whoever cannot wait for the pass gets a whole answer all the same.
    if (found.seen !== 'all') this.#catchUp(found);
    const { index } = found;
    const objects: T[] = [];
    for (const key of index.keys(value)) {
      const object = this.#components.store.get(key)?.object as T | undefined;
      // The store is ahead of the index within a turn: what has left this value since is left out.
      if (object !== undefined && index.extract(object).includes(value)) objects.push(object);
    }
    return objects;
  }

  addIndex(name: string, extract: Extract<T>): void {
    const known = this.#indexes.get(name);
    if (known !== undefined) {
      invariant(known.index.extract === extract, 'an index name means one function', { name });
      return;
    }
    const index = new InformerIndex<T>(extract);
    this.#indexes.set(name, {
      index,
      meet: (key, object) => index.insert(key, object as T),
      handle: (event) => index.change(event),
      seen: 'nothing',
    });
    this.#startPass();
  }

  subscribe(listener: Listener<T>): () => void {
    const follower: Follower = {
      meet: (_key, object) => this.#notify(listener, { type: 'added', object: object as T }),
      handle: (event) => this.#notify(listener, informerEvent<T>(event)),
      seen: 'nothing',
    };
    this.#listeners.add(follower);
    this.#startPass();
    return () => void this.#listeners.delete(follower);
  }

  /** No more events; reads still show the replica. */
  stop(): void {
    this.#stop.abort(new SkeinError('aborted', 'the informer has stopped'));
    this.#watch.close();
    this.#listeners.clear();
  }

  #items(prefix: string, after?: Key, limit?: number): readonly StoredObject[] {
    const options = { ...(after && { after }), ...(limit && { limit }) };
    const listed = this.#components.store.list(prefix, options);
    invariant(listed.kind === 'listed', 'a list of the newest state is never too old', { prefix });
    return listed.items;
  }

  async #confirm(): Promise<void> {
    const { store, clock, random, logger } = this.#components;
    const { signal } = this.#stop;
    for (let attempt = 0; ; attempt++) {
      try {
        await store.readBarrier({ signal });
        this.#current = true;
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        const facts = { prefix: this.#prefix, attempt, reason: messageOf(error) };
        logger.debug(facts, 'the replica is not known to be current yet');
        await sleep(backoffMs(attempt, random, SYNC_BACKOFF), clock, signal);
      }
    }
  }

  /** Indexes first: a listener may ask them about what it is told. */
  #handle(events: readonly StoreEvent[]): void {
    for (const event of events) {
      for (const index of this.#indexes.values())
        if (this.#hasMet(index, event)) index.handle(event);
    }
    for (const event of events) {
      for (const follower of this.#listeners) {
        if (this.#hasMet(follower, event)) follower.handle(event);
      }
    }
  }

  *#followers(): Generator<Follower> {
    yield* this.#indexes.values();
    yield* this.#listeners;
  }

  #hasMet({ seen }: Follower, event: StoreEvent): boolean {
    if (seen === 'pass') return this.#pass !== undefined && event.object.key <= this.#pass;
    return seen === 'all';
  }

  /** Who comes while a pass is under way waits for the next one. */
  #startPass(): void {
    if (this.#pass !== undefined) return;
    this.#idle = Promise.withResolvers<void>();
    this.#beginPass();
    this.#walk();
  }

  #beginPass(): void {
    this.#pass = '';
    for (const follower of this.#followers()) {
      if (follower.seen === 'nothing') follower.seen = 'pass';
    }
  }

  #walk(): void {
    const { clock } = this.#components;
    const startMs = clock.monotonicMs();
    while (this.#pass !== undefined) {
      if (!this.#walkPage()) this.#endPass();
      else if (clock.monotonicMs() - startMs >= SLICE_MS) {
        clock.soon(() => this.#walk());
        return;
      }
    }
  }

  /** False when there is nothing more to see. */
  #walkPage(): boolean {
    const { store } = this.#components;
    const revision = store.revision();
    const items = this.#items(this.#prefix, this.#pass, PAGE_OBJECTS);
    for (const item of items) {
      this.#pass = item.key;
      // Not kept: the objects of a large kind would drive all others out of the cache, and become garbage when it is old.
      const object = item.glance();
      for (const follower of this.#followers()) {
        if (follower.seen === 'pass') follower.meet(item.key, object);
      }
      // A listener wrote, and the page shows what was before.
      if (store.revision() !== revision) return true;
    }
    return items.length === PAGE_OBJECTS && !this.#stop.signal.aborted;
  }

  #endPass(): void {
    let more = false;
    for (const follower of this.#followers()) {
      if (follower.seen === 'pass') follower.seen = 'all';
      else if (follower.seen === 'nothing') more = true;
    }
    if (more && !this.#stop.signal.aborted) this.#beginPass();
    else {
      this.#pass = undefined;
      this.#idle.resolve();
    }
  }

  /** Shows one follower everything that it has not met. */
  #catchUp(follower: Follower): void {
    const after = follower.seen === 'pass' ? this.#pass : undefined;
    for (const item of this.#items(this.#prefix, after)) follower.meet(item.key, item.glance());
    follower.seen = 'all';
  }

  /** A listener's failure is its own: neither the store's apply nor other listeners may suffer. */
  #notify(listener: Listener<T>, event: InformerEvent<T>): void {
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

function informerEvent<T>(event: StoreEvent): InformerEvent<T> {
  if (event.type === 'delete') return { type: 'deleted', object: event.object.object as T };
  const object = event.object.object as T;
  const { previous } = event;
  if (previous === undefined) return { type: 'added', object };
  return {
    type: 'modified',
    object,
    // Most listeners never ask, and it may have to be parsed again.
    get previous() {
      return previous.object as T;
    },
  };
}
