/**
 * What a power cut loses. A process that is killed leaves the kernel's cache behind, a machine without power does not: what was
 * written and never synced is gone, all of it, none, or any of its sectors. The shim keeps a journal of writes, names and syncs
 * (fault-shim.c has the layout); after a host lost its power this takes back what nobody had synced.
 *
 * The model is that of a journaling file system: sectors of 512 bytes reach the disk in any order until a sync of their file;
 * changes of names reach it in their order, at the latest when the directory of a later one is synced, or the file; what is older
 * than half a minute is there anyhow.
 */

import {
  type FileHandle,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { DEFAULT_DATA_DIR } from '../cli/control-client.ts';
import type { Random } from '../lib/random.ts';
import type { HostPlan } from './plan.ts';

type Call = {
  readonly atNs: number;
  readonly inode: number;
  readonly path: string;
};
export type JournalRecord =
  | (Call & {
      readonly kind: 'wrote';
      readonly offset: number;
      readonly length: number;
      readonly sizeBefore: number;
      /** Shorter than `length` where there were zeros, or nothing. */
      readonly before: Buffer;
    })
  | (Call & { readonly kind: 'synced' })
  | (Call & { readonly kind: 'created'; readonly directory: number })
  | (Call & {
      readonly kind: 'renamed';
      readonly directory: number;
      readonly from: string;
      /** What had the name before; undefined when nothing had. */
      readonly replaced: Buffer | undefined;
    })
  | (Call & { readonly kind: 'removed'; readonly directory: number; readonly content: Buffer });

type Written = Extract<JournalRecord, { kind: 'wrote' }>;
type Named = Extract<JournalRecord, { kind: 'created' | 'renamed' | 'removed' }>;

/** What is taken back, newest first. */
export type Loss = {
  readonly writes: readonly { readonly record: Written; readonly sectors: readonly number[] }[];
  readonly names: readonly Named[];
};

const MAGIC = 0x6c6e726a;
const HEAD_BYTES = 64;
const SECTOR_BYTES = 512;
/** After this long the kernel writes on its own account (dirty_expire_centisecs). */
const EXPIRY_NS = 30e9;
const FILE_MODE = 0o600;

/** The records of a journal; one that a kill cut short is left out. Pure. */
export function parseJournal(bytes: Buffer): readonly JournalRecord[] {
  const records: JournalRecord[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.length && bytes.readUInt32LE(at) === MAGIC; ) {
    const pathBytes = bytes.readUInt32LE(at + 56);
    const moreBytes = bytes.readUInt32LE(at + 60);
    const path = at + HEAD_BYTES;
    const more = path + pathBytes;
    const end = more + moreBytes;
    if (end > bytes.length) break;
    const record = decode(bytes.subarray(at, path), {
      path: bytes.toString('utf8', path, more),
      more: bytes.subarray(more, end),
    });
    if (record !== undefined) records.push(record);
    at = end;
  }
  return records;
}

function decode(
  head: Buffer,
  { path, more }: { readonly path: string; readonly more: Buffer },
): JournalRecord | undefined {
  const [atNs = 0, inode = 0, directory = 0, offset = 0, length = 0, old = 0] = [
    8, 16, 24, 32, 40, 48,
  ].map((place) => Number(head.readBigUInt64LE(place)));
  const call = { atNs, inode, path };
  switch (head.readUInt32LE(4)) {
    case 1:
      return { ...call, kind: 'wrote', offset, length, sizeBefore: old, before: more };
    case 2:
      return { ...call, kind: 'synced' };
    case 3: {
      const feed = more.indexOf('\n');
      const from = more.toString('utf8', 0, feed);
      const replaced = old === 1 ? more.subarray(feed + 1) : undefined;
      return { ...call, kind: 'renamed', directory, from, replaced };
    }
    case 4:
      return { ...call, kind: 'created', directory };
    case 5:
      return { ...call, kind: 'removed', directory, content: more };
    default:
      return undefined;
  }
}

/** What of a journal a power cut at `nowNs` (monotonic) loses this time. Pure. */
export function planLoss(
  records: readonly JournalRecord[],
  { nowNs, random }: { readonly nowNs: number; readonly random: Random },
): Loss {
  const synced = new Map<number, number>();
  for (const record of records) {
    if (record.kind !== 'synced') continue;
    synced.set(record.inode, Math.max(synced.get(record.inode) ?? 0, record.atNs));
  }
  const durable = (inode: number, atNs: number): boolean =>
    (synced.get(inode) ?? 0) > atNs || atNs < nowNs - EXPIRY_NS;
  const newestFirst = [...records].sort((a, b) => b.atNs - a.atNs);
  // All, none, or some of the sectors: the first two are the likeliest to be the interesting ones.
  const share = random.pick([0, 0.5, 1]);
  const writes = newestFirst.flatMap((record) => {
    if (record.kind !== 'wrote' || durable(record.inode, record.atNs)) return [];
    const first = Math.floor(record.offset / SECTOR_BYTES);
    const last = Math.floor((record.offset + Math.max(1, record.length) - 1) / SECTOR_BYTES);
    const sectors: number[] = [];
    for (let sector = first; sector <= last; sector++) {
      if (random.float() < share) sectors.push(sector);
    }
    return sectors.length === 0 ? [] : [{ record, sectors }];
  });
  const names = newestFirst.filter(
    (record): record is Named => record.kind !== 'wrote' && record.kind !== 'synced',
  );
  // The number of a file that was removed may be another's by now: its syncs say nothing of the removal.
  const settled = names.findIndex(
    ({ kind, directory, inode, atNs }) =>
      durable(directory, atNs) || (kind !== 'removed' && durable(inode, atNs)),
  );
  const loose = settled < 0 ? names : names.slice(0, settled);
  return { writes, names: loose.slice(0, random.int(0, loose.length)) };
}

export type LossCount = { readonly writes: number; readonly names: number };

/**
 * Takes back what a power cut loses on a host, which must be dead, and begins a new journal. Answers how many writes and names
 * were lost; undefined when the host has no journal.
 */
export function loseUnsynced(host: HostPlan, random: Random): Promise<LossCount | undefined> {
  const outside = (path: string): string => `${host.dir}/root${path}`;
  const journal = `${host.dir}/faults.unsynced`;
  return loseFrom({ journal, data: outside(DEFAULT_DATA_DIR), outside }, random);
}

/** The same for any journal: `data` holds the files it is about, `outside` leads from its paths to ours. */
export async function loseFrom(
  place: {
    readonly journal: string;
    readonly data: string;
    readonly outside: (path: string) => string;
  },
  random: Random,
): Promise<LossCount | undefined> {
  const bytes = await readFile(place.journal).catch(() => undefined);
  if (bytes === undefined) return undefined;
  const nowNs = Number(process.hrtime.bigint());
  const loss = planLoss(parseJournal(bytes), { nowNs, random });
  const files = await filesByInode(place.data);
  for (const { record, sectors } of loss.writes) {
    const path = files.get(record.inode);
    if (path !== undefined) await restore(path, record, sectors);
  }
  // A directory that is gone is gone for good: the journal knows nothing of directories.
  for (const record of loss.names) await takeBack(record, place.outside).catch(ignoreMissing);
  await rm(place.journal, { force: true });
  return { writes: loss.writes.length, names: loss.names.length };
}

/** What a power cut took, in words. */
export const describeLoss = ({ writes, names }: LossCount): string =>
  `its disk lost ${writes} writes and ${names} names that nobody had synced`;

/** Puts into the sectors of a write what stood there before it. */
async function restore(path: string, record: Written, sectors: readonly number[]): Promise<void> {
  const file = await open(path, 'r+');
  try {
    for (const sector of sectors) {
      const from = Math.max(record.offset, sector * SECTOR_BYTES);
      const to = Math.min(record.offset + record.length, (sector + 1) * SECTOR_BYTES);
      const old = Buffer.alloc(Math.max(0, to - from));
      record.before.subarray(from - record.offset, to - record.offset).copy(old);
      if (to > from) await writeInside(file, old, from);
    }
    const all = sectors.length * SECTOR_BYTES >= record.length;
    const { size } = await file.stat();
    // A file that grew by this write alone has its former size again; one that was emptied has its content.
    if (all && size === record.offset + record.length && size > record.sizeBefore) {
      await file.truncate(record.sizeBefore);
    }
  } finally {
    await file.close();
  }
}

/** Writes all of `bytes`. */
async function writeInside(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

async function takeBack(record: Named, outside: (path: string) => string): Promise<void> {
  const path = outside(record.path);
  switch (record.kind) {
    case 'created':
      return rm(path, { force: true });
    case 'removed':
      // Noted before it was done: if the name is there, it was not.
      if ((await inodeOf(path)) !== undefined) return;
      return writeFile(path, record.content, { mode: FILE_MODE });
    case 'renamed':
      if ((await inodeOf(path)) !== record.inode) return;
      await rename(path, outside(record.from));
      if (record.replaced) await writeFile(path, record.replaced, { mode: FILE_MODE });
  }
}

async function filesByInode(directory: string): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(
    () => [],
  );
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set((await stat(path)).ino, path);
  }
  return found;
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

const inodeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );
