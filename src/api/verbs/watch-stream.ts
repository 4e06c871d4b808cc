/**
 * The buffer between a watch and its reader. The store pushes in the turn of an apply and never
 * waits; the reader pulls at its own pace. One who falls behind by more than the limit is told so
 * (410) and starts anew, as with an expired revision: memory stays bounded, and nobody else is
 * slowed down.
 */

import { gone } from '../status.ts';
import type { WatchEvent, WatchHandle } from '../types.ts';

/** Events that wait for a reader. */
export const WATCH_BUFFER_EVENTS_MAX = 10_000;

/** Largest batch handed out at once, so that a reader can honour backpressure in between. */
const BATCH_MAX = 500;

export class WatchStream implements WatchHandle {
  readonly #limit: number;
  readonly #onEnd: () => void;
  #pending: WatchEvent[] = [];
  #taken = 0;
  /** Events of the initial list do not count towards the limit: the reader asked for them. */
  #exempt = 0;
  #wake: (() => void) | undefined;
  #state: 'open' | 'ending' | 'closed' = 'open';

  /** @param onEnd called once, when nothing more will be pushed. */
  constructor(onEnd: () => void, limit = WATCH_BUFFER_EVENTS_MAX) {
    this.#onEnd = onEnd;
    this.#limit = limit;
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  /** Appends the initial state. */
  pushInitial(events: readonly WatchEvent[]): void {
    this.#exempt += events.length;
    this.push(events);
  }

  /** Appends events; a stream that would exceed its limit ends with an ERROR instead. */
  push(events: readonly WatchEvent[]): void {
    if (!this.open || events.length === 0) return;
    const waiting = this.#pending.length - this.#taken;
    if (waiting + events.length > this.#limit + this.#exempt) {
      this.#pending = [];
      this.#taken = 0;
      const { status } = gone('the watch fell too far behind: its reader is too slow');
      this.end({ type: 'ERROR', status });
      return;
    }
    for (const event of events) this.#pending.push(event);
    this.#wakeUp();
  }

  /** No more events: the reader gets what waits, then `last` if given, then the end. */
  end(last?: WatchEvent): void {
    if (!this.open) return;
    this.#state = 'ending';
    if (last !== undefined) this.#pending.push(last);
    this.#onEnd();
    this.#wakeUp();
  }

  /** Ends at once; what waits is dropped. */
  close(): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.open;
    this.#state = 'closed';
    this.#pending = [];
    this.#taken = 0;
    if (wasOpen) this.#onEnd();
    this.#wakeUp();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly WatchEvent[], void, void> {
    try {
      for (;;) {
        const batch = this.#take();
        if (batch.length > 0) {
          yield batch;
          continue;
        }
        if (!this.open) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.close();
    }
  }

  #take(): readonly WatchEvent[] {
    const batch = this.#pending.slice(this.#taken, this.#taken + BATCH_MAX);
    this.#taken += batch.length;
    this.#exempt = Math.max(0, this.#exempt - batch.length);
    if (this.#taken >= this.#pending.length) {
      this.#pending = [];
      this.#taken = 0;
    }
    return batch;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
