/** One leader per term, one vote per member and term, and every leader has what was committed before. */

import type { Message, NodeId } from '../../../raft/types.ts';
import type { LogView } from '../world/log-view.ts';
import type { Fail } from './failing.ts';
import type { History } from './history.ts';
import type { Observed } from './observed.ts';

/** A leader with its log as it was when it was elected. */
type Elected = { readonly id: NodeId; readonly term: number; readonly log: LogView };

export class ElectionCheckers {
  readonly #fail: Fail;
  readonly #history: History;
  readonly #leaders = new Map<number, Elected>();
  readonly #votes = new Map<string, NodeId>();
  #newestTerm = 0;

  constructor(fail: Fail, history: History) {
    this.#fail = fail;
    this.#history = history;
  }

  get elections(): number {
    return this.#leaders.size;
  }

  /** `process` acts as the leader of `term`. */
  leads(process: Observed, term: number): void {
    const known = this.#leaders.get(term);
    if (known !== undefined) {
      if (known.id === process.id) return;
      const facts = { term, first: known.id, second: process.id };
      this.#fail('one leader per term', 'a term has one leader', facts);
      return;
    }
    const elected = { id: process.id, term, log: process.log.copy() };
    this.#leaders.set(term, elected);
    this.#newestTerm = Math.max(this.#newestTerm, term);
    for (let index = elected.log.baseIndex; index <= this.#history.lastIndex; index++) {
      // A leader that hears of its election late lacks what its successors committed.
      if ((this.#history.commitTermAt(index) ?? term) < term) this.#checkComplete(elected, index);
    }
  }

  /** An entry is found to be committed while its leader's term is `term`. */
  committed(index: number, term: number): void {
    if (term >= this.#newestTerm) return;
    for (const elected of this.#leaders.values()) {
      if (elected.term > term) this.#checkComplete(elected, index);
    }
  }

  sends(process: Observed, message: Message): void {
    switch (message.type) {
      case 'append':
      case 'heartbeat':
      case 'snapshot':
      case 'timeout-now':
        this.leads(process, message.term);
        return;
      case 'vote':
        this.#noteVote(message.term, process.id, process.id);
        return;
      case 'vote-response':
        if (!message.reject) this.#noteVote(message.term, process.id, message.to);
        return;
      default:
    }
  }

  #noteVote(term: number, voter: NodeId, candidate: NodeId): void {
    const name = `${term}:${voter}`;
    const before = this.#votes.get(name);
    if (before === undefined) this.#votes.set(name, candidate);
    else if (before !== candidate) {
      const facts = { term, voter, first: before, second: candidate };
      this.#fail('one vote per term', 'a member votes once in a term', facts);
    }
  }

  #checkComplete({ id, term, log }: Elected, index: number): void {
    const committed = this.#history.entryAt(index);
    if (committed === undefined || index < log.baseIndex) return;
    const found = log.termAt(index);
    if (found === committed.term) return;
    const facts = { leader: id, term, index, committed: committed.term, found };
    this.#fail('leader completeness', 'a leader has every committed entry', facts);
  }
}
