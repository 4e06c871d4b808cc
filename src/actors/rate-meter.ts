/** Counts events per second over the last ten seconds, in ten buckets. */

const BUCKETS = 10;

export class RateMeter {
  readonly #counts = new Array<number>(BUCKETS).fill(0);
  #second = 0;

  count(nowMs: number): void {
    this.#moveTo(nowMs);
    const index = this.#second % BUCKETS;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  /** Events per second. */
  rate(nowMs: number): number {
    this.#moveTo(nowMs);
    return this.#counts.reduce((sum, count) => sum + count, 0) / BUCKETS;
  }

  #moveTo(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.#second) return;
    const passed = Math.min(second - this.#second, BUCKETS);
    for (let step = 1; step <= passed; step++) this.#counts[(second - passed + step) % BUCKETS] = 0;
    this.#second = second;
  }
}
