/** How an actor's failures are answered: restart after a growing wait, or escalate. Pure. */

import { backoffMs } from '../lib/backoff.ts';
import type { Random } from '../lib/random.ts';
import type { SupervisionOptions } from './types.ts';

export type Verdict =
  | { readonly kind: 'restart'; readonly delayMs: number }
  /** The budget is spent; `delayMs` is for whoever has nobody to escalate to. */
  | { readonly kind: 'escalate'; readonly delayMs: number };

export class RestartBudget {
  readonly #restartsMax: number;
  readonly #windowMs: number;
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #random: Random;
  /** When recent failures happened; older than the window are forgotten. */
  #failuresMs: number[] = [];

  constructor(options: SupervisionOptions, random: Random) {
    this.#restartsMax = options.restartsMax ?? 10;
    this.#windowMs = options.windowMs ?? 60_000;
    this.#initialMs = options.backoffInitialMs ?? 100;
    this.#maxMs = options.backoffMaxMs ?? 10_000;
    this.#random = random;
  }

  /** Judges a failure at `nowMs` (monotonic). */
  failed(nowMs: number): Verdict {
    this.#failuresMs = this.#failuresMs.filter((atMs) => nowMs - atMs < this.#windowMs);
    const attempt = this.#failuresMs.length;
    if (attempt >= this.#restartsMax) return { kind: 'escalate', delayMs: this.#maxMs };
    this.#failuresMs.push(nowMs);
    const { initialMs, maxMs } = { initialMs: this.#initialMs, maxMs: this.#maxMs };
    return { kind: 'restart', delayMs: backoffMs(attempt, this.#random, { initialMs, maxMs }) };
  }
}
