/**
 * When bookmarks are due: regularly, and earlier for a watch that nothing was sent to for so long that the window of
 * recent events may soon move past it. One timer for all watches of a process.
 */

import type { Clock, Timer } from '../../lib/clock.ts';
import type { Revision } from '../../store/types.ts';

/** What the schedule needs of a watch. */
export interface Bookmarked {
  /** Revision that its reader can resume from. */
  readonly told: Revision;
  requestBookmark(): void;
}

/** How often a bookmark is sent to those who want them. */
export const BOOKMARK_INTERVAL_MS = 60_000;
/** How often the schedule is looked at. */
const TICK_MS = 1_000;

export type BookmarkComponents = {
  readonly clock: Clock;
  readonly store: { endangeredRevision(): Revision | 0 };
};

/** Asks each watch for its bookmarks. */
export class BookmarkSchedule {
  readonly #components: BookmarkComponents;
  readonly #dueMs = new Map<Bookmarked, number>();
  #timer: Timer | undefined;

  constructor(components: BookmarkComponents) {
    this.#components = components;
  }

  /** Bookmarks for `watch` until the returned function is called. */
  add(watch: Bookmarked): () => void {
    this.#dueMs.set(watch, this.#components.clock.monotonicMs() + BOOKMARK_INTERVAL_MS);
    this.#timer ??= this.#startTimer();
    return () => {
      this.#dueMs.delete(watch);
      if (this.#dueMs.size > 0) return;
      this.#timer?.cancel();
      this.#timer = undefined;
    };
  }

  #startTimer(): Timer {
    return this.#components.clock.after(TICK_MS, () => {
      this.#timer = this.#startTimer();
      this.#tick();
    });
  }

  #tick(): void {
    const { clock, store } = this.#components;
    const nowMs = clock.monotonicMs();
    const endangered = store.endangeredRevision();
    for (const [watch, dueMs] of this.#dueMs) {
      if (nowMs < dueMs && watch.told >= endangered) continue;
      this.#dueMs.set(watch, nowMs + BOOKMARK_INTERVAL_MS);
      watch.requestBookmark();
    }
  }
}
