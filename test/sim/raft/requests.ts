/** What clients ask of one incarnation: writes waiting for their entry, reads waiting for a position. */

import type { Entry, ReadState, Term } from '../../../raft/types.ts';
import type { Checkers } from './checkers/checkers.ts';
import type { Outcome, Value } from './kv-machine.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

export type Reply =
  | { readonly kind: 'written'; readonly index: number; readonly outcome: Outcome | undefined }
  | {
      readonly kind: 'read';
      readonly value: Value;
      /** The position that was confirmed, and the one the value is of. */
      readonly confirmed: number;
      readonly applied: number;
    }
  | { readonly kind: 'refused'; readonly leader: string | undefined }
  | { readonly kind: 'unknown' };

type Answer = (reply: Reply) => void;
type Waiting = { readonly data: Uint8Array; readonly answer: Answer };
type Placed = { readonly term: Term; readonly answer: Answer };
type Read = { readonly key: string; readonly answer: Answer; confirmed: number | undefined };

export class Requests {
  readonly #process: Process;
  readonly #world: World;
  #waiting: Waiting[] = [];
  readonly #placed = new Map<number, Placed>();
  readonly #reads = new Map<number, Read>();
  #lastRequestId: number;

  constructor(
    process: Process,
    { world }: { readonly world: World; readonly checkers: Checkers },
    lastRequestId: number,
  ) {
    this.#process = process;
    this.#world = world;
    this.#lastRequestId = lastRequestId;
  }

  write(data: Uint8Array, answer: Answer): void {
    this.#waiting.push({ data, answer });
  }

  read(key: string, answer: Answer): void {
    const requestId = ++this.#lastRequestId;
    if (this.#world.faults.has('read-locally')) {
      const { applied, machine } = this.#process;
      answer({ kind: 'read', value: machine.read(key), confirmed: applied, applied });
    } else if (this.#process.raft.readIndex(requestId)) {
      this.#reads.set(requestId, { key, answer, confirmed: undefined });
    } else {
      answer({ kind: 'refused', leader: undefined });
    }
  }

  /** Everything that came in one go is proposed in one go. */
  flush(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const outcome = this.#process.raft.propose(waiting.map(({ data }) => data));
    if (outcome.kind !== 'accepted') {
      this.#world.count(`proposal ${outcome.kind}`);
      const leader = outcome.kind === 'not-leader' ? outcome.leader : this.#process.id;
      for (const { answer } of waiting) answer({ kind: 'refused', leader });
      return;
    }
    if (waiting.length > 1) this.#world.count('proposals in one go');
    for (const [at, { answer }] of waiting.entries()) {
      const index = outcome.index - waiting.length + 1 + at;
      if (this.#world.faults.has('ack-before-commit')) {
        answer({ kind: 'written', index, outcome: undefined });
      }
      this.#placed.set(index, { term: outcome.term, answer });
    }
  }

  applied(entry: Entry, outcome: Outcome | undefined): void {
    const placed = this.#placed.get(entry.index);
    if (placed === undefined) return;
    this.#placed.delete(entry.index);
    if (placed.term === entry.term) placed.answer({ kind: 'written', index: entry.index, outcome });
    else placed.answer({ kind: 'refused', leader: undefined });
  }

  /** What is in the log may be committed by the next leader yet, or not. */
  leadershipLost(): void {
    for (const { answer } of this.#placed.values()) answer({ kind: 'unknown' });
    this.#placed.clear();
  }

  confirmed({ requestId, index }: ReadState): void {
    const read = this.#reads.get(requestId);
    if (read === undefined) return;
    read.confirmed = index;
    this.progressed();
  }

  /** The applied position moved. */
  progressed(): void {
    const { applied, machine } = this.#process;
    const hasty = this.#world.faults.has('read-before-applied');
    for (const [requestId, { key, answer, confirmed }] of this.#reads) {
      if (confirmed === undefined || (confirmed > applied && !hasty)) continue;
      this.#reads.delete(requestId);
      answer({ kind: 'read', value: machine.read(key), confirmed, applied });
    }
  }
}
