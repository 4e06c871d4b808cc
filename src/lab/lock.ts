/** One command at a time changes a lab; others wait. Different labs do not hold each other up. */

import { mkdir } from 'node:fs/promises';
import { SkeinError } from '../lib/errors.ts';
import { type FileLock, lockFile } from '../lib/file-lock.ts';
import { pause } from './processes.ts';

export type LockOptions = {
  /** How long to wait for another command. Default 120 s: as long as bringing a big lab up may take. */
  readonly waitMs?: number;
};

const POLL_MS = 50;

/** Runs `work` while nobody else holds `<directory>/<name>.lock`. Rejects with deadline-exceeded, naming who holds it. */
export async function withLock<T>(
  at: { readonly directory: string; readonly name: string },
  work: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const lock = await waitForLock(at, options.waitMs ?? 120_000);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

async function waitForLock(
  { directory, name }: { readonly directory: string; readonly name: string },
  waitMs: number,
): Promise<FileLock> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = `${directory}/${name}.lock`;
  const deadline = performance.now() + waitMs;
  for (;;) {
    const outcome = await lockFile(path);
    if (outcome.kind === 'locked') return outcome.lock;
    if (performance.now() > deadline) {
      throw new SkeinError(
        'deadline-exceeded',
        `another lab command (pid ${outcome.holder ?? 'unknown'}) holds ${path}; try again when it has ended`,
      );
    }
    await pause(POLL_MS);
  }
}
