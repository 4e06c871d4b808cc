/**
 * A lock that two processes on one machine cannot hold at once: flock(2) on a file. The kernel releases it when
 * its holder dies, however it dies, so there is never a stale one to judge. The file stays and names the last holder, for
 * messages only. Node has no flock of its own; it is called through koffi.
 */

import { type FileHandle, open } from 'node:fs/promises';
import koffi from 'koffi';

export interface FileLock {
  /** Lets others have it. Safe to call twice. */
  release(): Promise<void>;
}

export type LockOutcome =
  | { readonly kind: 'locked'; readonly lock: FileLock }
  /** Somebody else holds it; `holder` is the process id they wrote, as their own namespace counts it. */
  | { readonly kind: 'held'; readonly holder: number | undefined };

const LOCK_SHARED = 1;
const LOCK_EXCLUSIVE = 2;
const LOCK_NONBLOCKING = 4;
const HOLDER_CHARACTERS_MAX = 20;

type Flock = (fd: number, operation: number) => number;
let flock: Flock | undefined;

/** Tries to lock the file at `path`, made (0600) if it is missing; never waits. Rejects with the system's error. */
export async function lockFile(path: string): Promise<LockOutcome> {
  const file = await open(path, 'a+', 0o600);
  return take(file, LOCK_EXCLUSIVE, async () => {
    await file.truncate(0);
    await file.write(`${process.pid}\n`);
  });
}

/**
 * Tries to keep others from locking the file at `path`, for who only reads what it guards: writes nothing, and several may
 * do it at once. A file that is missing is locked by nobody, and guards nothing.
 */
export async function shareLock(path: string): Promise<LockOutcome> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  return file ? take(file, LOCK_SHARED) : locked(undefined);
}

async function take(
  file: FileHandle,
  how: number,
  taken: () => Promise<void> = async () => {},
): Promise<LockOutcome> {
  flock ??= koffi.load('libc.so.6').func('int flock(int fd, int operation)') as Flock;
  try {
    if (flock(file.fd, how | LOCK_NONBLOCKING) !== 0) {
      const holder = await readHolder(file);
      await file.close();
      return { kind: 'held', holder };
    }
    await taken();
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
  return locked(file);
}

function locked(file: FileHandle | undefined): LockOutcome {
  let held = file;
  const release = async () => {
    const open = held;
    held = undefined;
    await open?.close();
  };
  return { kind: 'locked', lock: { release } };
}

async function readHolder(file: FileHandle): Promise<number | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HOLDER_CHARACTERS_MAX), {
    position: 0,
  });
  const pid = Number(buffer.toString('latin1', 0, bytesRead).trim());
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}
