/**
 * What was sent to watching clients and not taken by them yet. A client that takes nothing holds one chunk of memory at
 * most, for a limited time; and all of them together hold a limited number of bytes: beyond that, who has been standing
 * still for longest is cut off.
 */

import type { ServerResponse } from 'node:http';
import type { Clock } from '../../lib/clock.ts';
import { SkeinError } from '../../lib/errors.ts';
import { DRAIN_DEADLINE_MS, drained } from './drain.ts';

/** Bytes that wait for clients, all together. */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;

export type SendBacklogOptions = {
  /** Default 64 MiB. */
  readonly bytesMax?: number;
  /** A client that takes nothing for this long is cut. Default 30 s. */
  readonly deadlineMs?: number;
};

type Waiting = { readonly bytes: number; readonly cut: (error: SkeinError) => void };

/** One per server. */
export class SendBacklog {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #deadlineMs: number;
  /** The longest wait first. */
  readonly #waiting = new Set<Waiting>();
  #bytes = 0;

  constructor(clock: Clock, options: SendBacklogOptions = {}) {
    this.#clock = clock;
    this.#bytesMax = options.bytesMax ?? BACKLOG_BYTES_MAX;
    this.#deadlineMs = options.deadlineMs ?? DRAIN_DEADLINE_MS;
  }

  /** Bytes that wait for clients now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Resolves when the client has taken what was written; rejects with deadline-exceeded or overloaded when it has to be
   * cut off, with stream-closed when it is gone.
   */
  async drained(response: ServerResponse): Promise<void> {
    const controller = new AbortController();
    const waiting: Waiting = {
      bytes: response.writableLength,
      cut: (error) => controller.abort(error),
    };
    this.#waiting.add(waiting);
    this.#bytes += waiting.bytes;
    this.#makeRoom();
    try {
      const { signal } = controller;
      await drained(response, this.#clock, { deadlineMs: this.#deadlineMs, signal });
    } finally {
      this.#forget(waiting);
    }
  }

  #makeRoom(): void {
    for (const longest of this.#waiting) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#forget(longest);
      longest.cut(new SkeinError('overloaded', 'too much waits for clients that do not read'));
    }
  }

  #forget(waiting: Waiting): void {
    if (this.#waiting.delete(waiting)) this.#bytes -= waiting.bytes;
  }
}
