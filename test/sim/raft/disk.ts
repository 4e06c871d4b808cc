/**
 * A member's disk. Writes are queued, and everything queued becomes durable with one sync; a crash loses
 * what was not synced, or leaves a part of it behind that ends anywhere (a torn tail). What a member
 * finds when it restarts is put together by the same code that reads the real log.
 */

import type { Entry, HardState, SnapshotMeta } from '../../../raft/types.ts';
import { LogReplay } from '../../../src/consensus/log-replay.ts';
import type { LogBatch, StoredState } from '../../../src/consensus/storage.ts';
import type { WalRecord } from '../../../src/consensus/wal-format.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { MachineImage } from './kv-machine.ts';
import { LogView } from './log-view.ts';
import type { SwarmOptions } from './swarm.ts';
import { exponential } from './swarm.ts';
import type { World } from './world.ts';
import { CheckFailure } from './world.ts';

export type StoredSnapshot = { readonly meta: SnapshotMeta; readonly image: MachineImage };

type Write = { readonly records: readonly WalRecord[]; readonly done: () => void };

/** How much slower a stalled disk is. */
const STALL_FACTOR = 60;

export class SimDisk {
  readonly #world: World;
  readonly #random: Random;
  readonly #owner: string;
  readonly #options: SwarmOptions['disk'];
  #records: WalRecord[] = [];
  #snapshot: StoredSnapshot | undefined;
  #queued: Write[] = [];
  #syncing: Write[] = [];
  #epoch = 0;
  /** What the disk's log says: kept beside the records for the checkers, never compacted. */
  log = new LogView();
  hardState: HardState | undefined;
  stalled = false;

  constructor(world: World, random: Random, owner: string, options: SwarmOptions['disk']) {
    this.#world = world;
    this.#random = random;
    this.#owner = owner;
    this.#options = options;
  }

  get snapshot(): StoredSnapshot | undefined {
    return this.#snapshot;
  }

  /** The newest index the disk can vouch for, by its log or by its snapshot. */
  get lastIndex(): number {
    return Math.max(this.log.lastIndex, this.#snapshot?.meta.index ?? 0);
  }

  /** Puts down what a member of the founding group begins with. */
  found(snapshot: StoredSnapshot, hardState: HardState): void {
    this.#snapshot = snapshot;
    this.#take({ type: 'hard-state', hardState });
    this.log.reset(snapshot.meta);
  }

  /** `done` is called when the batch, and every one before it, is durable; never after a crash. */
  append(batch: LogBatch, done: () => void): void {
    const records: WalRecord[] = [];
    if (batch.reset !== undefined) records.push({ type: 'reset', snapshot: batch.reset });
    for (const entry of batch.entries) records.push({ type: 'entry', entry });
    if (batch.hardState !== undefined) {
      records.push({ type: 'hard-state', hardState: batch.hardState });
    }
    this.#queued.push({ records, done });
    this.#sync();
  }

  /** Writes a snapshot beside the log; whole or not at all. Older ones are not kept. */
  writeSnapshot(snapshot: StoredSnapshot, done: () => void): void {
    this.#later(2, () => {
      if (snapshot.meta.index > (this.#snapshot?.meta.index ?? 0)) this.#snapshot = snapshot;
      done();
    });
  }

  /** Deletes the records at the front that only speak of entries up to `upTo`. */
  compact(upTo: number): void {
    const end = this.#records.findIndex(
      (record) => record.type === 'entry' && record.entry.index > upTo,
    );
    const gone = this.#records.splice(0, end < 0 ? this.#records.length : end);
    const kept = gone.findLast((record) => record.type === 'hard-state');
    if (kept !== undefined) this.#records.unshift(kept);
  }

  /** Power is gone. */
  crash(): void {
    this.#epoch++;
    const unsynced = [...this.#syncing, ...this.#queued].flatMap((write) => write.records);
    this.#syncing = [];
    this.#queued = [];
    this.stalled = false;
    if (unsynced.length === 0) return;
    this.#world.count('crash with unsynced writes');
    if (!this.#random.chance(this.#options.tornOdds)) return;
    const left = this.#random.int(0, unsynced.length);
    if (left > 0 && left < unsynced.length) this.#world.count('torn tail');
    this.#world.trace(this.#owner, 'torn', `kept=${left} of=${unsynced.length} records`);
    for (const record of unsynced.slice(0, left)) this.#take(record);
  }

  /** What is there after a restart. */
  open(): StoredState {
    this.#voidOldLog();
    const replay = new LogReplay();
    for (const record of this.#records) replay.add(record);
    const state = replay.finish(this.#snapshot?.meta);
    if (state === undefined) {
      throw new CheckFailure('durability', 'a log reaches back to its snapshot', {
        member: this.#owner,
        snapshot: this.#snapshot?.meta.index,
      });
    }
    this.log = LogView.of(state.snapshot ?? { index: 0, term: 0 }, state.entries);
    this.hardState = state.hardState;
    return state;
  }

  /**
   * 1. A snapshot from the leader became durable; 2. a crash came before the log heard of it. What the log
   * holds is void, and has to be marked so before anything is written behind it: otherwise the next
   * restart takes old and new entries for one log.
   */
  #voidOldLog(): void {
    const meta = this.#snapshot?.meta;
    if (meta === undefined || this.log.termAt(meta.index) === meta.term) return;
    if (meta.index < this.log.baseIndex || this.#world.faults.has('old-log-not-voided')) return;
    this.#world.count('log void behind a snapshot');
    this.#take({ type: 'reset', snapshot: meta });
  }

  #sync(): void {
    if (this.#syncing.length > 0 || this.#queued.length === 0) return;
    this.#syncing = this.#queued;
    this.#queued = [];
    this.#later(1, () => {
      const synced = this.#syncing;
      this.#syncing = [];
      for (const { records } of synced) for (const record of records) this.#take(record);
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

  #take(record: WalRecord): void {
    this.#records.push(record);
    if (record.type === 'hard-state') this.hardState = record.hardState;
    else if (record.type === 'reset') this.log.reset(record.snapshot);
    else this.#takeEntry(record.entry);
  }

  #takeEntry(entry: Entry): void {
    if (this.log.write(entry)) return;
    throw new CheckFailure('durability', 'entries are written without a gap', {
      member: this.#owner,
      index: entry.index,
      last: this.log.lastIndex,
    });
  }
}
