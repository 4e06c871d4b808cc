/** Those who wait for the local replica to reach a revision. */

import { invariant } from '../lib/invariant.ts';
import type { Revision } from './types.ts';

type Waiter = { readonly revision: Revision; readonly resolve: () => void };

/** Most waits at once; far beyond what the requests of one node can be. */
const WAITERS_MAX = 1_000_000;

/** Waiters in order of revision, so that an apply looks only at those it satisfies. */
export class RevisionWaiters {
  #waiters: Waiter[] = [];

  /** Calls `resolve` once `revision` is reached; the returned function withdraws. */
  add(revision: Revision, resolve: () => void): () => void {
    invariant(this.#waiters.length < WAITERS_MAX, 'the waits for a revision are bounded');
    const waiter = { revision, resolve };
    const behind = this.#waiters.findLastIndex((other) => other.revision <= revision);
    this.#waiters.splice(behind + 1, 0, waiter);
    return () => {
      const at = this.#waiters.indexOf(waiter);
      if (at >= 0) this.#waiters.splice(at, 1);
    };
  }

  /** `revision` is applied. */
  reached(revision: Revision): void {
    const rest = this.#waiters.findIndex((waiter) => waiter.revision > revision);
    const done = this.#waiters.splice(0, rest < 0 ? this.#waiters.length : rest);
    for (const waiter of done) waiter.resolve();
  }
}
