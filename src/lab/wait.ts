/** Waiting for something to become true of a lab, by looking again and again. */

import { messageOf, SkeinError } from '../lib/errors.ts';
import { pause } from './processes.ts';

const DEADLINE_MS = 60_000;
const POLL_MS = 50;

export type WaitOptions = {
  /** Default 60 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
};

/**
 * Polls until `probe` answers something, and resolves with it. Rejects with deadline-exceeded that names `what` and the
 * probe's last error, or with aborted.
 */
export async function waitUntil<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  { deadlineMs = DEADLINE_MS, signal }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  let failure = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      failure = `: ${messageOf(error)}`;
    }
    if (signal?.aborted) throw new SkeinError('aborted', `no longer waiting for ${what}`);
    if (performance.now() > deadline) {
      const text = `waited ${deadlineMs / 1000} s in vain for ${what}${failure}`;
      throw new SkeinError('deadline-exceeded', text);
    }
    await pause(POLL_MS);
  }
}
