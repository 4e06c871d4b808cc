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

const LOCK_EXCLUSIVE = 2;
const LOCK_NONBLOCKING = 4;
const HOLDER_CHARACTERS_MAX = 20;

type Flock = (fd: number, operation: number) => number;
let flock: Flock | undefined;

/** Tries to lock the file at `path`, made (0600) if it is missing; never waits. Rejects with the system's error. */
export async function lockFile(path: string): Promise<LockOutcome> {
  flock ??= koffi.load('libc.so.6').func('int flock(int fd, int operation)') as Flock;
  const file = await open(path, 'a+', 0o600);
  try {
    if (flock(file.fd, LOCK_EXCLUSIVE | LOCK_NONBLOCKING) !== 0) {
      const holder = await readHolder(file);
      await file.close();
      return { kind: 'held', holder };
    }
    await file.truncate(0);
    await file.write(`${process.pid}\n`);
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
  let held: FileHandle | undefined = file;
  return {
    kind: 'locked',
    lock: {
      async release() {
        const open = held;
        held = undefined;
        await open?.close();
      },
    },
  };
}

async function readHolder(file: FileHandle): Promise<number | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HOLDER_CHARACTERS_MAX), {
    position: 0,
  });
  const pid = Number(buffer.toString('latin1', 0, bytesRead).trim());
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}
