/**
 * Time as an input. Everything that waits or stamps takes a Clock, so that tests and the simulator
 * run on virtual time. Durations use the monotonic reading only: wall time may jump.
 */

export type Timer = { cancel(): void };

export interface Clock {
  /** Wall time, milliseconds since the epoch. For timestamps shown to people only. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start, never going back. For every duration and deadline. */
  monotonicMs(): number;
  /** Calls `action` once after `delayMs` (>= 0) unless cancelled. */
  after(delayMs: number, action: () => void): Timer;
  /** Calls `action` in a later turn of the event loop, behind what has arrived already. */
  soon(action: () => void): void;
}

/** The machine's clock. Timers do not keep the process alive. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    const handle = setTimeout(action, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  soon: (action) => void setImmediate(action),
};

type Pending = { readonly dueMs: number; readonly order: number; readonly action: () => void };

/** Virtual time that moves only when told to; timers fire in order of due time, then of creation. */
export class VirtualClock implements Clock {
  #elapsedMs = 0;
  #created = 0;
  readonly #startMs: number;
  readonly #pending = new Set<Pending>();

  /** @param startMs wall time at the start. Default 2020-01-01T00:00:00Z. */
  constructor(startMs = 1_577_836_800_000) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, action: () => void): Timer {
    const entry = { dueMs: this.#elapsedMs + Math.max(0, delayMs), order: this.#created++, action };
    this.#pending.add(entry);
    return { cancel: () => void this.#pending.delete(entry) };
  }

  /** Turns are the real loop's: they take no virtual time. */
  soon(action: () => void): void {
    setImmediate(action);
  }

  /** Moves time forward by `deltaMs`, firing every timer that falls due on the way. */
  advance(deltaMs: number): void {
    const endMs = this.#elapsedMs + deltaMs;
    for (let next = this.#nextDue(endMs); next; next = this.#nextDue(endMs)) {
      this.#pending.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.action();
    }
    this.#elapsedMs = endMs;
  }

  /** Milliseconds until the next timer, or undefined when none waits. */
  msToNext(): number | undefined {
    const next = this.#nextDue(Number.POSITIVE_INFINITY);
    return next === undefined ? undefined : Math.max(0, next.dueMs - this.#elapsedMs);
  }

  #nextDue(endMs: number): Pending | undefined {
    let best: Pending | undefined;
    for (const entry of this.#pending) {
      if (entry.dueMs > endMs) continue;
      const earlier =
        best === undefined ||
        entry.dueMs < best.dueMs ||
        (entry.dueMs === best.dueMs && entry.order < best.order);
      if (earlier) best = entry;
    }
    return best;
  }
}
