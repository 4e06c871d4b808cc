/**
 * Proposals of this node while it leads: gathered for one turn of the event loop, appended to the log together,
 * and remembered by their place in it until that place is applied.
 */

import type { Entry, LogIndex, ProposeOutcome, Term } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { ProposeResult } from './types.ts';

export type ProposalsOptions = {
  /** Longest proposal; must fit a frame of the mesh. Default 2 MiB. */
  readonly proposalBytesMax?: number;
  /** Most proposals waiting for their turn or their commit. Default 65 536. */
  readonly pendingMax?: number;
};

/** The answer to one local proposal. `refused` means that it may go to another leader. */
export type LocalOutcome = ProposeResult | { readonly kind: 'refused'; readonly reason: string };

type Waiting = {
  readonly data: Uint8Array;
  readonly endMs: number;
  readonly resolve: (outcome: LocalOutcome) => void;
};
type Placed = {
  readonly term: Term;
  readonly endMs: number;
  readonly resolve: (outcome: LocalOutcome) => void;
};

/** Entries of one append to the log, to bound the work of a turn. */
const APPEND_ITEMS_MAX = 1024;

/** The proposals of one node. */
export class Proposals {
  readonly #append: (data: readonly Uint8Array[]) => ProposeOutcome;
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #pendingMax: number;
  #waiting: Waiting[] = [];
  readonly #placed = new Map<LogIndex, Placed>();
  #scheduled = false;

  /** @param append puts entries into the log and sees to it that they get on their way. */
  constructor(
    append: (data: readonly Uint8Array[]) => ProposeOutcome,
    clock: Clock,
    options: ProposalsOptions = {},
  ) {
    this.#append = append;
    this.#clock = clock;
    this.#bytesMax = options.proposalBytesMax ?? 2 * 1024 * 1024;
    this.#pendingMax = options.pendingMax ?? 65_536;
  }

  get pending(): number {
    return this.#waiting.length + this.#placed.size;
  }

  /** Throws frame-too-large for what no leader would take. */
  requireFit(data: Uint8Array): void {
    if (data.length <= this.#bytesMax) return;
    const text = `a proposal of ${data.length} bytes exceeds the limit of ${this.#bytesMax}`;
    throw new SkeinError('frame-too-large', text);
  }

  /** Resolves when applied, refused, or lost; unknown at the deadline. Rejects with frame-too-large. */
  async propose(data: Uint8Array, deadlineMs: number): Promise<LocalOutcome> {
    this.requireFit(data);
    if (this.pending >= this.#pendingMax) {
      const reason = `${this.#pendingMax} proposals are waiting`;
      return { kind: 'refused', reason };
    }
    const endMs = this.#clock.monotonicMs() + deadlineMs;
    return new Promise((resolve) => {
      this.#waiting.push({ data, endMs, resolve });
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.#clock.soon(() => this.#flush());
    });
  }

  /** An entry of the log is applied: if it is the one placed there, its proposer hears the result. */
  applied(entry: Entry, result: unknown): void {
    const placed = this.#placed.get(entry.index);
    if (placed === undefined) return;
    this.#placed.delete(entry.index);
    if (placed.term === entry.term) {
      placed.resolve({ kind: 'applied', index: entry.index, result });
    } else {
      // Another leader's entry is committed in its place, so this one never can be.
      placed.resolve({ kind: 'refused', reason: 'overwritten by a later leader' });
    }
  }

  /** Leadership is gone: what is in the log may yet be committed by the next leader, or not. */
  leadershipLost(): void {
    for (const placed of this.#placed.values()) {
      placed.resolve({ kind: 'unknown', reason: 'leadership was lost' });
    }
    this.#placed.clear();
  }

  /** Gives up on what is past its deadline. Called with every tick. */
  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [index, placed] of this.#placed) {
      if (placed.endMs > nowMs) continue;
      this.#placed.delete(index);
      placed.resolve({ kind: 'unknown', reason: 'not committed before the deadline' });
    }
  }

  stop(): void {
    for (const waiting of this.#waiting.splice(0)) {
      waiting.resolve({ kind: 'dropped', reason: 'the node is stopping' });
    }
    for (const placed of this.#placed.values()) {
      placed.resolve({ kind: 'unknown', reason: 'the node is stopping' });
    }
    this.#placed.clear();
  }

  #flush(): void {
    this.#scheduled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < waiting.length; from += APPEND_ITEMS_MAX) {
      this.#place(waiting.slice(from, from + APPEND_ITEMS_MAX));
    }
  }

  #place(group: readonly Waiting[]): void {
    const outcome = this.#append(group.map((waiting) => waiting.data));
    if (outcome.kind !== 'accepted') {
      const reason = outcome.kind === 'dropped' ? outcome.reason : 'this node does not lead';
      for (const waiting of group) waiting.resolve({ kind: 'refused', reason });
      return;
    }
    const first = firstIndexOf(outcome, group.length);
    for (const [at, { endMs, resolve }] of group.entries()) {
      this.#placed.set((first + at) as LogIndex, { term: outcome.term, endMs, resolve });
    }
  }
}

/** The outcome names the last of the appended entries. */
function firstIndexOf(outcome: { readonly index: LogIndex }, items: number): number {
  return outcome.index - items + 1;
}
