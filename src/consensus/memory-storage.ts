/**
 * The storage port's twin in memory, for tests and the simulator. A `MemoryDisk` outlives the member that uses
 * it, as a disk outlives a process; a crash loses what was not yet durable.
 */

import type { LogIndex, SnapshotMeta } from '../../raft/types.ts';
import { crc32c } from '../lib/crc32c.ts';
import { SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import { LogReplay } from './log-replay.ts';
import type {
  IncomingSnapshots,
  LogBatch,
  SnapshotIdentity,
  SnapshotReader,
  SnapshotWriter,
  Storage,
} from './storage.ts';
import type { WalRecord } from './wal-format.ts';
import type { LogIdentity } from './wal-segment.ts';

const CHUNK_BYTES = 64 * 1024;

type StoredSnapshot = {
  readonly meta: SnapshotMeta;
  readonly bytes: Buffer;
  readonly checksum: number;
};

/** What survives a crash, and the faults to inject. */
export class MemoryDisk {
  records: WalRecord[] = [];
  snapshot: StoredSnapshot | undefined;
  owner: LogIdentity | undefined;
  /** What has arrived of a snapshot whose transfer broke off. */
  incoming: { readonly key: string; readonly bytes: Buffer } | undefined;
  /** Counts what became durable; for assertions on group commit. */
  syncs = 0;
  /** The next append fails, and with it everything after. */
  failNextAppend = false;
  /** Counts the storages opened on it; only the newest one writes. */
  openings = 0;
  /** Awaited before each sync; lets a test hold or slow the disk. Default: the next microtask. */
  beforeSync: () => Promise<void> = () => Promise.resolve();
}

/** Storage on `disk`. */
export function createMemoryStorage(disk: MemoryDisk, owner: LogIdentity): Storage {
  let failure: SkeinError | undefined;
  let opening = 0;
  let chain: Promise<void> = Promise.resolve();
  let queued: { batch: LogBatch; resolve: () => void; reject: (e: SkeinError) => void }[] = [];

  async function flush(): Promise<void> {
    await disk.beforeSync();
    const group = queued;
    queued = [];
    // The process that asked has crashed; another one has the disk now.
    if (group.length === 0 || opening !== disk.openings) return;
    if (disk.failNextAppend) failure = new SkeinError('disk-failed', 'injected disk failure');
    if (failure === undefined) {
      disk.syncs++;
      for (const { batch } of group) disk.records.push(...recordsOf(batch));
    }
    for (const waiting of group) {
      if (failure === undefined) waiting.resolve();
      else waiting.reject(failure);
    }
  }

  return {
    async open() {
      const { nodeId, clusterId } = disk.owner ?? owner;
      if (nodeId !== owner.nodeId || clusterId !== owner.clusterId) {
        throw new SkeinError('data-damaged', `the disk belongs to ${nodeId} of ${clusterId}`);
      }
      disk.owner = owner;
      opening = ++disk.openings;
      const replay = new LogReplay();
      for (const record of disk.records) replay.add(record);
      const meta = disk.snapshot?.meta;
      const state = replay.finish(meta);
      if (state === undefined) throw new SkeinError('data-damaged', 'the log lacks entries');
      if (replay.isVoid(meta)) {
        const { hardState } = state;
        disk.records.push(...recordsOf({ reset: meta, entries: [], hardState }));
      }
      return state;
    },
    append(batch) {
      if (failure !== undefined) return Promise.reject(failure);
      return new Promise((resolve, reject) => {
        queued.push({ batch, resolve, reject });
        chain = chain.then(flush);
      });
    },
    async compact(upTo) {
      const newest = disk.records.findLast((record) => record.type === 'hard-state');
      const reset = disk.records.findLastIndex((record) => record.type === 'reset');
      // The record of a reset goes, and with it what it made void.
      disk.records = disk.records.filter((record, at) =>
        record.type === 'entry' ? at > reset && record.entry.index > upTo : record === newest,
      );
    },
    async roll() {},
    async oldest() {
      const indexes = disk.records.flatMap((record) =>
        record.type === 'entry' ? record.entry.index : [],
      );
      const entry = indexes.reduce(
        (least: LogIndex | undefined, index) =>
          least === undefined || index < least ? index : least,
        undefined,
      );
      return { entry, snapshot: disk.snapshot?.meta.index };
    },
    async writeSnapshot(meta) {
      return snapshotWriter(disk, meta);
    },
    async readSnapshot() {
      return disk.snapshot === undefined ? undefined : snapshotReader(disk.snapshot);
    },
    incoming: incomingOn(disk),
    async close() {
      await chain;
      failure ??= new SkeinError('disk-failed', 'the storage is closed');
    },
  };
}

function snapshotWriter(disk: MemoryDisk, meta: SnapshotMeta): SnapshotWriter {
  const parts: Buffer[] = [];
  return {
    write: async (chunk) => void parts.push(Buffer.from(chunk)),
    commit: async () => {
      const bytes = Buffer.concat(parts);
      if ((disk.snapshot?.meta.index ?? 0) > meta.index) return;
      disk.snapshot = { meta, bytes, checksum: crc32c(bytes) };
    },
    abort: async () => void parts.splice(0),
  };
}

/** What has arrived outlives a crash, as far as it was kept. */
function incomingOn(disk: MemoryDisk): IncomingSnapshots {
  const keyOf = ({ meta, size, checksum }: SnapshotIdentity) =>
    [meta.index, meta.term, meta.level, size, checksum].join();
  return {
    async have(identity) {
      if (disk.incoming?.key !== keyOf(identity)) disk.incoming = undefined;
      return disk.incoming?.bytes.length ?? 0;
    },
    async receive(identity, from) {
      const parts = from === 0 ? [] : [disk.incoming?.bytes ?? Buffer.alloc(0)];
      return {
        write: async (chunk) => void parts.push(Buffer.from(chunk)),
        commit: async () => {
          const bytes = Buffer.concat(parts.splice(0));
          disk.incoming = undefined;
          const { meta, size, checksum } = identity;
          if (bytes.length !== size || crc32c(bytes) !== checksum) {
            throw new SkeinError(
              'stream-closed',
              'the incoming snapshot is not what was announced',
            );
          }
          if ((disk.snapshot?.meta.index ?? 0) > meta.index) return;
          disk.snapshot = { meta, bytes, checksum };
        },
        suspend: async () => {
          const bytes = Buffer.concat(parts);
          if (bytes.length > 0) disk.incoming = { key: keyOf(identity), bytes };
        },
      };
    },
  };
}

function snapshotReader(stored: StoredSnapshot): SnapshotReader {
  const { meta, bytes, checksum } = stored;
  let released = false;
  return {
    meta,
    size: bytes.length,
    checksum,
    async *chunks(from = 0) {
      invariant(!released, 'a released snapshot is not read');
      if (crc32c(bytes) !== checksum) {
        throw new SkeinError('data-damaged', 'the snapshot fails its checksum');
      }
      for (let at = from; at < bytes.length; at += CHUNK_BYTES) {
        yield bytes.subarray(at, at + CHUNK_BYTES);
      }
    },
    release: async () => {
      released = true;
    },
  };
}

function recordsOf(batch: LogBatch): WalRecord[] {
  const records: WalRecord[] = [];
  if (batch.reset !== undefined) records.push({ type: 'reset', snapshot: batch.reset });
  for (const entry of batch.entries) records.push({ type: 'entry', entry });
  const { hardState } = batch;
  if (hardState !== undefined) records.push({ type: 'hard-state', hardState });
  return records;
}
