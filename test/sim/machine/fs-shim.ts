/**
 * What the product's storage gets for `node:fs/promises` and `node:crypto` in a simulation: the files of the disk whose path it
 * names. One run at a time and thread.
 */

import type { SimDisk } from './disk.ts';
import type { Inode } from './files.ts';

const disks = new Map<string, SimDisk>();
let salt = 0;

/** From now on paths below `root` are on `disk`. */
export function mount(root: string, disk: SimDisk): void {
  disks.set(root, disk);
}

/** Every disk is gone, and numbers begin anew. */
export function unmountAll(): void {
  disks.clear();
  salt = 0;
}

/** In place of node:crypto's: different each time, and the same in every run of a seed. */
export function randomInt(): number {
  salt = (salt + 0x9e3779b9) % 0xffff_ffff;
  return salt;
}

type Flag = 'r' | 'r+' | 'w+' | 'wx' | 'wx+';

export async function open(path: string, flag: Flag) {
  const disk = diskOf(path);
  await disk.look();
  let inode = disk.files.get(path);
  if (flag.startsWith('wx') && inode !== undefined) throw failure('EEXIST', path);
  if (flag === 'w+' && inode !== undefined) inode.truncate(0);
  if (flag.startsWith('w')) {
    await disk.change();
    inode ??= disk.files.create(path);
  }
  if (inode !== undefined) return fileHandle(disk, inode);
  if (flag === 'r' && !path.includes('.')) return directoryHandle(disk, path);
  throw failure('ENOENT', path);
}

export async function readFile(path: string, encoding?: 'utf8'): Promise<Buffer | string> {
  if (path.startsWith('/proc/')) throw failure('ENOENT', path);
  const disk = diskOf(path);
  await disk.look();
  const inode = disk.files.get(path);
  if (inode === undefined) throw failure('ENOENT', path);
  return encoding === undefined ? Buffer.from(inode.bytes) : inode.bytes.toString(encoding);
}

export async function writeFile(
  path: string,
  text: string,
  { flag }: { readonly flag?: string } = {},
): Promise<void> {
  const disk = diskOf(path);
  await disk.change();
  const known = disk.files.get(path);
  if (known !== undefined && flag === 'wx') throw failure('EEXIST', path);
  known?.truncate(0);
  (known ?? disk.files.create(path)).write(Buffer.from(text), 0);
}

export async function readdir(path: string): Promise<string[]> {
  const disk = diskOf(path);
  await disk.look();
  return disk.files.list(path);
}

export async function unlink(path: string): Promise<void> {
  const disk = diskOf(path);
  await disk.change();
  if (disk.files.get(path) === undefined) throw failure('ENOENT', path);
  disk.files.delete(path);
}

export async function rm(path: string): Promise<void> {
  const disk = diskOf(path);
  await disk.change();
  if (disk.files.get(path) !== undefined) disk.files.delete(path);
}

export async function rename(from: string, to: string): Promise<void> {
  const disk = diskOf(from);
  await disk.change();
  if (disk.files.get(from) === undefined) throw failure('ENOENT', from);
  disk.files.rename(from, to);
}

/** Directories are not what is simulated. */
export async function mkdir(): Promise<void> {}
export async function chmod(): Promise<void> {}

function fileHandle(disk: SimDisk, inode: Inode) {
  const sync = () => disk.sync(() => inode.sync());
  return {
    async read(target: Uint8Array, offset: number, length: number, position: number) {
      await disk.look();
      const part = inode.bytes.subarray(position, position + length);
      target.set(part, offset);
      return { bytesRead: part.length };
    },
    async write(data: Uint8Array, offset: number, length: number, position: number) {
      await disk.change();
      inode.write(data.subarray(offset, offset + length), position);
      return { bytesWritten: length };
    },
    async stat() {
      return { size: inode.bytes.length };
    },
    async truncate(length: number) {
      await disk.change();
      inode.truncate(length);
    },
    sync,
    datasync: sync,
    async close() {},
  };
}

function directoryHandle(disk: SimDisk, path: string) {
  return {
    sync: () => disk.sync(() => disk.files.syncNames(path)),
    async close() {},
  };
}

function diskOf(path: string): SimDisk {
  for (const [root, disk] of disks) if (path.startsWith(root)) return disk;
  throw failure('ENOENT', path);
}

/** An error as the kernel would give it. */
export function failure(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
