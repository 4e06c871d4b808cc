/** Virtual time: what is due, in order; ties go to what was scheduled first, so that a run can be repeated. */

type Due = { readonly atMs: number; readonly order: number; readonly run: () => void };

/** A binary heap of things to do, and the clock they move. */
export class EventQueue {
  #heap: Due[] = [];
  #order = 0;
  #nowMs = 0;

  /** Virtual milliseconds since the run began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Does `run` in `delayMs` milliseconds. */
  after(delayMs: number, run: () => void): void {
    const due = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || before(above, due)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = due;
  }

  /** Does the next thing, unless it is due after `limitMs`. False if nothing was done. */
  runNext(limitMs: number): boolean {
    const first = this.#heap[0];
    if (first === undefined || first.atMs > limitMs) {
      this.#nowMs = Math.max(this.#nowMs, limitMs);
      return false;
    }
    const last = this.#heap.pop();
    if (last !== undefined && last !== first) this.#sink(last);
    this.#nowMs = first.atMs;
    first.run();
    return true;
  }

  #sink(due: Due): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, least)) {
        child++;
        least = right;
      }
      if (before(due, least)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = due;
  }
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
