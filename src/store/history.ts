/**
 * The window of recent events: what a watch can resume from and a list can look back through. Compaction is dropping
 * its oldest end: at once when it passes a number of events or of bytes, and in the course of time when it passes an age.
 *
 * Each replica keeps its own window, by its own clock: it is no part of the replicated state, and what may be
 * asked of the past may differ a little from member to member.
 */

import { covers } from './keys.ts';
import type { EventPage, Key, Revision, StoredObject, StoreEvent } from './types.ts';

/** The window's limits. */
export type HistoryOptions = {
  /** Most events kept. Default 250 000. */
  readonly historyEventsMax?: number;
  /** Most memory for what only the window keeps: former versions, and a little for each event. Default 64 MiB. */
  readonly historyBytesMax?: number;
  /** Events are kept for this long, if their number and bytes allow. Default 10 minutes. */
  readonly historyAgeMs?: number;
  /** A monotonic clock for the age. Default: none, and no event is too old. */
  readonly monotonicMs?: () => number;
};

/** What an event costs by itself, and what a version costs beyond its text. */
const EVENT_BYTES = 64;
const VERSION_BYTES = 400;
/** How exactly the age of events is known. */
const MARK_MS = 1_000;
/** Events looked at for one page: about a millisecond. */
const SCAN_MAX = 10_000;

/** Everything up to `revision` was there at `ms`. */
type Mark = { readonly revision: Revision; readonly ms: number };
/** What happened between the two is known in its sum only. */
type Jump = { readonly from: Revision; readonly to: Revision };

/** Events in revision order, the oldest dropped when a limit is passed. */
export class History {
  readonly #eventsMax: number;
  readonly #bytesMax: number;
  readonly #ageMs: number;
  readonly #monotonicMs: (() => number) | undefined;
  #events: StoreEvent[] = [];
  #head = 0;
  #bytes = 0;
  #oldest: Revision;
  #exactSince = 0 as Revision;
  #marks: Mark[] = [];
  #jumps: Jump[] = [];

  constructor(options: HistoryOptions = {}, oldest = 0 as Revision) {
    this.#eventsMax = options.historyEventsMax ?? 250_000;
    this.#bytesMax = options.historyBytesMax ?? 64 * 1024 * 1024;
    this.#ageMs = options.historyAgeMs ?? 10 * 60_000;
    this.#monotonicMs = options.monotonicMs;
    this.#oldest = oldest;
  }

  /** Everything behind this revision is still here. */
  get oldest(): Revision {
    return this.#oldest;
  }

  /** Number of events. */
  get size(): number {
    return this.#events.length - this.#head;
  }

  /** Memory that only the window keeps. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A list of an older revision than this cannot be made: what the state was is not known. */
  get exactSince(): Revision {
    return Math.max(this.#oldest, this.#exactSince) as Revision;
  }

  /** The middle of a window that is filling up: who has seen less may soon be left behind. 0 while there is room. */
  get endangered(): Revision | 0 {
    if (this.size * 2 < this.#eventsMax && this.#bytes * 2 < this.#bytesMax) return 0;
    return this.#events[this.#head + (this.size >>> 1)]?.object.revision ?? 0;
  }

  push(event: StoreEvent): void {
    this.#events.push(event);
    this.#bytes += costOf(event);
    while (this.size > this.#eventsMax || this.#bytes > this.#bytesMax) this.#dropOldest();
    this.#trim();
  }

  /** Notes the time of everything up to `revision`, and drops what is too old. Called at the end of an apply. */
  settle(revision: Revision): void {
    if (this.#monotonicMs === undefined) return;
    const nowMs = this.#monotonicMs();
    const last = this.#marks.at(-1);
    if (last !== undefined && nowMs - last.ms < MARK_MS) return;
    this.#marks.push({ revision, ms: nowMs });
    const kept = this.#marks.findIndex(({ ms }) => nowMs - ms <= this.#ageMs);
    const expired = this.#marks[kept - 1];
    if (expired === undefined) return;
    this.#marks.splice(0, kept);
    while (this.size > 0 && (this.#first()?.object.revision ?? 0) <= expired.revision) {
      this.#dropOldest();
    }
    this.#trim();
  }

  /**
   * Undefined if whoever has seen everything up to `from` can go on from here; otherwise a revision from which one can. Inside
   * a jump one cannot: 1. a key is created at 60 and deleted at 90; 2. a replica jumps from 50 to 100, and knows of neither;
   * 3. whoever saw the creation elsewhere and came to this replica would keep the key for ever.
   */
  unableToResume(from: Revision): Revision | undefined {
    if (from < this.#oldest) return this.#oldest;
    return this.#jumpAt(from)?.to;
  }

  /** Events under `prefix` behind `from`, in order. One must be able to resume there. */
  since(from: Revision, prefix: string): StoreEvent[] {
    const found: StoreEvent[] = [];
    for (let at = this.#firstBehind(from); at < this.#events.length; at++) {
      const event = this.#events[at] as StoreEvent;
      if (covers(prefix, event.object.key)) found.push(event);
    }
    return found;
  }

  /**
   * The next events under `prefix` behind `from`, as many as `eventsMax`, but whole revisions and whole jumps: the next page
   * begins behind `through`, where one must be able to resume.
   */
  page(from: Revision, prefix: string, eventsMax: number): EventPage {
    const events: StoreEvent[] = [];
    const first = this.#firstBehind(from);
    let through = from;
    for (let at = first; at < this.#events.length; at++) {
      const event = this.#events[at] as StoreEvent;
      const { revision, key } = event.object;
      const enough = events.length >= eventsMax || at - first >= SCAN_MAX;
      if (enough && revision !== through && this.#jumpAt(through) === undefined) {
        return { events, through, complete: false };
      }
      if (covers(prefix, key)) events.push(event);
      through = revision;
    }
    return { events, through, complete: true };
  }

  /** The state jumped; `events` lead there, and only in their sum. */
  jump(events: readonly StoreEvent[], span: Jump): void {
    for (const event of events) this.push(event);
    this.#exactSince = span.to;
    this.#jumps = this.#jumps.filter(({ to }) => to > this.#oldest);
    this.#jumps.push(span);
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

  /** Forgets everything: the state begins at `revision`. */
  reset(revision: Revision): void {
    this.#events = [];
    this.#marks = [];
    this.#jumps = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#oldest = revision;
  }

  /** The jump that passed over what came right behind `revision`, if one began before. */
  #jumpAt(revision: Revision): Jump | undefined {
    return this.#jumps.find(({ from, to }) => from < revision && revision < to);
  }

  #first(): StoreEvent | undefined {
    return this.#events[this.#head];
  }

  /** Events of one revision go together: who stands at `oldest` has seen all of it. */
  #dropOldest(): void {
    const revision = this.#first()?.object.revision as Revision;
    for (let event = this.#first(); event?.object.revision === revision; event = this.#first()) {
      (this.#events as (StoreEvent | undefined)[])[this.#head] = undefined;
      this.#head++;
      this.#bytes -= costOf(event);
    }
    this.#oldest = revision;
  }

  #trim(): void {
    if (this.#head <= 1024 || this.#head * 2 <= this.#events.length) return;
    this.#events = this.#events.slice(this.#head);
    this.#head = 0;
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

/** A put's version belongs to the state, or to the event that replaced it; only former versions are the window's. */
function costOf(event: StoreEvent): number {
  const { previous } = event;
  const former = previous === undefined ? 0 : previous.bytes.length + VERSION_BYTES;
  const last = event.type === 'delete' ? event.object.bytes.length + VERSION_BYTES : 0;
  return EVENT_BYTES + former + last;
}
