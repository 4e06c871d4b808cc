/**
 * The entries a member holds in memory: one contiguous array behind a base (the index and term right
 * before the first entry). Nothing here knows what is committed, durable or applied.
 */

import { broken } from './invariant.ts';
import type { Entry, LogIndex, Term } from './types.ts';

/** A position in the log with the term of the entry there. */
export type LogPosition = { readonly index: LogIndex; readonly term: Term };

/** What an entry costs besides its data, in messages, pages and windows. */
const entryOverheadBytes = 32;

/** An entry's share of every limit that counts bytes, except the quota of proposals. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + entryOverheadBytes;
}

/** See the module comment. */
export class LogTail {
  #base: LogPosition;
  #entries: Entry[];

  /** Throws RaftInvariantError if `entries` do not follow `base` without a gap. */
  constructor(base: LogPosition, entries: readonly Entry[]) {
    this.#base = { index: base.index, term: base.term };
    this.#entries = [];
    this.append(entries);
  }

  get firstIndex(): LogIndex {
    return (this.#base.index + 1) as LogIndex;
  }

  get lastIndex(): LogIndex {
    return (this.#base.index + this.#entries.length) as LogIndex;
  }

  get lastTerm(): Term {
    return this.#entries[this.#entries.length - 1]?.term ?? this.#base.term;
  }

  /** The term at `index`; undefined if it was compacted away or is not there yet. */
  termAt(index: LogIndex): Term | undefined {
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.#base.index - 1]?.term;
  }

  entryAt(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#base.index - 1];
  }

  matches(index: LogIndex, term: Term): boolean {
    return this.termAt(index) === term;
  }

  /** Adds entries behind the last one. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.lastIndex + 1 || entry.term < this.lastTerm) {
        broken('entries follow each other, their terms never falling', {
          index: entry.index,
          term: entry.term,
          lastIndex: this.lastIndex,
          lastTerm: this.lastTerm,
        });
      }
      this.#entries.push(entry);
    }
  }

  /** Drops everything behind `last`. */
  truncateAfter(last: LogIndex): void {
    this.#entries.length = Math.max(0, last - this.#base.index);
  }

  /**
   * Entries [from, to], cut so that they stay within `bytesMax` but never to nothing. Empty if
   * `from` is behind the log.
   */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): Entry[] {
    const start = from - this.#base.index - 1;
    if (start < 0) broken('what is read is not compacted', { from, firstIndex: this.firstIndex });
    const limit = Math.min(to - this.#base.index, this.#entries.length);
    let end = start;
    let bytes = 0;
    while (end < limit) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && end > start) break;
      end++;
    }
    return this.#entries.slice(start, end);
  }

  /**
   * The last position at or before `index` whose term is not above `term`: everything between can be
   * skipped, since logs that agree have no such term there (the paper's end of 5.3). Where the
   * log was compacted the answer is the base, with its own term.
   */
  lastNotAbove(index: LogIndex, term: Term): LogPosition {
    let at = Math.min(index, this.lastIndex);
    for (; at > this.#base.index; at--) {
      const here = this.termAt(at as LogIndex);
      if (here !== undefined && here <= term) return { index: at as LogIndex, term: here };
    }
    if (this.#base.index <= index && this.#base.term <= term) return this.#base;
    return { index: Math.min(index, this.#base.index) as LogIndex, term: 0 as Term };
  }

  /** True if some entry in [from, to] is of `kind`. */
  has(kind: Entry['kind'], from: LogIndex, to: LogIndex): boolean {
    for (let index = Math.max(from, this.firstIndex); index <= to; index++) {
      if (this.entryAt(index as LogIndex)?.kind === kind) return true;
    }
    return false;
  }

  /** Forgets entries before `first`. One move of the array per compaction, none per entry. */
  dropBefore(first: LogIndex): void {
    if (first <= this.firstIndex) return;
    const term = this.termAt((first - 1) as LogIndex);
    if (term === undefined) broken('the log keeps what it does not hold', { first });
    this.#entries.splice(0, first - this.firstIndex);
    this.#base = { index: (first - 1) as LogIndex, term };
  }

  /** Empties the log behind `base`: a snapshot took its place. */
  reset(base: LogPosition): void {
    this.#base = { index: base.index, term: base.term };
    this.#entries = [];
  }
}
