/** For how long nobody's write was acknowledged: over the whole run, and while something particular went on. Pure but for its input. */

export type Gap = { readonly fromMs: number; readonly toMs: number };

/** Shorter gaps are the pace of the clients. */
const GAP_MS_MIN = 100;

export class Availability {
  readonly #gaps: Gap[] = [];
  #lastMs: number;

  constructor(startMs: number) {
    this.#lastMs = startMs;
  }

  /** A write was acknowledged at this time. */
  acknowledged(atMs: number): void {
    if (atMs - this.#lastMs >= GAP_MS_MIN) this.#gaps.push({ fromMs: this.#lastMs, toMs: atMs });
    this.#lastMs = Math.max(this.#lastMs, atMs);
  }

  /** The longest time without an acknowledged write, in ms, of those that overlap with [fromMs, toMs]. */
  longest(fromMs: number, toMs: number): number {
    const open = { fromMs: this.#lastMs, toMs };
    const inside = [...this.#gaps, open].filter((gap) => gap.toMs > fromMs && gap.fromMs < toMs);
    return Math.max(0, ...inside.map((gap) => gap.toMs - gap.fromMs));
  }
}
