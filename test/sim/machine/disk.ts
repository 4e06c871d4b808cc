/**
 * A machine's disk, which outlives its processes. The product's own log and snapshot files lie on it, byte for byte. It can
 * stall, fill up, and fail to read or write; a power failure tears apart what was not synced; a process that is killed leaves
 * everything to the kernel.
 */

import type { HardState, SnapshotMeta } from '../../../raft/types.ts';
import type { Storage, StoredState } from '../../../src/consensus/storage.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';
import { CheckFailure } from '../world/world.ts';
import { DurableView } from './durable-view.ts';
import { Files } from './files.ts';
import { failure, mount } from './fs-shim.ts';

type Turn = (action: () => void) => void;

/** How much slower a stalled disk is. */
const STALL_FACTOR = 60;
const CLUSTER = 'sim';
/** Whatever is waited for is there. */
const instantClock: Clock = {
  nowMs: () => 0,
  monotonicMs: () => 0,
  after: (_, action) => {
    queueMicrotask(action);
    return { cancel: () => {} };
  },
  soon: (action) => queueMicrotask(action),
};

/** What is wrong with a disk. `full` and `failing` refuse writes; `unreadable` reading as well. */
export type DiskTrouble = 'none' | 'full' | 'failing' | 'unreadable';

export class SimDisk {
  readonly files = new Files();
  readonly durable = new DurableView();
  readonly #world: World;
  readonly #random: Random;
  readonly #owner: string;
  readonly #options: SwarmOptions['disk'];
  #turn: Turn = (action) => action();
  #epoch = 0;
  /** While a group is founded, nothing takes any time. */
  #instant = false;
  stalled = false;
  trouble: DiskTrouble = 'none';

  constructor(world: World, random: Random, owner: string, options: SwarmOptions['disk']) {
    this.#world = world;
    this.#random = random;
    this.#owner = owner;
    this.#options = options;
    mount(this.#root, this);
  }

  /** Puts down what a member of the founding group begins with. */
  async found(meta: SnapshotMeta, bytes: Buffer, hardState: HardState): Promise<void> {
    this.#instant = true;
    const storage = this.#storage(instantClock);
    await storage.open();
    const writer = await storage.writeSnapshot(meta);
    await writer.write(bytes);
    await writer.commit();
    await storage.append({ entries: [], hardState });
    await storage.close();
    this.#instant = false;
  }

  /** The process is gone; with the power, also what the kernel had not written yet. */
  crash({ power }: { readonly power: boolean }): void {
    this.#epoch++;
    this.stalled = false;
    if (!power) return;
    const { unsynced, torn } = this.files.crash(this.#random, this.#options.tornOdds);
    if (unsynced) this.#world.count('crash with unsynced writes');
    if (torn > 0) this.#world.count('torn file', torn);
  }

  /** Everything is gone. */
  wipe(): void {
    this.crash({ power: true });
    this.files.wipe();
  }

  /** The storage port of one process; `turn` runs what the disk has to say in a turn of it. */
  open(turn: Turn, clock: Clock): Storage {
    this.#epoch++;
    this.#turn = turn;
    const storage = this.#storage(clock);
    return {
      ...storage,
      open: async () => {
        const before = this.durable;
        const state = await storage.open();
        this.#checkFound(state);
        before.found(state);
        return state;
      },
      append: async (batch) => {
        await storage.append(batch);
        const gap = this.durable.take(batch);
        if (gap !== undefined) this.#fail('entries are written without a gap', { index: gap });
      },
      compact: (upTo) => {
        this.#world.count('compaction');
        return storage.compact(upTo);
      },
      writeSnapshot: async (meta) => {
        const writer = await storage.writeSnapshot(meta);
        return { ...writer, commit: () => this.#stored(writer.commit(), meta) };
      },
      ...(storage.incoming === undefined ? {} : { incoming: this.#incoming(storage.incoming) }),
    };
  }

  /** Reading takes no time that matters, and may fail. */
  async look(): Promise<void> {
    if (this.trouble === 'unreadable') throw this.#refused('EIO');
  }

  /** Writing into the kernel's memory takes no time that matters, and may fail. */
  async change(): Promise<void> {
    if (this.trouble === 'full') throw this.#refused('ENOSPC');
    if (this.trouble !== 'none') throw this.#refused('EIO');
  }

  /** Makes durable, which takes its time: `done` says what. Never settles once the process is gone. */
  sync(done: () => void): Promise<void> {
    if (this.#instant) {
      done();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#later(() => {
        if (this.trouble !== 'none') {
          const refused = this.#refused(this.trouble === 'full' ? 'ENOSPC' : 'EIO');
          this.#turn(() => reject(refused));
          return;
        }
        done();
        this.#turn(resolve);
      });
    });
  }

  get #root(): string {
    return `/sim/${this.#owner}/`;
  }

  #storage(clock: Clock): Storage {
    const options = {
      ...{ directory: `/sim/${this.#owner}`, nodeId: this.#owner, clusterId: CLUSTER, clock },
      segmentBytes: this.#options.segmentBytes,
    };
    return this.#world.product.createFileStorage(options);
  }

  #incoming(incoming: NonNullable<Storage['incoming']>): NonNullable<Storage['incoming']> {
    return {
      have: (identity) => incoming.have(identity),
      receive: async (identity, from) => {
        if (from > 0) this.#world.count('snapshot resumed');
        const writer = await incoming.receive(identity, from);
        return { ...writer, commit: () => this.#stored(writer.commit(), identity.meta) };
      },
    };
  }

  async #stored(commit: Promise<void>, meta: SnapshotMeta): Promise<void> {
    await commit;
    if (meta.index > (this.durable.snapshot?.index ?? 0)) this.durable.snapshot = meta;
    this.#world.moment(this.#owner, 'snapshot stored');
  }

  /** What was durable is found again. More may be found: what was under way when the process ended. */
  #checkFound({ snapshot, entries, hardState }: StoredState): void {
    const { durable } = this;
    const base = snapshot?.index ?? 0;
    const last = entries.at(-1)?.index ?? base;
    const facts = { last, durable: durable.lastIndex, snapshot: base };
    if (durable.hardState === undefined) return;
    const reset = durable.log.baseIndex > base;
    if (reset || base < (durable.snapshot?.index ?? 0)) {
      this.#fail('a snapshot that was stored is found again', facts);
    }
    // A later leader may have been overwriting the tail.
    const replaced = snapshot !== undefined && durable.log.termAt(base) !== snapshot.term;
    const overwritten =
      replaced || entries.some(({ index, term }) => term > (durable.log.termAt(index) ?? term));
    if (last < durable.log.lastIndex && !overwritten && base <= durable.log.lastIndex) {
      this.#fail('what was durable is found again', facts);
    }
    if ((hardState?.term ?? 0) < durable.hardState.term) {
      this.#fail('a term that was durable is found again', facts);
    }
  }

  #fail(law: string, facts: Readonly<Record<string, unknown>>): void {
    const failed = new CheckFailure('durability', law, { member: this.#owner, ...facts });
    this.#world.fail(failed);
    throw failed;
  }

  #refused(code: string): Error {
    this.#world.count(`disk ${code}`);
    return failure(code, this.#root);
  }

  #later(run: () => void): void {
    const { floorMs } = this.#options;
    const meanMs = this.#world.calm ? Math.min(1, this.#options.meanMs) : this.#options.meanMs;
    const usualMs = floorMs + exponential(this.#random, meanMs);
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
}
