/** What everything in one run shares: virtual time, the trace, the tally of what occurred, the first law broken. */

import { EventQueue } from './event-queue.ts';
import type { Moment } from './moments.ts';
import type { Product } from './product.ts';

/** A law that did not hold. `facts` are plain values that show how. */
export class CheckFailure extends Error {
  override readonly name = 'CheckFailure';
  readonly checker: string;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(checker: string, law: string, facts: Readonly<Record<string, unknown>>) {
    super(law);
    this.checker = checker;
    this.facts = facts;
  }
}

export type TraceSink = (line: string) => void;

/** Whoever ran in the present event; told when it is over, microtasks and all. */
export type TurnTaker = { endTurn(): void };

/** See the module comment. */
export class World {
  readonly queue = new EventQueue();
  readonly product: Product;
  readonly #sink: TraceSink | undefined;
  readonly #counts = new Map<string, number>();
  #failure: unknown;
  /** Who took a turn in the present event. */
  readonly touched = new Set<TurnTaker>();
  /** The liveness phase: machines and links are healthy and quick. */
  calm = false;
  /** Told when `member` is at a moment; the nemesis listens. */
  onMoment: (member: string, moment: Moment) => void = () => {};

  constructor(product: Product, sink: TraceSink | undefined) {
    this.product = product;
    this.#sink = sink;
  }

  get nowMs(): number {
    return this.queue.nowMs;
  }

  /** The first thing that went against a law, whatever caught it on its way. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Ends the run after the present event. The product may catch what is thrown; it cannot catch this. */
  fail(failure: unknown): void {
    this.#failure ??= failure;
  }

  /** True if somebody reads the trace; asked before a costly line is put together. */
  get tracing(): boolean {
    return this.#sink !== undefined;
  }

  /** One line: time, member, event, details. See ../README.md for the columns. */
  trace(who: string, event: string, details: string): void {
    if (this.#sink === undefined) return;
    const time = this.nowMs.toFixed(3).padStart(12);
    this.#sink(`${time}  ${who.padEnd(4)} ${event.padEnd(16)} ${details}`.trimEnd());
  }

  after(delayMs: number, run: () => void): void {
    this.queue.after(delayMs, run);
  }

  moment(member: string, moment: Moment): void {
    if (!this.calm) this.onMoment(member, moment);
  }

  /** Notes that something occurred; the tally proves that a run was not idle. */
  count(what: string, times = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}
