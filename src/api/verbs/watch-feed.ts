/**
 * One watch's way through the events. A feed holds a position and no events: the reader takes them at its own pace from the
 * window of recent events that the store keeps for everybody. However slow a reader is, it costs nothing but its position;
 * when the window has moved past that, the feed ends with 410, and the client lists anew.
 *
 *     initial ──(all objects of a view shown)──► following ──(caught up)──► waiting
 *                                                    ▲                        │ an event under the prefix
 *                                                    └────────────────────────┘
 */

import { setImmediate } from 'node:timers/promises';
import { invariant } from '../../lib/invariant.ts';
import type {
  Revision,
  Store,
  StoredObject,
  StoreEvent,
  StoreView,
  StoreWatch,
} from '../../store/types.ts';
import { gone } from '../status.ts';
import type { WatchEvent, WatchHandle } from '../types.ts';
import type { WakeQueue } from './wake-queue.ts';

/** Events of one batch, so that a reader can honour backpressure in between. */
const BATCH_EVENTS = 500;

export type FeedComponents = {
  readonly store: Pick<Store, 'watch' | 'eventsSince' | 'oldestRevision' | 'revision'>;
  readonly wakeQueue: WakeQueue;
};

export type FeedOptions = {
  /** `/<group>/<plural>/`, one namespace of it, or one key. */
  readonly prefix: string;
  /** Present objects to show first, as ADDED; the watch goes on from there. */
  readonly initial?: StoreView;
  /** Without initial objects: events behind this revision. */
  readonly from: Revision;
  /** What an event means to this watcher, if anything. */
  readonly translate: (event: StoreEvent) => WatchEvent | undefined;
  readonly wants: (item: StoredObject) => boolean;
  /** Present: bookmarks are wanted; after the initial objects too if `initialEnd`. */
  readonly bookmark?: (revision: Revision, initialEnd: boolean) => WatchEvent;
  readonly markInitialEnd?: boolean;
  /** Called once, when the feed ends for whatever reason. */
  readonly onEnd: () => void;
};

/** The events of one watch. */
export class WatchFeed implements WatchHandle {
  readonly #components: FeedComponents;
  readonly #options: FeedOptions;
  #initial: Iterator<StoredObject> | undefined;
  /** Everything up to here was handed out, or did not concern this watch. */
  #position: Revision;
  /** Nothing under the prefix lies behind the position. */
  #caughtUp = false;
  #bookmarkDue = false;
  /** Revision of the newest bookmark or event that the reader was given. */
  #told: Revision;
  /** The feed ends in order when it has come this far. */
  #endAt: Revision | undefined;
  readonly #storeWatch: StoreWatch;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(components: FeedComponents, options: FeedOptions) {
    this.#components = components;
    this.#options = options;
    this.#initial = options.initial?.values();
    this.#position = options.initial?.revision ?? options.from;
    this.#told = this.#position;
    const watching = components.store.watch(options.prefix, undefined, (events) => {
      this.#notice(events);
    });
    invariant(watching.kind === 'watching', 'it is never too late to watch what is to come');
    this.#storeWatch = watching.watch;
  }

  /** Revision that the reader can resume from. */
  get told(): Revision {
    return this.#told;
  }

  /** Shows the reader how far the store has come, as soon as it has seen everything up to there. */
  requestBookmark(): void {
    if (this.#options.bookmark === undefined) return;
    this.#bookmarkDue = true;
    this.#wakeUp();
  }

  /** Ends in order: with what has happened by now, and a last bookmark. */
  finish(): void {
    if (this.#endAt !== undefined || this.#ended) return;
    this.#endAt = this.#components.store.revision();
    this.#bookmarkDue = this.#options.bookmark !== undefined;
    this.#wakeUp();
  }

  /** Ends at once. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#initial = undefined;
    this.#storeWatch.close();
    this.#options.onEnd();
    this.#wakeUp();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly WatchEvent[], void, void> {
    try {
      while (!this.#ended) {
        const batch = this.#initial === undefined ? this.#next() : this.#nextInitial(this.#initial);
        if (batch.length > 0) yield batch;
        else if (this.#idle) await this.#wait();
        // A stretch of the window without anything for this watch: others get their turn.
        else if (!this.#ended) await setImmediate();
      }
    } finally {
      this.close();
    }
  }

  get #idle(): boolean {
    return !this.#ended && this.#caughtUp && !this.#bookmarkDue && this.#endAt === undefined;
  }

  /** An event under the prefix. Called while the store applies: nothing is done but to remember it. */
  #notice(events: readonly StoreEvent[]): void {
    if (!this.#caughtUp) return;
    this.#caughtUp = false;
    // Nothing up to the first of them concerned this watch; the search begins right before it.
    const first = events[0]?.object.revision ?? this.#position + 1;
    this.#position = Math.max(this.#position, first - 1) as Revision;
    this.#components.wakeQueue.wake(this.#wakeUp);
  }

  #nextInitial(items: Iterator<StoredObject>): WatchEvent[] {
    // A view whose revision has left the window is one that the watch cannot go on from.
    if (this.#position < this.#components.store.oldestRevision()) return this.#tooOld();
    const batch: WatchEvent[] = [];
    for (let looked = 0; looked < BATCH_EVENTS; looked++) {
      const item = items.next();
      if (item.done === true) {
        this.#initial = undefined;
        const { bookmark, markInitialEnd } = this.#options;
        if (bookmark && markInitialEnd) batch.push(bookmark(this.#position, true));
        return batch;
      }
      if (this.#options.wants(item.value)) batch.push({ type: 'ADDED', item: item.value });
    }
    return batch;
  }

  #next(): WatchEvent[] {
    const { store } = this.#components;
    const { prefix, translate, bookmark } = this.#options;
    const page = this.#caughtUp
      ? undefined
      : store.eventsSince(prefix, this.#position, BATCH_EVENTS);
    if (page?.kind === 'too-old') return this.#tooOld();
    const batch: WatchEvent[] = [];
    for (const event of page?.events ?? []) {
      const translated = translate(event);
      if (translated === undefined) continue;
      batch.push(translated);
      this.#told = event.object.revision;
    }
    if (page !== undefined) {
      this.#position = page.through;
      this.#caughtUp = page.complete;
    }
    if (this.#caughtUp) {
      this.#position = store.revision();
      if (this.#bookmarkDue && bookmark) {
        this.#bookmarkDue = false;
        this.#told = this.#position;
        batch.push(bookmark(this.#position, false));
      }
    }
    // The reader is given this batch, and then finds the end.
    if (this.#endAt !== undefined && this.#position >= this.#endAt) this.close();
    return batch;
  }

  #tooOld(): WatchEvent[] {
    const oldest = this.#components.store.oldestRevision();
    const { status } = gone(`too old resource version: ${this.#position} (${oldest})`);
    this.close();
    return [{ type: 'ERROR', status }];
  }

  #wait(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  readonly #wakeUp = (): void => {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  };
}
