/**
 * Logs and what of them is committed: log matching, one committed history, commits that a quorum can
 * vouch for, and nothing promised that the disk does not hold.
 */

import type {
  ConfState,
  Entry,
  HardState,
  Message,
  NodeId,
  RaftStatus,
} from '../../../raft/types.ts';
import type { ElectionCheckers } from './elections.ts';
import type { Fail } from './failing.ts';
import type { History } from './history.ts';
import type { Observed } from './observed.ts';
import { isQuorum, votersOf } from './quorums.ts';
import type { Outcome } from './store-model.ts';

type Written = {
  readonly data: Uint8Array;
  readonly kind: string;
  readonly previousTerm: number | undefined;
};

/** What is known of the running incarnation of one member. */
type Seen = { commit: number; term: number; configs: ConfState[] };

/** More than any run writes. */
const INDEX_MAX = 10_000_000;

export type LogCheckersComponents = {
  readonly fail: Fail;
  readonly history: History;
  readonly elections: ElectionCheckers;
  /** A command is found to be committed at `index`. */
  readonly committed: (index: number, outcome: Outcome) => void;
  /** True if the disk of `node` holds the entry at `index` of `term`. */
  readonly holds: (node: NodeId, index: number, term: number) => boolean;
};

export class LogCheckers {
  readonly #components: LogCheckersComponents;
  readonly #written = new Map<number, Written>();
  readonly #seen = new Map<NodeId, Seen>();

  constructor(components: LogCheckersComponents) {
    this.#components = components;
  }

  started(process: Observed, hardState: HardState | undefined): void {
    const { confState, commit, term } = process.status;
    if (hardState !== undefined && (commit < hardState.commit || term < hardState.term)) {
      const onDisk = `${hardState.commit} in term ${hardState.term}`;
      const facts = { member: process.id, commit, term, onDisk };
      this.#components.fail('commit order', 'a member remembers what its disk says', facts);
    }
    this.#seen.set(process.id, { commit: process.begunAt, term, configs: [confState] });
  }

  /** An entry is about to be handed to the disk. */
  writes(process: Observed, entry: Entry): void {
    const { fail } = this.#components;
    const { index, term, kind, data } = entry;
    const previousTerm = process.log.termAt(index - 1);
    if (previousTerm === undefined || previousTerm > term) {
      const facts = { member: process.id, index, term, previousTerm };
      fail('log matching', 'entries follow each other, their terms never falling', facts);
    }
    const place = term * INDEX_MAX + index;
    const known = this.#written.get(place);
    if (known === undefined) {
      this.#written.set(place, { data, kind, previousTerm });
      return;
    }
    const same = known.kind === kind && known.previousTerm === previousTerm;
    if (same && (known.data === data || Buffer.compare(known.data, data) === 0)) return;
    const facts = { member: process.id, index, term, kind, previousTerm, ...asFacts(known) };
    fail('log matching', 'entries of one index and term are equal, and so are those before', facts);
  }

  /** The configuration of `process` changed within a turn. */
  reconfigured(process: Observed, confState: ConfState): void {
    this.#seen.get(process.id)?.configs.push(confState);
  }

  observed(process: Observed, status: RaftStatus): void {
    const seen = this.#seen.get(process.id);
    if (seen === undefined) return;
    const { commit, term } = status;
    if (commit < seen.commit || term < seen.term) {
      const facts = {
        member: process.id,
        commit,
        term,
        before: seen.commit,
        termBefore: seen.term,
      };
      this.#components.fail('commit order', 'commit index and term never go back', facts);
    }
    // A leader may also learn of commits that others know of: from a refused vote, for one.
    const known = this.#components.history.lastIndex;
    for (let index = seen.commit + 1; index <= commit; index++)
      this.#committed(process, index, term);
    if (commit > known && status.role === 'leader') this.#checkQuorum(process, status, seen);
    seen.commit = commit;
    seen.term = term;
    seen.configs = [status.confState];
  }

  /** A snapshot took the place of the log up to `index`. */
  restored(process: Observed, index: number): void {
    const seen = this.#seen.get(process.id);
    if (seen !== undefined) seen.commit = Math.max(seen.commit, index);
  }

  /** `entry` is being applied. */
  applies({ id, durable }: Observed, { index, term }: Entry): void {
    if (this.#components.holds(id, index, term)) return;
    const facts = { member: id, index, term, durable: durable.lastIndex };
    this.#components.fail('durable before applied', 'what is applied is durable here', facts);
  }

  sends(process: Observed, message: Message): void {
    const { type, to, term } = message;
    const { durable, id } = process;
    const promise =
      (type === 'append-response' && !message.reject) ||
      (type === 'vote-response' && !message.reject) ||
      type === 'vote';
    if (!promise) return;
    const { hardState } = durable;
    const facts = { member: id, type, to, term, durableTerm: hardState?.term };
    if ((hardState?.term ?? 0) < term) {
      this.#components.fail(
        'durable before sent',
        'a term is durable before it is spoken of',
        facts,
      );
    }
    if (type === 'append-response') {
      // A later leader may have replaced it within the same sync; the old promise is void then, not false.
      if (durable.lastIndex >= message.index || hardState?.term !== term) return;
      const more = { ...facts, index: message.index, durable: durable.lastIndex };
      this.#components.fail('durable before sent', 'what is acknowledged is durable', more);
      return;
    }
    const vote = type === 'vote' ? id : to;
    // A term that went on meanwhile has made the old vote worthless, not false.
    if (hardState?.term !== term || hardState.vote === vote) return;
    const more = { ...facts, vote, durableVote: hardState.vote };
    this.#components.fail('durable before sent', 'a vote is durable before it is told', more);
  }

  #committed(process: Observed, index: number, term: number): void {
    const { fail, history, elections } = this.#components;
    const entry = process.log.entryAt(index);
    if (entry === undefined) {
      // Behind a snapshot that is checked as such.
      if (index <= process.log.baseIndex) return;
      const facts = { member: process.id, index, last: process.log.lastIndex };
      fail('commit order', 'what is committed is in the log', facts);
      return;
    }
    const known = history.entryAt(index);
    if (known === undefined) {
      const outcome = history.commit(entry, term);
      elections.committed(index, term);
      if (outcome !== undefined) this.#components.committed(index, outcome);
      return;
    }
    if (known.term === entry.term && Buffer.compare(known.data, entry.data) === 0) return;
    const facts = { member: process.id, index, term: entry.term, committedTerm: known.term };
    fail('commit order', 'what is committed at an index is the same everywhere', facts);
  }

  /** What a leader commits is of its own term, and on the disks of a quorum. */
  #checkQuorum(process: Observed, status: RaftStatus, seen: Seen): void {
    const { commit, term, confState } = status;
    const { holds, fail } = this.#components;
    const entryTerm = process.log.termAt(commit);
    const facts = { leader: process.id, term, commit, entryTerm };
    if (entryTerm !== term) {
      fail('commit quorum', 'a leader commits by counting only what is of its own term', facts);
      return;
    }
    const configs = [...seen.configs, confState];
    const holders = new Set<NodeId>();
    for (const node of votersOf(new Set(), ...configs)) {
      if (holds(node, commit, term)) holders.add(node);
    }
    // The configuration may have changed in the turn in which it committed.
    if (configs.some((config) => isQuorum(config, holders))) return;
    const more = { ...facts, holders: [...holders].join(), voters: confState.voters.join() };
    fail('commit quorum', 'what is committed is durable on a quorum', more);
  }
}

function asFacts({ kind, previousTerm }: Written) {
  return { knownKind: kind, knownPreviousTerm: previousTerm };
}
