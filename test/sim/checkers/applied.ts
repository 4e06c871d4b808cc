/**
 * What is applied: the same everywhere, in order, once; configurations that follow each other safely;
 * snapshots that are what they say; states that are equal byte for byte at the same index.
 */

import type { ConfState, Entry, NodeId, SnapshotMeta } from '../../../raft/types.ts';
import type { CommandResult } from '../../../src/store/commands.ts';
import type { Fail } from './failing.ts';
import { describeConfig, describeResult, type History, type Readable } from './history.ts';
import type { Observed } from './observed.ts';
import { disjointQuorums } from './quorums.ts';

/** One entry, applied behind `applied`. */
export type AppliedStep = {
  readonly entry: Entry;
  readonly applied: number;
  /** What the state machine answered; undefined if the entry was not its own. */
  readonly result: CommandResult | undefined;
};

export class AppliedCheckers {
  readonly #fail: Fail;
  readonly #history: History;
  /** Checksums of whole states, by index, with who had it first. */
  readonly #digests = new Map<number, { readonly digest: string; readonly member: NodeId }>();

  constructor(fail: Fail, history: History) {
    this.#fail = fail;
    this.#history = history;
  }

  applies({ id }: { readonly id: NodeId }, step: AppliedStep): void {
    const { entry, applied, result } = step;
    const { index, term } = entry;
    if (index !== applied + 1) {
      const facts = { member: id, index, applied };
      this.#fail('applied alike', 'entries are applied without gaps', facts);
    }
    const committed = this.#history.entryAt(index);
    if (committed?.term !== term || Buffer.compare(committed.data, entry.data) !== 0) {
      const facts = { member: id, index, term, committedTerm: committed?.term };
      this.#fail('applied alike', 'every member applies the same entries', facts);
    }
    const expected = describeResult(this.#history.outcomeAt(index)?.result);
    const found = describeResult(result);
    if (found === expected) return;
    const facts = { member: id, index, found, expected };
    this.#fail('applied once', 'a write takes effect once, and everywhere alike', facts);
  }

  /** The whole state of `member` at `index` has this checksum. */
  digest(member: NodeId, index: number, digest: string): void {
    const known = this.#digests.get(index);
    if (known === undefined) this.#digests.set(index, { digest, member });
    else if (known.digest !== digest) {
      const facts = { index, first: known.member, second: member };
      this.#fail('applied alike', 'states are equal byte for byte at the same index', facts);
    }
  }

  reconfigured(process: Observed, index: number, before: ConfState, after: ConfState): void {
    const text = describeConfig(after);
    const facts = { member: process.id, index, before: describeConfig(before), after: text };
    const last = this.#history.lastConfig;
    if (index <= last.index) {
      const known = this.#history.configAt(index);
      if (known === text) return;
      this.#fail('configuration', 'a configuration is the same everywhere', { ...facts, known });
      return;
    }
    if (last.what !== facts.before) {
      const more = { ...facts, known: last.what };
      this.#fail('configuration', 'a change starts from what was in force', more);
    }
    this.#history.addConfig(index, text);
    const disjoint = disjointQuorums(before, after);
    if (disjoint === undefined) return;
    const more = { ...facts, disjoint: disjoint.join() };
    this.#fail('configuration', 'quorums before and after a change overlap', more);
  }

  /** A leader is about to write a membership change of its own. */
  proposesConfig(process: Observed, entry: Entry): void {
    for (let index = process.applied + 1; index < entry.index; index++) {
      if (process.log.entryAt(index)?.kind !== 'config') continue;
      const facts = { leader: process.id, first: index, second: entry.index };
      this.#fail('configuration', 'one membership change is in flight at a time', facts);
    }
  }

  /** A snapshot, taken or received, speaks of `meta`; `state` is what it holds, if that is at hand. */
  snapshot(id: NodeId, meta: SnapshotMeta, state: Readable | undefined): void {
    const { index, term } = meta;
    const committed = this.#history.entryAt(index);
    const config = describeConfig(meta.confState);
    const known = this.#history.configAt(index);
    const facts = { member: id, index, term, config, committedTerm: committed?.term, known };
    if (index > this.#history.lastIndex || (committed !== undefined && committed.term !== term)) {
      this.#fail('snapshot', 'a snapshot is of what is committed', facts);
    }
    if (config !== known) {
      this.#fail('snapshot', 'a snapshot carries the configuration in force at its index', facts);
    }
    const difference = state === undefined ? undefined : this.#history.difference(state, index);
    if (difference === undefined) return;
    this.#fail('snapshot', 'a snapshot holds the state at its index', { ...facts, difference });
  }
}
