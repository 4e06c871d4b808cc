/**
 * What a voter does when the connection to the leader breaks: the leader's process is gone, or the link is. A pre-vote
 * tells the two apart, as voters that still hear the leader refuse it; so asking long before the election timeout
 * disturbs nobody, and a dead leader is replaced in a fraction of it.
 */

import type { Clock, Timer } from '../lib/clock.ts';
import type { Random } from '../lib/random.ts';

export type SuccessionComponents = {
  readonly clock: Clock;
  readonly random: Random;
  /** True if this node may vote and nobody is known to lead. */
  readonly vacant: () => boolean;
  readonly campaign: () => void;
  /** What every election waits for beside: a promise to the leader has to be over. Default 0. */
  readonly promisedMs?: number;
};

/** How long to wait before an election, at random between the two: several voters lose the same leader. */
const WAIT_MIN_MS = 5;
const WAIT_MAX_MS = 125;
/** Elections to try in quick succession before the ordinary timeout takes over. */
const ATTEMPTS_MAX = 4;

/** The early elections of one node. */
export class Succession {
  readonly #components: SuccessionComponents;
  #timer: Timer | undefined;

  constructor(components: SuccessionComponents) {
    this.#components = components;
  }

  /** The leader was lost and has been forgotten. */
  begin(): void {
    this.stop();
    this.#attempt(ATTEMPTS_MAX);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #attempt(left: number): void {
    const { clock, random, vacant, campaign, promisedMs = 0 } = this.#components;
    if (left === 0) return;
    const spreadMs = WAIT_MIN_MS + random.float() * (WAIT_MAX_MS - WAIT_MIN_MS);
    const waitMs = left === ATTEMPTS_MAX ? promisedMs + spreadMs : spreadMs;
    this.#timer = clock.after(waitMs, () => {
      if (!vacant()) return;
      campaign();
      this.#attempt(left - 1);
    });
  }
}
