/**
 * The port to durable storage: one member's log, hard state and snapshots. Two implementations pass one
 * conformance suite: files (file-storage.ts) and a twin in memory with injectable faults (memory-storage.ts).
 */

import type {
  Entry,
  HardState,
  LogIndex,
  RetainedEntries,
  SnapshotMeta,
} from '../../raft/types.ts';

/** Everything found at open. */
export type StoredState = {
  /** Undefined on a fresh directory. */
  readonly hardState: HardState | undefined;
  /** The newest usable snapshot. */
  readonly snapshot: SnapshotMeta | undefined;
  /** Entries behind the snapshot, without gaps. */
  readonly entries: readonly Entry[];
  /** What is still there of the log up to the snapshot; left out if nothing is. */
  readonly retained?: RetainedEntries;
};

/** What becomes durable in one step. */
export type LogBatch = {
  /** The first one's index says where an old tail is cut. */
  readonly entries: readonly Entry[];
  readonly hardState?: HardState | undefined;
  /** A snapshot from the leader took the log's place: every older entry is void. Comes before `entries`. */
  readonly reset?: SnapshotMeta | undefined;
};

export interface SnapshotWriter {
  /** Takes bytes; resolves when it can take more. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the snapshot durable and visible at once. */
  commit(): Promise<void>;
  /** Leaves no trace. Harmless after commit. */
  abort(): Promise<void>;
}

export interface SnapshotReader {
  readonly meta: SnapshotMeta;
  /** Payload bytes. */
  readonly size: number;
  /** Of the payload (crc32c). A storage that does not know it cannot have a transfer resumed. */
  readonly checksum?: number;
  /**
   * Rejects with data-damaged if the bytes are not those that were written. `from`: begins at this byte, unchecked: whoever has the
   * bytes before it checks the whole. Default 0.
   */
  chunks(from?: number): AsyncIterable<Uint8Array>;
  /** The snapshot may be deleted as far as this reader is concerned. */
  release(): Promise<void>;
}

/** Which bytes: the same position can be written in more than one way. */
export type SnapshotIdentity = {
  readonly meta: SnapshotMeta;
  readonly size: number;
  /** Of the payload (crc32c). */
  readonly checksum: number;
};

/** Takes a snapshot from another member; one at a time. */
export interface IncomingWriter {
  write(chunk: Uint8Array): Promise<void>;
  /** Makes it the newest snapshot. Rejects, and forgets all of it, if it is not what was announced. */
  commit(): Promise<void>;
  /** Keeps what has arrived for the next attempt. Harmless after a commit that failed. */
  suspend(): Promise<void>;
}

/** Snapshots from other members, whose transfer may break off and go on. */
export interface IncomingSnapshots {
  /** How many bytes of it are durable and intact here. What is here of any other one is deleted. */
  have(identity: SnapshotIdentity): Promise<number>;
  /** Begins, or goes on behind the first `from` bytes, which are what `have` has answered. */
  receive(identity: SnapshotIdentity, from: number): Promise<IncomingWriter>;
}

/** What a disk still holds, however little of it is needed. */
export type OldestStored = {
  /** Smallest index of any entry in any file, void ones included; undefined when there is none. */
  readonly entry: LogIndex | undefined;
  /** The oldest snapshot's. */
  readonly snapshot: LogIndex | undefined;
};

/** One member's durable state. After a failed write every call rejects with disk-failed: nothing is retried. */
export interface Storage {
  /** To be called once, first. Rejects with data-damaged if what is there cannot be trusted. */
  open(): Promise<StoredState>;
  /** Resolves when the batch, and every one before it, is durable. Batches become durable in call order. */
  append(batch: LogBatch): Promise<void>;
  /** Entries up to `upTo` are not needed any more; may keep some. */
  compact(upTo: LogIndex): Promise<void>;
  /** Resolves when no entry up to `upTo` shares a file with what is appended later, so that `compact` can delete them all. */
  roll(upTo: LogIndex): Promise<void>;
  oldest(): Promise<OldestStored>;
  /** Begins a snapshot; older ones are deleted when it is committed, unless they are being read. */
  writeSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter>;
  /** Where snapshots of others arrive. A storage without it takes them whole or not at all. */
  readonly incoming?: IncomingSnapshots;
  /** The newest committed snapshot. */
  readSnapshot(): Promise<SnapshotReader | undefined>;
  /** Waits for what was appended, then lets go of the files. */
  close(): Promise<void>;
}
