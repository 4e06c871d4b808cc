/**
 * A log as seen from outside the core: what was handed out to be written, or what a disk holds. Never
 * compacted: the checkers look back. What lies before a snapshot is known by the snapshot alone.
 */

import type { Entry, SnapshotMeta } from '../../../raft/types.ts';

/** See the module comment. */
export class LogView {
  #baseIndex = 0;
  #baseTerm = 0;
  #entries: Entry[] = [];

  /** Begins behind a snapshot with `entries` that follow it. */
  static of(base: { readonly index: number; readonly term: number }, entries: readonly Entry[]) {
    const view = new LogView();
    view.#baseIndex = base.index;
    view.#baseTerm = base.term;
    view.#entries = [...entries];
    return view;
  }

  get baseIndex(): number {
    return this.#baseIndex;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.#baseIndex - 1];
  }

  /** Undefined before the base and behind the end. */
  termAt(index: number): number | undefined {
    return index === this.#baseIndex ? this.#baseTerm : this.entryAt(index)?.term;
  }

  /** Adds one entry; an old tail from there on goes. False if it would leave a gap. */
  write(entry: Entry): boolean {
    const at = entry.index - this.#baseIndex - 1;
    if (at < 0 || at > this.#entries.length) return false;
    this.#entries.length = at;
    this.#entries.push(entry);
    return true;
  }

  /** A snapshot took the place of everything. */
  reset(meta: SnapshotMeta): void {
    this.#baseIndex = meta.index;
    this.#baseTerm = meta.term;
    this.#entries = [];
  }

  /** Terms by index, from the base on: a picture to compare with later. */
  copy(): LogView {
    return LogView.of({ index: this.#baseIndex, term: this.#baseTerm }, this.#entries);
  }
}
