/**
 * Snapshot files: `<index>-<term>.snap`. Payload | trailer | footer, where the trailer is msgpack with the meta and the
 * owner, and the footer is `payload crc32c u32 | trailer crc32c u32 | trailer length u32 | magic`. Written to a
 * temporary file, synced, renamed, and the directory synced: a name stands for a whole snapshot.
 */

import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Packr } from 'msgpackr';
import type { SnapshotMeta } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import { crc32c } from '../lib/crc32c.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { IncomingFiles } from './incoming-snapshot.ts';
import { syncDirectory } from './segment-file.ts';
import type { SnapshotIdentity, SnapshotReader, SnapshotWriter } from './storage.ts';
import { laterVersion } from './versions.ts';
import type { LogIdentity } from './wal-segment.ts';

const MAGIC = Buffer.from('skeinsn1', 'latin1');
const FOOTER_BYTES = 20;
const READ_BYTES = 256 * 1024;
const SNAPSHOT_NAME = /^(\d{16})-(\d{10})\.snap$/;
const TEMPORARY_SUFFIX = '.tmp';
const packr = new Packr({ useRecords: false });

type Stored = {
  readonly meta: SnapshotMeta;
  readonly path: string;
  /** Payload bytes. */
  readonly size: number;
  /** Of the payload. */
  readonly checksum: number;
};

/** A snapshot file whose ending is intact. */
export type SnapshotFile = Stored & { readonly owner: LogIdentity };

/** The snapshots of one member's directory. */
export class SnapshotFiles {
  readonly #directory: string;
  readonly #owner: LogIdentity;
  /** Snapshots of others on their way in. */
  readonly incoming: IncomingFiles;
  readonly #readers = new Map<string, number>();
  #temporaries = 0;
  #newest: Stored | undefined;

  constructor(directory: string, owner: LogIdentity) {
    this.#directory = directory;
    this.#owner = owner;
    this.incoming = new IncomingFiles(directory, (handle, path, identity) =>
      this.#finish(handle, path, identity),
    );
  }

  /** Looks through the directory; unfinished files are deleted. Returns the newest snapshot's meta. */
  async open(): Promise<SnapshotMeta | undefined> {
    const names = await readdir(this.#directory);
    for (const name of names.filter((name) => name.endsWith(TEMPORARY_SUFFIX))) {
      await unlink(join(this.#directory, name));
    }
    const newest = snapshotNames(names).at(-1);
    const index = Number(SNAPSHOT_NAME.exec(newest ?? '')?.[1] ?? 0);
    await this.incoming.forget(index);
    if (newest === undefined) return undefined;
    const found = await inspectSnapshot(join(this.#directory, newest));
    refuseForeign(found, this.#owner);
    this.#newest = found;
    // Its name may come from a process that was killed before it was durable: the log will be cut on the strength of it.
    await syncDirectory(this.#directory);
    return found.meta;
  }

  async write(meta: SnapshotMeta): Promise<SnapshotWriter> {
    const temporary = join(this.#directory, `${++this.#temporaries}${TEMPORARY_SUFFIX}`);
    const handle = await open(temporary, 'wx', 0o600);
    let size = 0;
    let checksum = 0;
    let finished = false;
    const abort = async () => {
      if (finished) return;
      finished = true;
      await handle.close();
      await unlink(temporary);
    };
    return {
      write: async (chunk) => {
        checksum = crc32c(chunk, checksum);
        await writeAll(handle, chunk, size);
        size += chunk.length;
      },
      commit: async () => {
        finished = true;
        await this.#finish(handle, temporary, { meta, size, checksum });
      },
      abort,
    };
  }

  /** Gives a whole payload its ending and its name. */
  async #finish(handle: FileHandle, temporary: string, identity: SnapshotIdentity): Promise<void> {
    const { meta, size, checksum } = identity;
    await writeAll(handle, this.#ending(meta, checksum), size);
    await handle.sync();
    await handle.close();
    const path = join(this.#directory, nameOf(meta));
    await rename(temporary, path);
    await syncDirectory(this.#directory);
    await this.#replace({ meta, path, size, checksum });
  }

  async read(): Promise<SnapshotReader | undefined> {
    const stored = this.#newest;
    if (stored === undefined) return undefined;
    const { meta, path, size, checksum } = stored;
    this.#readers.set(path, (this.#readers.get(path) ?? 0) + 1);
    const handle = await open(path, 'r');
    let released = false;
    return {
      meta,
      size,
      checksum,
      chunks: (from = 0) =>
        from === 0 ? readVerified(handle, stored) : readFrom(handle, stored, from),
      release: async () => {
        if (released) return;
        released = true;
        await handle.close();
        const left = (this.#readers.get(path) ?? 1) - 1;
        this.#readers.set(path, left);
        if (left === 0) this.#readers.delete(path);
        await this.#deleteOlder();
      },
    };
  }

  /** Index of the oldest snapshot that is there; one that is being read stays until it was. */
  async oldestIndex(): Promise<number | undefined> {
    const [oldest] = snapshotNames(await readdir(this.#directory));
    return oldest === undefined ? undefined : Number(SNAPSHOT_NAME.exec(oldest)?.[1]);
  }

  async #replace(stored: Stored): Promise<void> {
    const newest = this.#newest;
    if (newest === undefined || newest.meta.index <= stored.meta.index) this.#newest = stored;
    await this.#deleteOlder();
    await this.incoming.forget(stored.meta.index);
  }

  async #deleteOlder(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      // A newer one has its name a moment before it is known as the newest: 1. it is renamed; 2. whoever read the one before
      // lets go of it, and looks for what to delete; 3. the log is cut up to a snapshot that is gone.
      const old = SNAPSHOT_NAME.test(name) && path < (this.#newest?.path ?? '');
      if (old && !this.#readers.has(path)) await unlink(path).catch(ignoreMissing);
    }
  }

  #ending(meta: SnapshotMeta, checksum: number): Buffer {
    const { nodeId, clusterId } = this.#owner;
    const { index, term, confState, level } = meta;
    // The first release wrote no level, and passes over it.
    const optional = level === undefined ? [] : [level];
    const trailer = packr.pack([nodeId, clusterId, index, term, confState, ...optional]);
    const footer = Buffer.alloc(FOOTER_BYTES);
    footer.writeUInt32LE(checksum, 0);
    footer.writeUInt32LE(crc32c(trailer), 4);
    footer.writeUInt32LE(trailer.length, 8);
    footer.set(MAGIC, 12);
    return Buffer.concat([trailer, footer]);
  }
}

/** The names that are whole snapshots' in a listing, oldest first. */
export function snapshotNames(listing: readonly string[]): string[] {
  return listing.filter((name) => SNAPSHOT_NAME.test(name)).sort();
}

/** Reads a snapshot file's ending. Rejects with data-damaged; the payload is checked as it is read. */
export async function inspectSnapshot(path: string): Promise<SnapshotFile> {
  const handle = await open(path, 'r');
  try {
    const { size: fileBytes } = await handle.stat();
    const footer = Buffer.alloc(FOOTER_BYTES);
    await handle.read(footer, 0, FOOTER_BYTES, Math.max(0, fileBytes - FOOTER_BYTES));
    refuseOtherFormat(path, footer.subarray(12));
    const trailer = Buffer.alloc(Math.min(fileBytes, footer.readUInt32LE(8)));
    const size = fileBytes - FOOTER_BYTES - trailer.length;
    await handle.read(trailer, 0, trailer.length, Math.max(0, size));
    if (crc32c(trailer) !== footer.readUInt32LE(4)) throw damaged(path, 'its trailer is damaged');
    const [nodeId, clusterId, index, term, confState, level] = packr.unpack(trailer) as [
      string,
      string,
      number,
      number,
      SnapshotMeta['confState'],
      number?,
    ];
    const meta = {
      index: asIndex(index),
      term: asTerm(term),
      confState,
      ...(level === undefined ? {} : { level }),
    };
    return {
      meta,
      path,
      size,
      checksum: footer.readUInt32LE(0),
      owner: { nodeId, clusterId },
    };
  } finally {
    await handle.close();
  }
}

/** The magic's last character counts the formats of the file around the payload. */
function refuseOtherFormat(path: string, magic: Buffer): void {
  if (magic.equals(MAGIC)) return;
  const [name, format] = [magic.toString('latin1', 0, 7), magic.toString('latin1', 7)];
  if (name !== MAGIC.toString('latin1', 0, 7)) throw damaged(path, 'its end is missing');
  throw laterVersion(`snapshot ${path} has format ${format}`, 'format 1');
}

/** Throws data-damaged if a snapshot is another node's or another cluster's. */
export function refuseForeign({ path, owner }: SnapshotFile, expected: LogIdentity): void {
  if (owner.nodeId === expected.nodeId && owner.clusterId === expected.clusterId) return;
  throw damaged(path, `it belongs to node ${owner.nodeId} of cluster ${owner.clusterId}`);
}

/** The payload of a snapshot file, for who only reads. Rejects with data-damaged at its end if its bytes are not those that were written. */
export async function* readSnapshotFile(file: SnapshotFile): AsyncGenerator<Uint8Array> {
  const handle = await open(file.path, 'r');
  try {
    yield* readVerified(handle, file);
  } finally {
    await handle.close();
  }
}

/** The bytes from `from` on, whose checksum only who has the others can judge. */
async function* readFrom(
  handle: FileHandle,
  { path, size }: Stored,
  from: number,
): AsyncGenerator<Uint8Array> {
  for (let at = from; at < size; ) {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, size - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw damaged(path, `it ends at byte ${at}`);
    at += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

async function* readVerified(handle: FileHandle, stored: Stored): AsyncGenerator<Uint8Array> {
  let checksum = 0;
  for (let at = 0; at < stored.size; ) {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, stored.size - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw damaged(stored.path, `it ends at byte ${at}`);
    const bytes = chunk.subarray(0, bytesRead);
    checksum = crc32c(bytes, checksum);
    at += bytesRead;
    yield bytes;
  }
  if (checksum !== stored.checksum) throw damaged(stored.path, 'its contents fail their checksum');
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function nameOf(meta: SnapshotMeta): string {
  return `${String(meta.index).padStart(16, '0')}-${String(meta.term).padStart(10, '0')}.snap`;
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT')
    throw new SkeinError('disk-failed', messageOf(error), { cause: error });
}

function damaged(path: string, why: string): SkeinError {
  return new SkeinError(
    'data-damaged',
    `snapshot ${path} cannot be used: ${why}. Remove the member from the cluster, delete its data directory and join it anew`,
  );
}
