/** What everything in one run shares: virtual time, the trace, the tally of what occurred. */

import type { RaftNode } from '../../../raft/raw-node.ts';
import type { ConfChange, InitialState, RaftOptions } from '../../../raft/types.ts';
import { EventQueue } from './event-queue.ts';
import type { Moment } from './moments.ts';

/** The core under test: raft/raw-node.ts, or a copy with a fault in it. */
export type CoreModule = {
  createRaftNode(options: RaftOptions, initial: InitialState): RaftNode;
  encodeConfChange(change: ConfChange): Uint8Array;
  decodeConfChange(data: Uint8Array): ConfChange;
};

/** Faults a driver could have, for the proof that the checkers see them. */
export type DriverFault =
  | 'send-before-sync'
  | 'persisted-before-sync'
  | 'forget-hard-state'
  | 'sessions-not-in-snapshot'
  | 'apply-retries'
  | 'read-before-applied'
  | 'read-locally'
  | 'request-ids-reused'
  | 'ack-before-commit'
  | 'compact-before-snapshot'
  | 'old-log-not-voided'
  | 'known-snapshot-refused'
  | 'older-snapshot-stepped';

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

/** See the module comment. */
export class World {
  readonly queue = new EventQueue();
  readonly core: CoreModule;
  readonly faults: ReadonlySet<DriverFault>;
  readonly #sink: TraceSink | undefined;
  readonly #counts = new Map<string, number>();
  /** The liveness phase: machines and links are healthy and quick. */
  calm = false;
  /** Told when `member` is at a moment; the nemesis listens. */
  onMoment: (member: string, moment: Moment) => void = () => {};

  constructor(core: CoreModule, faults: ReadonlySet<DriverFault>, sink: TraceSink | undefined) {
    this.core = core;
    this.faults = faults;
    this.#sink = sink;
  }

  get nowMs(): number {
    return this.queue.nowMs;
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
