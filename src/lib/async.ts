/** Small helpers for waiting: every wait takes an AbortSignal. */

import type { Clock } from './clock.ts';
import { SkeinError } from './errors.ts';

/** The error for a wait whose signal fired. */
export function abortError(signal: AbortSignal): SkeinError {
  const reason: unknown = signal.reason;
  if (reason instanceof SkeinError) return reason;
  return new SkeinError('aborted', 'the operation was aborted', { cause: reason });
}

/** Resolves after `delayMs`; rejects with code aborted when the signal fires first. */
export function sleep(delayMs: number, clock: Clock, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const onAbort = () => {
      timer.cancel();
      if (signal) reject(abortError(signal));
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export type DeadlineOptions = {
  readonly deadlineMs: number;
  readonly clock: Clock;
  /** Named in the error: `pulling image x did not end within 30000 ms`. */
  readonly what: string;
  readonly signal?: AbortSignal;
};

/**
 * Runs `work` with a signal that fires at the deadline or when the caller's signal does. Rejects with
 * code deadline-exceeded or aborted even if `work` ignores its signal.
 */
export function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: DeadlineOptions,
): Promise<T> {
  const { deadlineMs, clock, what, signal } = options;
  if (signal?.aborted) return Promise.reject(abortError(signal));
  const controller = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const end = (error: SkeinError) => {
      controller.abort(error);
      reject(error);
    };
    const onAbort = () => signal && end(abortError(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = clock.after(deadlineMs, () =>
      end(
        new SkeinError('deadline-exceeded', `${what} did not end within ${deadlineMs} ms`, {
          retryable: true,
        }),
      ),
    );
    work(controller.signal)
      .then(resolve, reject)
      .finally(() => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      });
  });
}
