/**
 * The write-ahead log: append-only segments, one fdatasync for everything that queued while the last one ran.
 * A failed write or sync is final: after it nobody knows what the disk holds, so nothing is tried again.
 */

import { randomInt } from 'node:crypto';
import { type FileHandle, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { HardState, LogIndex } from '../../raft/types.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { LogReplay } from './log-replay.ts';
import {
  SegmentFile,
  SPARE_NAME,
  segmentName,
  segmentNumber,
  syncDirectory,
} from './segment-file.ts';
import type { LogBatch } from './storage.ts';
import { encodeRecord, recordBytes, SEGMENT_HEADER_BYTES, type WalRecord } from './wal-format.ts';
import { type LogIdentity, refuseGap, type ScannedSegment, scanSegment } from './wal-segment.ts';

export type WriteAheadLogOptions = LogIdentity & {
  readonly directory: string;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Size of a segment, written in advance. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Most record bytes in one write. Default 4 MiB; a larger batch goes alone. */
  readonly groupBytesMax?: number;
  /** Told of each group commit: batches, bytes, and how long the write and sync took. */
  readonly onCommit?: (group: { batches: number; bytes: number; ms: number }) => void;
};

type Waiting = {
  readonly records: readonly WalRecord[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: SkeinError) => void;
};
type ClosedSegment = {
  readonly segment: number;
  readonly firstIndex: number | undefined;
  readonly lastIndex: number;
};

/** An open log. */
export class WriteAheadLog {
  readonly #options: Required<Omit<WriteAheadLogOptions, 'onCommit'>>;
  readonly #onCommit: WriteAheadLogOptions['onCommit'];
  /** Full segments, oldest first. */
  readonly #closed: ClosedSegment[] = [];
  #current: SegmentFile | undefined;
  #spare: Promise<FileHandle> | undefined;
  /** Fires when the spare is waited for. */
  #hurry = new AbortController();
  #sequence = 1;
  #hardState: HardState | undefined;
  #queue: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #failure: SkeinError | undefined;
  /** The next write begins a new segment if the current one holds an entry up to this index. */
  #rollUpTo = 0;

  private constructor(options: WriteAheadLogOptions) {
    const segmentBytes = 16 * 1024 * 1024;
    const groupBytesMax = 4 * 1024 * 1024;
    this.#options = { clock: systemClock, segmentBytes, groupBytesMax, ...options };
    this.#onCommit = options.onCommit;
  }

  /** Reads the log in `options.directory` (which exists) into `replay`, repairs a torn tail, and opens it for appending. */
  static async open(options: WriteAheadLogOptions, replay: LogReplay): Promise<WriteAheadLog> {
    const log = new WriteAheadLog(options);
    await log.#load(replay);
    return log;
  }

  /** Number of segments in use. */
  get segments(): number {
    return this.#closed.length + (this.#current === undefined ? 0 : 1);
  }

  /** Resolves when durable; see Storage.append. */
  append(batch: LogBatch): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const records = recordsOf(batch);
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, bytes, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Begins a new segment if the current one holds an entry up to `upTo`. */
  roll(upTo: LogIndex): Promise<void> {
    this.#rollUpTo = upTo;
    return this.append({ entries: [] });
  }

  /** Smallest index of any entry in any segment. */
  get oldestIndex(): number | undefined {
    const firsts = [...this.#closed, ...(this.#current ? [this.#current] : [])];
    const indexes = firsts.flatMap(({ firstIndex }) => firstIndex ?? []);
    return indexes.length === 0 ? undefined : Math.min(...indexes);
  }

  /** Deletes whole segments that hold no entry behind `upTo`, oldest first, never the current one. */
  async compact(upTo: LogIndex): Promise<void> {
    let deleted = 0;
    for (let oldest = this.#closed[0]; oldest !== undefined && oldest.lastIndex <= upTo; ) {
      await unlink(join(this.#options.directory, segmentName(oldest.segment)));
      this.#closed.shift();
      deleted++;
      oldest = this.#closed[0];
    }
    if (deleted > 0) await syncDirectory(this.#options.directory);
  }

  async close(): Promise<void> {
    await this.#flushing;
    this.#failure ??= new SkeinError('disk-failed', 'the log is closed');
    await this.#current?.close();
    this.#hurry.abort();
    const spare = await this.#spare?.catch(() => undefined);
    await spare?.close();
  }

  async #load(replay: LogReplay): Promise<void> {
    const { directory } = this.#options;
    const names = await readdir(directory);
    if (names.includes(SPARE_NAME)) await unlink(join(directory, SPARE_NAME));
    const numbers = names
      .map(segmentNumber)
      .filter((number) => number !== undefined)
      .sort((left, right) => left - right);
    let former: { readonly path: string; readonly scanned: ScannedSegment } | undefined;
    for (const [position, segment] of numbers.entries()) {
      const path = join(directory, segmentName(segment));
      const bytes = await readFile(path);
      const scanned = scanSegment(path, bytes, this.#options);
      refuseGap(path, scanned, former);
      for (const record of scanned.records) this.#replay(record, replay);
      const last = position === numbers.length - 1;
      const { firstIndex, lastIndex } = indexesOf(scanned.records);
      if (!last) this.#closed.push({ segment, firstIndex, lastIndex });
      else {
        const { header, end, torn } = scanned;
        this.#current = await SegmentFile.resume({
          path,
          header,
          position: end,
          size: bytes.length,
          torn,
          firstIndex,
          lastIndex,
        });
      }
      this.#sequence = scanned.nextSequence;
      former = { path, scanned };
    }
    // As in SegmentFile.resume: a name that was given by a process that was killed may not be durable yet.
    await syncDirectory(directory);
    this.#prepareSpare();
  }

  #replay(record: WalRecord, replay: LogReplay): void {
    if (record.type === 'hard-state') this.#hardState = record.hardState;
    replay.add(record);
  }

  async #flush(): Promise<void> {
    // Everything proposed in this turn of the loop joins the first group.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group);
      } catch (cause) {
        this.#fail(cause, group);
        return;
      }
      for (const waiting of group) waiting.resolve();
    }
    this.#flushing = undefined;
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count > 0 && bytes + waiting.bytes > this.#options.groupBytesMax) break;
      bytes += waiting.bytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const bytes = group.reduce((sum, waiting) => sum + waiting.bytes, 0);
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    const { segment, carried } = await this.#segmentFor(bytes);
    const records = [...carried, ...group.flatMap((waiting) => waiting.records)];
    const buffer = Buffer.alloc(carried.reduce((sum, record) => sum + recordBytes(record), bytes));
    const batchStart = segment.position;
    let offset = 0;
    for (const record of records) {
      const place = { sequence: this.#sequence++, batchStart, salt: segment.header.salt };
      offset = encodeRecord(buffer, offset, record, place);
      if (record.type === 'hard-state') this.#hardState = record.hardState;
    }
    const { firstIndex, lastIndex } = indexesOf(records);
    segment.firstIndex = smaller(segment.firstIndex, firstIndex);
    segment.lastIndex = Math.max(segment.lastIndex, lastIndex);
    await segment.write(buffer);
    this.#onCommit?.({ batches: group.length, bytes, ms: clock.monotonicMs() - startMs });
  }

  /** A new segment repeats the hard state: the segment that held it may be deleted. */
  async #segmentFor(bytes: number): Promise<{ segment: SegmentFile; carried: WalRecord[] }> {
    const { directory, segmentBytes, nodeId, clusterId } = this.#options;
    const current = this.#current;
    const rolling = (current?.firstIndex ?? Number.POSITIVE_INFINITY) <= this.#rollUpTo;
    this.#rollUpTo = 0;
    const fits = !rolling && current !== undefined && current.position + bytes <= segmentBytes;
    if (fits || current?.position === SEGMENT_HEADER_BYTES) {
      return { segment: current as SegmentFile, carried: [] };
    }
    const spare = this.#spare ?? this.#prepareSpare();
    this.#hurry.abort();
    const prepared = await spare;
    const segment = await SegmentFile.activate(directory, prepared, {
      nodeId,
      clusterId,
      segment: (current?.header.segment ?? 0) + 1,
      salt: randomInt(2 ** 32),
      firstSequence: this.#sequence,
    });
    if (current !== undefined) {
      const { firstIndex, lastIndex, header } = current;
      this.#closed.push({ segment: header.segment, firstIndex, lastIndex });
      await current.close();
    }
    this.#current = segment;
    this.#prepareSpare();
    const hardState = this.#hardState;
    return { segment, carried: hardState ? [{ type: 'hard-state', hardState }] : [] };
  }

  /** Off the path of writes; a failure shows when the spare is needed. */
  #prepareSpare(): Promise<FileHandle> {
    const { directory, segmentBytes, clock } = this.#options;
    this.#hurry = new AbortController();
    const pace = { clock, hurry: this.#hurry.signal };
    this.#spare = SegmentFile.prepare(directory, segmentBytes, pace);
    this.#spare.catch(() => {});
    return this.#spare;
  }

  #fail(cause: unknown, group: readonly Waiting[]): void {
    const text = `writing the log in ${this.#options.directory} failed`;
    const error = new SkeinError('disk-failed', text, { cause });
    this.#failure = error;
    for (const waiting of [...group, ...this.#queue.splice(0)]) waiting.reject(error);
  }
}

/** Entries before the hard state: a torn batch must not leave a commit index without its entries. */
function recordsOf(batch: LogBatch): WalRecord[] {
  const records: WalRecord[] = [];
  if (batch.reset !== undefined) records.push({ type: 'reset', snapshot: batch.reset });
  for (const entry of batch.entries) records.push({ type: 'entry', entry });
  if (batch.hardState !== undefined) {
    records.push({ type: 'hard-state', hardState: batch.hardState });
  }
  return records;
}

function indexesOf(records: readonly WalRecord[]): {
  readonly firstIndex: number | undefined;
  readonly lastIndex: number;
} {
  let firstIndex: number | undefined;
  let lastIndex = 0;
  for (const record of records) {
    if (record.type !== 'entry') continue;
    firstIndex = smaller(firstIndex, record.entry.index);
    lastIndex = Math.max(lastIndex, record.entry.index);
  }
  return { firstIndex, lastIndex };
}

function smaller(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}
