/**
 * Hands committed entries to the state machine, in order, in pages: after a few milliseconds the event loop gets
 * its turn, so that a long tail to apply never costs a heartbeat.
 */

import type { Entry, LogIndex, Term } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { invariant } from '../lib/invariant.ts';
import type { CommittedEntry, StateMachine } from './types.ts';

export type ApplierOptions = {
  /** Most entries in one call of the state machine. Default 256. */
  readonly pageEntriesMax?: number;
  /** Time after which the event loop gets a turn. Default 8 ms. */
  readonly sliceMs?: number;
};

export type ApplierEvents = {
  /** An entry is applied; `result` is undefined for what is not the state machine's. */
  onApplied(entry: Entry, result: unknown): void;
  /** A committed configuration change takes effect. */
  onConfig(entry: Entry): void;
  /** Everything up to `index` is applied. */
  onProgress(index: LogIndex, term: Term): void;
  onError(error: unknown): void;
};

/** Applies what it is given. */
export class Applier {
  readonly #machine: StateMachine;
  readonly #clock: Clock;
  readonly #events: ApplierEvents;
  readonly #pageEntriesMax: number;
  readonly #sliceMs: number;
  #queue: Entry[] = [];
  #applied: LogIndex;
  #running = false;
  #held = false;
  #onIdle: (() => void)[] = [];

  constructor(
    components: { readonly machine: StateMachine; readonly clock: Clock },
    applied: LogIndex,
    events: ApplierEvents,
    options: ApplierOptions = {},
  ) {
    this.#machine = components.machine;
    this.#clock = components.clock;
    this.#applied = applied;
    this.#events = events;
    this.#pageEntriesMax = options.pageEntriesMax ?? 256;
    this.#sliceMs = options.sliceMs ?? 8;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  /** Entries committed and not applied yet. */
  get backlog(): number {
    return this.#queue.length;
  }

  add(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.#queue.push(...entries);
    if (!this.#running) this.#run();
  }

  /** Waits until everything added is applied, then keeps later entries back until `resume`. */
  async hold(): Promise<void> {
    if (this.#running) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    this.#held = true;
  }

  /** The state machine's state is now that of `index`. */
  resume(index: LogIndex): void {
    this.#held = false;
    this.#applied = index;
    if (!this.#running) this.#run();
  }

  #run(): void {
    if (this.#held) return;
    this.#running = true;
    const startMs = this.#clock.monotonicMs();
    try {
      while (this.#queue.length > 0) {
        this.#applyPage();
        if (this.#clock.monotonicMs() - startMs < this.#sliceMs) continue;
        if (this.#queue.length === 0) break;
        this.#clock.soon(() => this.#run());
        return;
      }
    } catch (error) {
      this.#events.onError(error);
      return;
    }
    this.#running = false;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** A run of data entries goes to the state machine at once; anything else goes alone. */
  #applyPage(): void {
    const page: Entry[] = [];
    for (const entry of this.#queue) {
      if (page.length > 0 && (entry.kind !== 'data' || page[0]?.kind !== 'data')) break;
      page.push(entry);
      if (page.length >= this.#pageEntriesMax) break;
    }
    this.#queue.splice(0, page.length);
    const [first] = page;
    const last = page.at(-1);
    if (first === undefined || last === undefined) return;
    invariant(first.index === this.#applied + 1, 'entries are applied without gaps', {
      applied: this.#applied,
      index: first.index,
    });
    const results = first.kind === 'data' ? this.#machine.apply(page as CommittedEntry[]) : [];
    if (first.kind === 'config') this.#events.onConfig(first);
    this.#applied = last.index;
    for (const [at, entry] of page.entries()) this.#events.onApplied(entry, results[at]);
    this.#events.onProgress(last.index, last.term);
  }
}
