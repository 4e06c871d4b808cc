/**
 * The files of one disk, as a kernel keeps them: what is written is in memory until it is synced, and so is a name until its
 * directory is. When the power fails, any of the sectors written since may have reached the disk, and a part of the names.
 */

import type { Random } from '../../../src/lib/random.ts';

/** What a crash can tear apart. */
const SECTOR_BYTES = 512;

/** One file, whatever its name. */
export class Inode {
  /** As processes see it. */
  bytes = Buffer.alloc(0);
  /** As it is on disk. */
  #stable = Buffer.alloc(0);
  #dirty: { readonly at: number; readonly end: number }[] = [];

  get stable(): Buffer {
    return this.#stable;
  }

  get isDirty(): boolean {
    return this.#dirty.length > 0 || this.bytes.length !== this.#stable.length;
  }

  write(data: Uint8Array, at: number): void {
    const end = at + data.length;
    if (end > this.bytes.length) this.truncate(end);
    this.bytes.set(data, at);
    this.#dirty.push({ at, end });
  }

  truncate(length: number): void {
    const bytes = Buffer.alloc(length);
    bytes.set(this.bytes.subarray(0, length));
    this.bytes = bytes;
  }

  sync(): void {
    if (this.#stable.length === this.bytes.length) {
      for (const { at, end } of this.#dirty) this.#stable.set(this.bytes.subarray(at, end), at);
    } else {
      this.#stable = Buffer.from(this.bytes);
    }
    this.#dirty = [];
  }

  /** The power fails: of what was not synced each sector is there or not. True if it was torn. */
  crash(random: Random, odds: number): boolean {
    const torn = this.isDirty && random.chance(odds);
    if (torn) {
      const left = Buffer.alloc(this.bytes.length);
      left.set(this.#stable.subarray(0, left.length));
      for (const { at, end } of this.#dirty) {
        for (let from = at; from < end; ) {
          const to = Math.min(end, from - (from % SECTOR_BYTES) + SECTOR_BYTES);
          if (random.chance(0.5)) left.set(this.bytes.subarray(from, to), from);
          from = to;
        }
      }
      this.#stable = left;
    }
    this.#dirty = [];
    this.bytes = Buffer.from(this.#stable);
    return torn;
  }

  /** Something else is on the disk now than what was written there. */
  damage(at: number, data: Uint8Array): void {
    this.#stable.set(data.subarray(0, this.#stable.length - at), at);
    this.bytes = Buffer.from(this.#stable);
  }
}

type NameChange = { readonly path: string; readonly inode: Inode | undefined };

/** Names and what they stand for. */
export class Files {
  #names = new Map<string, Inode>();
  #stableNames = new Map<string, Inode>();
  #changes: NameChange[] = [];

  get(path: string): Inode | undefined {
    return this.#names.get(path);
  }

  /** Names of the files right below `directory`. */
  list(directory: string): string[] {
    const prefix = `${directory}/`;
    const inside = [...this.#names.keys()].filter((path) => path.startsWith(prefix));
    return inside.map((path) => path.slice(prefix.length)).filter((name) => !name.includes('/'));
  }

  create(path: string): Inode {
    const inode = new Inode();
    this.#change(path, inode);
    return inode;
  }

  delete(path: string): void {
    this.#change(path, undefined);
  }

  rename(from: string, to: string): void {
    const inode = this.#names.get(from);
    this.#change(to, inode);
    this.#change(from, undefined);
  }

  syncNames(directory: string): void {
    const inside = (path: string) => path.slice(0, path.lastIndexOf('/')) === directory;
    for (const { path, inode } of this.#changes) if (inside(path)) this.#settle(path, inode);
    this.#changes = this.#changes.filter(({ path }) => !inside(path));
  }

  /** The power fails. Tells if anything was not synced, and how many files were torn. */
  crash(random: Random, odds: number): { readonly unsynced: boolean; readonly torn: number } {
    let torn = 0;
    let unsynced = this.#changes.length > 0;
    const kept = random.chance(odds) ? random.int(0, this.#changes.length) : 0;
    for (const { path, inode } of this.#changes.splice(0).slice(0, kept)) this.#settle(path, inode);
    this.#names = new Map(this.#stableNames);
    for (const inode of new Set(this.#names.values())) {
      unsynced ||= inode.isDirty;
      if (inode.crash(random, odds)) torn++;
    }
    return { unsynced, torn };
  }

  /** Everything is gone. */
  wipe(): void {
    this.#names.clear();
    this.#stableNames.clear();
    this.#changes = [];
  }

  #change(path: string, inode: Inode | undefined): void {
    if (inode === undefined) this.#names.delete(path);
    else this.#names.set(path, inode);
    this.#changes.push({ path, inode });
  }

  #settle(path: string, inode: Inode | undefined): void {
    if (inode === undefined) this.#stableNames.delete(path);
    else this.#stableNames.set(path, inode);
  }
}
