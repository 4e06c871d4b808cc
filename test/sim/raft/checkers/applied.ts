/**
 * What is applied: the same everywhere, in order, once; configurations that follow each other safely;
 * snapshots that are what they say.
 */

import type { ConfState, Entry, NodeId, SnapshotMeta } from '../../../../raft/types.ts';
import type { MachineImage, Outcome } from '../kv-machine.ts';
import type { Process } from '../process.ts';
import type { Fail } from './failing.ts';
import { describeConfig, type History, sameValue } from './history.ts';
import { disjointQuorums } from './quorums.ts';

export class AppliedCheckers {
  readonly #fail: Fail;
  readonly #history: History;
  /** Configurations by the index they came into force at. */
  readonly #configs = new Map<number, ConfState>();

  constructor(fail: Fail, history: History) {
    this.#fail = fail;
    this.#history = history;
  }

  get configsChanged(): number {
    return this.#configs.size;
  }

  /** `entry` was applied behind `applied`, with `outcome`. */
  applies(
    { id }: { readonly id: NodeId },
    step: {
      readonly entry: Entry;
      readonly applied: number;
      readonly outcome: Outcome | undefined;
    },
  ): void {
    const { entry, applied, outcome } = step;
    const { index, term } = entry;
    if (index !== applied + 1) {
      this.#fail('applied alike', 'entries are applied without gaps', {
        member: id,
        index,
        applied,
      });
    }
    const committed = this.#history.entryAt(index);
    if (committed?.term !== term || Buffer.compare(committed.data, entry.data) !== 0) {
      // What is applied first must be known as committed first; the turn's end tells.
      if (committed === undefined) return;
      const facts = { member: id, index, term, committedTerm: committed.term };
      this.#fail('applied alike', 'every member applies the same entries', facts);
    }
    this.#checkOutcome(id, index, outcome);
  }

  reconfigured(process: Process, index: number, before: ConfState, after: ConfState): void {
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
    this.#configs.set(index, after);
    const disjoint = disjointQuorums(before, after);
    if (disjoint === undefined) return;
    const more = { ...facts, disjoint: disjoint.join() };
    this.#fail('configuration', 'quorums before and after a change overlap', more);
  }

  /** A leader is about to write a membership change of its own. */
  proposesConfig(process: Process, entry: Entry): void {
    for (let index = process.applied + 1; index < entry.index; index++) {
      if (process.log.entryAt(index)?.kind !== 'config') continue;
      const facts = { leader: process.id, first: index, second: entry.index };
      this.#fail('configuration', 'one membership change is in flight at a time', facts);
    }
  }

  /** A snapshot, taken or received, speaks of `meta`; `image` is its content, if it is at hand. */
  snapshot(id: NodeId, meta: SnapshotMeta, image: MachineImage | undefined): void {
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
    const difference = image === undefined ? undefined : this.#history.difference(image);
    if (difference !== undefined) {
      this.#fail('snapshot', 'a snapshot holds the state at its index', { ...facts, difference });
    }
  }

  #checkOutcome(member: NodeId, index: number, outcome: Outcome | undefined): void {
    const expected = this.#history.outcomeAt(index);
    if (outcome === undefined && expected === undefined) return;
    const same =
      outcome !== undefined &&
      expected !== undefined &&
      outcome.sequence === expected.sequence &&
      outcome.index === expected.index &&
      sameValue(outcome.value, expected.value);
    if (same) return;
    const facts = {
      member,
      index,
      found: JSON.stringify(outcome),
      expected: JSON.stringify(expected),
    };
    this.#fail('applied once', 'a write takes effect once, and everywhere alike', facts);
  }
}
