/**
 * Notices a member that heartbeats well and gets nothing done: its disk does not answer, or its state machine does
 * not take what is committed. As a leader it has to hand over, and it must not be elected meanwhile.
 */

import type { LogIndex } from '../../raft/types.ts';

export type StallOptions = {
  /** Age of a write that is a stall. */
  readonly diskMs: number;
  /** Time without an applied entry, while there are committed ones, that is a stall. */
  readonly applyMs: number;
};

/** What is looked at. */
export type Vitals = {
  readonly nowMs: number;
  /** How long the oldest write has been waiting for the disk. */
  readonly writeAgeMs: number;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
};

export type Stall = { readonly of: 'disk' | 'apply'; readonly ageMs: number };

/** Watches one member. */
export class StallWatch {
  readonly #options: StallOptions;
  /** The applied position, and since when it has stood there with work to do. */
  #standing: { readonly applied: LogIndex; readonly sinceMs: number } | undefined;

  constructor(options: StallOptions) {
    this.#options = options;
  }

  /** To be asked with every tick; undefined: all is well. */
  observe({ nowMs, writeAgeMs, commit, applied }: Vitals): Stall | undefined {
    if (applied >= commit) this.#standing = undefined;
    else if (this.#standing?.applied !== applied) this.#standing = { applied, sinceMs: nowMs };
    const { diskMs, applyMs } = this.#options;
    // What a slow disk does not have is not applied either: the cause is named, not its consequence.
    if (writeAgeMs >= diskMs) return { of: 'disk', ageMs: writeAgeMs };
    const standingMs = this.#standing === undefined ? 0 : nowMs - this.#standing.sinceMs;
    return standingMs >= applyMs ? { of: 'apply', ageMs: standingMs } : undefined;
  }
}
