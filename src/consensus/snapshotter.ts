/**
 * When to take a snapshot, and how much of the log to keep behind it. A snapshot is due after so many entries or
 * bytes; a tail of the log stays, so that a member that was away for a moment catches up from entries.
 */

import type { Entry, LogIndex, RaftStatus, SnapshotMeta } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Storage } from './storage.ts';
import type { StateMachine } from './types.ts';

export type SnapshotterOptions = {
  /** Entries applied since the last snapshot that make the next one due. Default 50 000. */
  readonly snapshotEntries?: number;
  /** Bytes of such entries. Default 64 MiB. */
  readonly snapshotBytes?: number;
  /** Entries kept behind a snapshot. Default 10 000. */
  readonly trailingEntries?: number;
  /** Bytes of such entries. Default 32 MiB. */
  readonly trailingBytes?: number;
};

export type SnapshotterComponents = {
  readonly storage: Storage;
  readonly machine: StateMachine;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Index of the newest applied entry; undefined while a leader's snapshot takes the state's place. */
  readonly applied: () => LogIndex | undefined;
  /** Index up to which every member that answers has the log. */
  readonly followed: () => number;
  /** What a snapshot at `index`, the newest applied entry, stands for. */
  readonly metaAt: (index: LogIndex) => SnapshotMeta;
  /** Entries behind this index must stay (a transfer is under way). */
  readonly retain: () => number;
  /** The core may forget what is before `keepFrom`. */
  readonly compact: (snapshot: SnapshotMeta, keepFrom: LogIndex) => void;
  readonly onFatal: (error: unknown) => void;
};

/** Log positions noted along the way, to turn a number of bytes into an index. */
const MARK_BYTES = 1024 * 1024;

/** The snapshots one member takes of itself. */
export class Snapshotter {
  readonly #components: SnapshotterComponents;
  readonly #options: Required<SnapshotterOptions>;
  #last: LogIndex;
  #bytes = 0;
  #bytesAtLast = 0;
  #marks: { readonly index: LogIndex; readonly bytes: number }[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;

  /** @param last index of the newest snapshot on disk. */
  constructor(components: SnapshotterComponents, last: LogIndex, options: SnapshotterOptions = {}) {
    this.#components = components;
    this.#last = last;
    this.#options = {
      snapshotEntries: 50_000,
      snapshotBytes: 64 * 1024 * 1024,
      trailingEntries: 10_000,
      trailingBytes: 32 * 1024 * 1024,
      ...options,
    };
  }

  /** Weighs what a restarted member still has of its log up to its snapshot: the next one counts it in. */
  begin(retained: readonly Entry[]): void {
    for (const { index, data } of retained) this.count(index, data.length);
    this.#bytesAtLast = this.#bytes;
  }

  /** Weighs an applied entry. */
  count(index: LogIndex, bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes - (this.#marks.at(-1)?.bytes ?? 0) >= MARK_BYTES) {
      this.#marks.push({ index, bytes: this.#bytes });
    }
  }

  /** Takes a snapshot if one is due. Called when everything up to `index` is applied. */
  consider(index: LogIndex): void {
    if (this.#running !== undefined || this.#stopped) return;
    const { snapshotEntries, snapshotBytes } = this.#options;
    const due =
      index - this.#last >= snapshotEntries || this.#bytes - this.#bytesAtLast >= snapshotBytes;
    if (due) this.#begin(index, (taken) => this.#keepFrom(taken));
  }

  /**
   * Takes a snapshot and deletes the log up to `upTo`, to the last file with an entry of it. What is not applied yet, what a member
   * that answers lacks, and what a transfer needs stays: the caller looks at `Storage.oldest` and asks again.
   */
  async discard(upTo: LogIndex): Promise<void> {
    // First, so that what is written meanwhile does not keep a file alive that holds what is to go.
    await this.#components.storage.roll(upTo);
    while (this.#running !== undefined) await this.#running;
    const { applied, followed } = this.#components;
    const index = applied();
    if (index === undefined || index === 0 || this.#stopped) return;
    this.#begin(index, (taken) => this.#limited(Math.min(taken, followed()) + 1));
    await this.#running;
  }

  /** The state came from a leader's snapshot. */
  installed(index: LogIndex): void {
    this.#last = index;
    this.#bytesAtLast = this.#bytes;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** The view is taken at once, in the turn in which `index` is the newest applied entry. */
  #begin(index: LogIndex, keepFrom: (taken: LogIndex) => LogIndex): void {
    const { machine, metaAt } = this.#components;
    const meta = metaAt(index);
    const source = machine.snapshot();
    this.#bytesAtLast = this.#bytes;
    this.#last = index;
    this.#running = this.#write(meta, source.chunks({ overwrite: true }), keepFrom)
      .catch((error: unknown) => this.#components.onFatal(error))
      .finally(() => {
        source.release();
        this.#running = undefined;
      });
  }

  async #write(
    meta: SnapshotMeta,
    chunks: AsyncIterable<Uint8Array>,
    keepFromOf: (taken: LogIndex) => LogIndex,
  ): Promise<void> {
    const { storage, clock, logger, compact } = this.#components;
    const startMs = clock.monotonicMs();
    const writer = await storage.writeSnapshot(meta);
    let bytes = 0;
    try {
      for await (const chunk of chunks) {
        if (this.#stopped) return await writer.abort();
        await writer.write(chunk);
        bytes += chunk.length;
      }
      await writer.commit();
    } catch (error) {
      await writer.abort().catch(() => {});
      throw error;
    }
    if (this.#stopped) return;
    const ms = Math.round(clock.monotonicMs() - startMs);
    const keepFrom = keepFromOf(meta.index);
    logger.info({ index: meta.index, bytes, ms, keepFrom }, 'took a snapshot');
    compact(meta, keepFrom);
    await storage.compact((keepFrom - 1) as LogIndex).catch((error: unknown) => {
      // Old segments cost room, nothing else; the next snapshot tries again.
      logger.warn({ reason: messageOf(error) }, 'old log segments could not be deleted');
    });
  }

  #keepFrom(index: LogIndex): LogIndex {
    const { trailingEntries, trailingBytes } = this.#options;
    this.#marks = this.#marks.filter(
      (mark) => mark.bytes > this.#bytes - trailingBytes - MARK_BYTES,
    );
    const byBytes = this.#marks.find((mark) => mark.bytes > this.#bytes - trailingBytes);
    const oldest = Math.max(index - trailingEntries, byBytes?.index ?? 0);
    return this.#limited(Math.min(oldest, index) + 1);
  }

  /** Entries behind a snapshot that is being sent stay. */
  #limited(keepFrom: number): LogIndex {
    return Math.max(1, Math.min(keepFrom, this.#components.retain() + 1)) as LogIndex;
  }
}

/** Index up to which every member that answers has the leader's log; no limit where this member does not lead. */
export function leastFollowed({ id, role, progress }: RaftStatus): number {
  if (role !== 'leader') return Number.POSITIVE_INFINITY;
  const others = progress.filter(({ node, recentlyActive }) => node !== id && recentlyActive);
  return Math.min(...others.map(({ match }) => match));
}
