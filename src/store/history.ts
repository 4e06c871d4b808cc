/**
 * The window of recent events: what a watch can resume from and a paginated list can look back through.
 * Bounded by count and by bytes; the oldest go first.
 */

import type { Key, Revision, StoredObject, StoreEvent } from './types.ts';

/** The window's limits. */
export type HistoryOptions = {
  /** Most events kept. Default 50 000. */
  readonly historyEventsMax?: number;
  /** Most bytes of object text kept alive by events. Default 64 MiB. */
  readonly historyBytesMax?: number;
};

/** What an event costs beyond its object's text. */
const EVENT_OVERHEAD_BYTES = 256;

/** Events in revision order, the oldest dropped when a limit is passed. */
export class History {
  readonly #eventsMax: number;
  readonly #bytesMax: number;
  #events: StoreEvent[] = [];
  #head = 0;
  #bytes = 0;
  #oldest: Revision;

  constructor(options: HistoryOptions = {}, oldest = 0 as Revision) {
    this.#eventsMax = options.historyEventsMax ?? 50_000;
    this.#bytesMax = options.historyBytesMax ?? 64 * 1024 * 1024;
    this.#oldest = oldest;
  }

  /** Everything behind this revision is still here. */
  get oldest(): Revision {
    return this.#oldest;
  }

  push(event: StoreEvent): void {
    this.#events.push(event);
    this.#bytes += costOf(event);
    while (this.#events.length - this.#head > this.#eventsMax || this.#bytes > this.#bytesMax) {
      this.#dropOldest();
    }
    if (this.#head > 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Events under `prefix` behind `from`, in order. `from` must not be older than the window. */
  since(from: Revision, prefix: string): StoreEvent[] {
    const found: StoreEvent[] = [];
    for (let at = this.#firstBehind(from); at < this.#events.length; at++) {
      const event = this.#events[at] as StoreEvent;
      if (event.object.key.startsWith(prefix)) found.push(event);
    }
    return found;
  }

  /**
   * For every key under `prefix` that changed behind `at`: what it was at that revision (undefined:
   * it did not exist).
   */
  overlay(at: Revision, prefix: string): Map<Key, StoredObject | undefined> {
    const former = new Map<Key, StoredObject | undefined>();
    for (const event of this.since(at, prefix)) {
      if (!former.has(event.object.key)) former.set(event.object.key, event.previous);
    }
    return former;
  }

  /** Forgets everything: the state jumped to `revision`. */
  reset(revision: Revision): void {
    this.#events = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#oldest = revision;
  }

  #dropOldest(): void {
    const event = this.#events[this.#head] as StoreEvent;
    (this.#events as (StoreEvent | undefined)[])[this.#head] = undefined;
    this.#head++;
    this.#bytes -= costOf(event);
    this.#oldest = event.object.revision;
  }

  #firstBehind(from: Revision): number {
    let low = this.#head;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle] as StoreEvent).object.revision <= from) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A put's text is also the current state's until it is replaced, so this overstates a little. */
function costOf(event: StoreEvent): number {
  return event.object.bytes.length + EVENT_OVERHEAD_BYTES;
}
