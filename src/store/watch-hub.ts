/**
 * Who wants to hear of which changes. Sinks are filed under their prefix, and a change looks up only the few
 * prefixes that cover its key: the price of a write does not grow with the watchers of other things.
 */

import type { Logger } from '../lib/logger.ts';
import { coveringPrefixes } from './keys.ts';
import type { Revision, StoreEvent, StoreWatch, WatchSink } from './types.ts';

type Watcher = { readonly sink: WatchSink; pending: StoreEvent[]; closed: boolean };

/** Collects events during an apply and hands each watcher its batch at the end. */
export class WatchHub {
  readonly #logger: Logger;
  readonly #byPrefix = new Map<string, Set<Watcher>>();
  #touched: Watcher[] = [];
  #watchers = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Number of open watches. */
  get size(): number {
    return this.#watchers;
  }

  add(prefix: string, sink: WatchSink): StoreWatch {
    const watcher: Watcher = { sink, pending: [], closed: false };
    let group = this.#byPrefix.get(prefix);
    if (group === undefined) {
      group = new Set();
      this.#byPrefix.set(prefix, group);
    }
    group.add(watcher);
    this.#watchers++;
    return { close: () => this.#remove(prefix, watcher) };
  }

  /** Files `event` with the watchers it concerns. */
  collect(event: StoreEvent): void {
    if (this.#watchers === 0) return;
    for (const prefix of coveringPrefixes(event.object.key)) {
      for (const watcher of this.#byPrefix.get(prefix) ?? []) {
        if (watcher.pending.length === 0) this.#touched.push(watcher);
        watcher.pending.push(event);
      }
    }
  }

  /** Delivers what was collected. A sink may open and close watches meanwhile. */
  flush(revision: Revision): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    for (const watcher of touched) {
      const events = watcher.pending;
      watcher.pending = [];
      if (!watcher.closed) this.deliver(watcher.sink, events, revision);
    }
  }

  /** Calls a sink; what it throws is its own affair and never reaches apply. */
  deliver(sink: WatchSink, events: readonly StoreEvent[], revision: Revision): void {
    try {
      sink(events, revision);
    } catch (error) {
      this.#logger.error({ error, revision, events: events.length }, 'a watch sink threw');
    }
  }

  #remove(prefix: string, watcher: Watcher): void {
    if (watcher.closed) return;
    watcher.closed = true;
    this.#watchers--;
    const group = this.#byPrefix.get(prefix);
    group?.delete(watcher);
    if (group?.size === 0) this.#byPrefix.delete(prefix);
  }
}
