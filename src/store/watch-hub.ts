/**
 * Who wants to hear of which changes. Sinks are filed under their prefix, and a change looks up only the few
 * prefixes that cover its key: the price of a write does not grow with the watchers of other things. All who
 * watch the same prefix are handed the same batch.
 */

import type { Logger } from '../lib/logger.ts';
import { coveringPrefixes } from './keys.ts';
import type { Revision, StoreEvent, StoreWatch, WatchSink } from './types.ts';

type Watcher = {
  readonly sink: WatchSink;
  /** The flush during or after which it came. */
  readonly since: number;
};

type Group = { readonly watchers: Set<Watcher>; pending: StoreEvent[] };

/** Collects events during an apply and hands each watcher its batch at the end. */
export class WatchHub {
  readonly #logger: Logger;
  readonly #groups = new Map<string, Group>();
  #touched: Group[] = [];
  #watchers = 0;
  #flushes = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Number of open watches. */
  get size(): number {
    return this.#watchers;
  }

  add(prefix: string, sink: WatchSink): StoreWatch {
    const watcher: Watcher = { sink, since: this.#flushes };
    let group = this.#groups.get(prefix);
    if (group === undefined) {
      group = { watchers: new Set(), pending: [] };
      this.#groups.set(prefix, group);
    }
    group.watchers.add(watcher);
    this.#watchers++;
    return { close: () => this.#remove(prefix, watcher) };
  }

  /** Files `event` with the watchers it concerns. */
  collect(event: StoreEvent): void {
    if (this.#watchers === 0) return;
    for (const prefix of coveringPrefixes(event.object.key)) {
      const group = this.#groups.get(prefix);
      if (group === undefined) continue;
      if (group.pending.length === 0) this.#touched.push(group);
      group.pending.push(event);
    }
  }

  /** Delivers what was collected. A sink may open and close watches meanwhile; who comes now has seen it all. */
  flush(revision: Revision): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    const flush = ++this.#flushes;
    for (const group of touched) {
      const events = group.pending;
      group.pending = [];
      for (const { sink, since } of group.watchers) {
        if (since < flush) this.deliver(sink, events, revision);
      }
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
    const group = this.#groups.get(prefix);
    if (group?.watchers.delete(watcher) !== true) return;
    this.#watchers--;
    if (group.watchers.size === 0) this.#groups.delete(prefix);
  }
}
