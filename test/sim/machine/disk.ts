/**
 * A machine's disk, which outlives its processes. What is written is queued, and everything queued becomes durable with one
 * sync. A crash loses what was not synced, or leaves a part of it that ends anywhere (a torn tail). It can stall, fill
 * up, and fail; what a process finds when it opens it is put together by the code that reads the real log.
 */

import type { HardState, LogIndex, SnapshotMeta } from '../../../raft/types.ts';
import type {
  LogBatch,
  SnapshotReader,
  SnapshotWriter,
  Storage,
  StoredState,
} from '../../../src/consensus/storage.ts';
import type { WalRecord } from '../../../src/consensus/wal-format.ts';
import { crc32c } from '../../../src/lib/crc32c.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';
import { CheckFailure } from '../world/world.ts';
import { DurableView } from './durable-view.ts';

type Turn = (action: () => void) => void;
type Write = { readonly batch: LogBatch; readonly done: () => void; readonly failed: () => void };
type Stored = { readonly meta: SnapshotMeta; readonly bytes: Buffer; readonly checksum: number };

/** How much slower a stalled disk is. */
const STALL_FACTOR = 60;
const CHUNK_BYTES = 16 * 1024;

/** What is wrong with a disk. `full` and `failing` refuse writes; `unreadable` also what is there. */
export type DiskTrouble = 'none' | 'full' | 'failing' | 'unreadable';

export class SimDisk {
  readonly #world: World;
  readonly #random: Random;
  readonly #owner: string;
  readonly #options: SwarmOptions['disk'];
  #records: WalRecord[] = [];
  #snapshot: Stored | undefined;
  #queued: Write[] = [];
  #syncing: Write[] = [];
  #epoch = 0;
  readonly durable = new DurableView();
  stalled = false;
  trouble: DiskTrouble = 'none';

  constructor(world: World, random: Random, owner: string, options: SwarmOptions['disk']) {
    this.#world = world;
    this.#random = random;
    this.#owner = owner;
    this.#options = options;
  }

  /** Puts down what a member of the founding group begins with. */
  found(meta: SnapshotMeta, bytes: Buffer, hardState: HardState): void {
    this.#snapshot = { meta, bytes, checksum: crc32c(bytes) };
    this.durable.snapshot = meta;
    this.durable.log.reset(meta);
    this.#take({ entries: [], hardState });
  }

  /** Power is gone, or the process. */
  crash(): void {
    this.#epoch++;
    const unsynced = [...this.#syncing, ...this.#queued].flatMap(({ batch }) => recordsOf(batch));
    this.#syncing = [];
    this.#queued = [];
    this.stalled = false;
    if (unsynced.length === 0) return;
    this.#world.count('crash with unsynced writes');
    if (!this.#random.chance(this.#options.tornOdds)) return;
    const left = this.#random.int(0, unsynced.length);
    if (left > 0 && left < unsynced.length) this.#world.count('torn tail');
    this.#world.trace(this.#owner, 'torn', `kept=${left} of=${unsynced.length} records`);
    this.#records.push(...unsynced.slice(0, left));
  }

  /** Everything is gone. */
  wipe(): void {
    this.crash();
    this.#records = [];
    this.#snapshot = undefined;
  }

  /** The storage port of one process; `turn` runs what the disk has to say in a turn of it. */
  open(turn: Turn): Storage {
    const epoch = ++this.#epoch;
    const { product } = this.#world;
    let failed = false;
    const failure = () => {
      failed = true;
      const why = this.trouble === 'full' ? 'no space is left on the device' : 'input/output error';
      return new product.SkeinError('disk-failed', why);
    };
    /** Takes its time, then runs `work` in a turn. */
    const slowly = <T>(factor: number, work: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        this.#later(factor, () => {
          if (epoch !== this.#epoch) return;
          turn(() => {
            try {
              resolve(work());
            } catch (error) {
              reject(error);
            }
          });
        });
      });
    return {
      open: () =>
        slowly(1, () => {
          if (this.trouble === 'unreadable') throw failure();
          return this.#read();
        }),
      append: (batch) => {
        if (failed) return Promise.reject(failure());
        return new Promise((resolve, reject) => {
          const done = () => turn(resolve);
          this.#queued.push({ batch, done, failed: () => turn(() => reject(failure())) });
          this.#sync();
        });
      },
      compact: async (upTo) => this.#compact(upTo),
      roll: async () => {},
      oldest: async () => {
        const indexes = this.#records.flatMap((record) =>
          record.type === 'entry' ? record.entry.index : [],
        );
        const entry = indexes.sort((left, right) => left - right)[0];
        return { entry, snapshot: this.#snapshot?.meta.index };
      },
      writeSnapshot: async (meta) => this.#writer(meta, slowly, failure),
      readSnapshot: () =>
        slowly(0.2, () => {
          if (this.trouble === 'unreadable') throw failure();
          return this.#snapshot === undefined ? undefined : reader(this.#snapshot);
        }),
      close: async () => {
        failed = true;
      },
    };
  }

  #writer(
    meta: SnapshotMeta,
    slowly: <T>(factor: number, work: () => T) => Promise<T>,
    failure: () => Error,
  ): SnapshotWriter {
    const parts: Buffer[] = [];
    return {
      write: async (chunk) => void parts.push(Buffer.from(chunk)),
      commit: () =>
        slowly(2, () => {
          if (this.trouble !== 'none') throw failure();
          const bytes = Buffer.concat(parts);
          if ((this.#snapshot?.meta.index ?? 0) >= meta.index) return;
          this.#snapshot = { meta, bytes, checksum: crc32c(bytes) };
          this.durable.snapshot = meta;
          this.#world.moment(this.#owner, 'snapshot stored');
        }),
      abort: async () => void parts.splice(0),
    };
  }

  /** What is there after a restart. */
  #read(): StoredState {
    const replay = new this.#world.product.LogReplay();
    for (const record of this.#records) replay.add(record);
    const meta = this.#snapshot?.meta;
    const state = replay.finish(meta);
    if (state === undefined) {
      const facts = { member: this.#owner, snapshot: meta?.index };
      const failure = new CheckFailure('durability', 'a log reaches back to its snapshot', facts);
      this.#world.fail(failure);
      throw failure;
    }
    // What the log holds is void: it has to be marked so before anything is written behind it.
    if (meta !== undefined && replay.isVoid(meta)) {
      this.#world.count('log void behind a snapshot');
      this.#records.push({ type: 'reset', snapshot: meta });
    }
    this.durable.found(state);
    return state;
  }

  /** Deletes the records at the front that only speak of entries up to `upTo`. */
  #compact(upTo: LogIndex): void {
    const end = this.#records.findIndex(
      (record) => record.type === 'entry' && record.entry.index > upTo,
    );
    const gone = this.#records.splice(0, end < 0 ? this.#records.length : end);
    const kept = gone.findLast((record) => record.type === 'hard-state');
    if (kept !== undefined) this.#records.unshift(kept);
    this.#world.count('compaction');
  }

  #sync(): void {
    if (this.#syncing.length > 0 || this.#queued.length === 0) return;
    this.#syncing = this.#queued;
    this.#queued = [];
    this.#later(1, () => {
      const synced = this.#syncing;
      this.#syncing = [];
      if (this.trouble !== 'none') {
        // Nobody knows what a failed write left behind.
        const records = synced.flatMap(({ batch }) => recordsOf(batch));
        this.#records.push(...records.slice(0, this.#random.int(0, records.length)));
        this.#world.count(`disk ${this.trouble}`);
        for (const { failed } of [...synced, ...this.#queued.splice(0)]) failed();
        return;
      }
      for (const { batch } of synced) this.#take(batch);
      this.#sync();
      for (const { done } of synced) done();
    });
  }

  #later(factor: number, run: () => void): void {
    const { floorMs } = this.#options;
    const meanMs = this.#world.calm ? Math.min(1, this.#options.meanMs) : this.#options.meanMs;
    const usualMs = (floorMs + exponential(this.#random, meanMs)) * factor;
    const epoch = this.#epoch;
    let turns = this.stalled ? STALL_FACTOR : 1;
    if (this.stalled) this.#world.count('slow write');
    // What hangs goes on as soon as the stall is over.
    const wait = () =>
      this.#world.after(usualMs, () => {
        if (epoch !== this.#epoch) return;
        turns--;
        if (turns > 0 && this.stalled) wait();
        else run();
      });
    wait();
  }

  #take(batch: LogBatch): void {
    this.#records.push(...recordsOf(batch));
    const gap = this.durable.take(batch);
    if (gap === undefined) return;
    const facts = { member: this.#owner, index: gap, last: this.durable.log.lastIndex };
    this.#world.fail(new CheckFailure('durability', 'entries are written without a gap', facts));
  }
}

function reader(stored: Stored): SnapshotReader {
  const { meta, bytes, checksum } = stored;
  return {
    meta,
    size: bytes.length,
    async *chunks() {
      if (crc32c(bytes) !== checksum) throw new Error('a snapshot changed on disk');
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        yield bytes.subarray(at, at + CHUNK_BYTES);
      }
    },
    release: async () => {},
  };
}

function recordsOf({ reset, entries, hardState }: LogBatch): WalRecord[] {
  const records: WalRecord[] = [];
  if (reset !== undefined) records.push({ type: 'reset', snapshot: reset });
  for (const entry of entries) records.push({ type: 'entry', entry });
  if (hardState !== undefined) records.push({ type: 'hard-state', hardState });
  return records;
}
