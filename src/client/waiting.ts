/** Waiting for a shared promise with a signal of one's own. */

import { abortError } from '../lib/async.ts';

/**
 * Settles as `shared` does, or rejects when `signal` fires first; `shared` itself is not disturbed.
 */
export function abortableWait<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return shared;
  if (signal.aborted) return Promise.reject(abortError(signal));
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    shared.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
