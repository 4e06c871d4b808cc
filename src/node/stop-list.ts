/** What a start must undo, newest first: when it fails half-way, and when the node is told to stop. */

import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';

/** A part that takes longer is left behind: the process ends soon anyway. */
export const STOP_PART_MS = 5000;

type Entry = { readonly name: string; readonly stop: () => Promise<void> };

/** One failure, or one part that hangs, does not keep the rest from stopping. */
export class StopList {
  readonly #log: Logger;
  readonly #clock: Clock;
  #entries: Entry[] = [];
  #running: Promise<void> | undefined;
  #ended = false;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Adds a part that has been started. One that comes while everything stops, or afterwards, is stopped too. */
  add(name: string, stop: () => Promise<void>): void {
    this.#entries.unshift({ name, stop });
    // Too late to be found: everything else has stopped.
    if (this.#ended) void this.#stopAll();
  }

  /** Stops everything; further calls wait for the first one. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#stopAll();
    return this.#running;
  }

  async #stopAll(): Promise<void> {
    for (let entry = this.#entries.shift(); entry; entry = this.#entries.shift()) {
      await this.#stop(entry);
    }
    this.#ended = true;
  }

  async #stop({ name, stop }: Entry): Promise<void> {
    const late = Promise.withResolvers<'late'>();
    const timer = this.#clock.after(STOP_PART_MS, () => late.resolve('late'));
    try {
      const outcome = await Promise.race([stop(), late.promise]);
      if (outcome === 'late') this.#log.warn({ part: name }, 'a part did not stop in time');
    } catch (error) {
      this.#log.error({ error: messageOf(error), part: name }, 'a part could not be stopped');
    } finally {
      timer.cancel();
    }
  }
}
