/** One run of a test file at a time: a second one would take the first one's lab away. */

import { tmpdir } from 'node:os';
import { type FileLock, lockFile } from '../../../src/lib/file-lock.ts';

const WAIT_MS = 15 * 60_000;
const POLL_MS = 500;

/** Held until the process ends: a lock that nobody knows of any more would be let go. */
const held: FileLock[] = [];

/** Waits until no other process uses labs of this name in tests; this one does until it ends. */
export async function claimLab(name: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const outcome = await lockFile(`${tmpdir()}/skein-test-${name}.lock`);
    if (outcome.kind === 'locked') {
      held.push(outcome.lock);
      return;
    }
    if (performance.now() > deadline) {
      throw new Error(`process ${outcome.holder} uses lab ${name} for a test all the time`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
