/** Waiting for a slow client, but not for ever. */

import type { EventEmitter } from 'node:events';
import { abortError } from '../../lib/async.ts';
import type { Clock } from '../../lib/clock.ts';
import { SkeinError } from '../../lib/errors.ts';

/** A client that takes nothing for this long is cut. */
export const DRAIN_DEADLINE_MS = 30_000;

export type DrainOptions = {
  /** Default 30 s. */
  readonly deadlineMs?: number;
  /** Ends the wait early, with its reason. */
  readonly signal?: AbortSignal;
};

/**
 * Resolves when `stream` can take more; rejects with deadline-exceeded when it does not drain in time, stream-closed
 * when it closes.
 */
export function drained(
  stream: EventEmitter,
  clock: Clock,
  options: DrainOptions = {},
): Promise<void> {
  const { deadlineMs = DRAIN_DEADLINE_MS, signal } = options;
  return new Promise((resolve, reject) => {
    const settle = (error?: SkeinError) => {
      timer.cancel();
      stream.off('drain', onDrain);
      stream.off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onDrain = () => settle();
    const onClose = () =>
      settle(new SkeinError('stream-closed', 'the client closed the connection'));
    const onAbort = () => signal && settle(abortError(signal));
    const timer = clock.after(deadlineMs, () =>
      settle(new SkeinError('deadline-exceeded', `the client took nothing for ${deadlineMs} ms`)),
    );
    stream.once('drain', onDrain);
    stream.once('close', onClose);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}
