/**
 * The one history everybody has to agree on: what was committed first at each index is what all others
 * are held against. Beside it, a naive twin of the state machine with every version of every key.
 */

import type { ConfState, Entry, SnapshotMeta } from '../../../../raft/types.ts';
import type { Command, MachineImage, Outcome, Value } from '../kv-machine.ts';
import { attemptName, decodeCommand, KvMachine, noValue } from '../kv-machine.ts';

type Version<T> = { readonly index: number; readonly what: T };

/** See the module comment. */
export class History {
  readonly #base: number;
  readonly #entries: Entry[] = [];
  readonly #commitTerms: number[] = [];
  readonly #commands = new Map<number, Command>();
  readonly #outcomes = new Map<number, Outcome>();
  readonly #attempts = new Map<string, number>();
  readonly #twin = new KvMachine();
  readonly #values = new Map<string, Version<Value>[]>();
  readonly #sessions = new Map<string, Version<Outcome>[]>();
  readonly #configs: Version<string>[] = [];

  /** The group was founded with a snapshot, `founding`. */
  constructor(founding: SnapshotMeta) {
    this.#base = founding.index;
    this.#configs.push({ index: founding.index, what: describeConfig(founding.confState) });
  }

  get lastIndex(): number {
    return this.#base + this.#entries.length;
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.#base - 1];
  }

  commandAt(index: number): Command | undefined {
    return this.#commands.get(index);
  }

  /** What the entry at `index` brought in the naive twin. */
  outcomeAt(index: number): Outcome | undefined {
    return this.#outcomes.get(index);
  }

  /** The term in which the entry at `index` was committed: its own, or a later one. */
  commitTermAt(index: number): number | undefined {
    return this.#commitTerms[index - this.#base - 1];
  }

  /**
   * Adds the next committed entry, found committed in `term`. Returns where the same proposal was
   * committed before, if it was.
   */
  commit(entry: Entry, term: number): number | undefined {
    this.#entries.push(entry);
    this.#commitTerms.push(term);
    if (entry.kind !== 'data') return undefined;
    const command = decodeCommand(entry.data);
    const { client, key } = command;
    const outcome = this.#twin.apply(entry.index, command);
    this.#commands.set(entry.index, command);
    if (outcome !== undefined) {
      this.#outcomes.set(entry.index, outcome);
      const { index } = entry;
      if (!outcome.repeated) {
        versions(this.#values, key).push({ index, what: outcome.value });
        versions(this.#sessions, client).push({ index, what: outcome });
      }
    }
    const name = attemptName(command);
    const before = this.#attempts.get(name);
    this.#attempts.set(name, before ?? entry.index);
    return before;
  }

  valueAt(key: string, index: number): Value {
    return newest(this.#values.get(key), index) ?? noValue;
  }

  /** Undefined if `image` is the twin's state at its index, otherwise what differs. */
  difference(image: MachineImage): string | undefined {
    for (const key of new Set([...image.values.keys(), ...this.#values.keys()])) {
      const expected = this.valueAt(key, image.index);
      const found = image.values.get(key) ?? noValue;
      if (!sameValue(found, expected)) {
        return `${key}=${found.count}/${found.digest} instead of ${expected.count}/${expected.digest}`;
      }
    }
    for (const client of new Set([...image.sessions.keys(), ...this.#sessions.keys()])) {
      const expected = newest(this.#sessions.get(client), image.index)?.sequence;
      const found = image.sessions.get(client)?.sequence;
      if (found !== expected) return `session ${client} at ${found} instead of ${expected}`;
    }
    return undefined;
  }

  /** The configuration in force at `index`, as text. */
  configAt(index: number): string | undefined {
    return newest(this.#configs, index);
  }

  /** The newest configuration anybody applied. */
  get lastConfig(): Version<string> {
    return this.#configs[this.#configs.length - 1] ?? { index: 0, what: '' };
  }

  addConfig(index: number, config: string): void {
    this.#configs.push({ index, what: config });
  }
}

export function sameValue(a: Value, b: Value): boolean {
  return a.count === b.count && a.digest === b.digest;
}

/** A configuration as text that is equal exactly if the configuration is. */
export function describeConfig(confState: ConfState): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  const sets = [voters, votersOutgoing, learners, learnersNext];
  return JSON.stringify([...sets.map((set) => [...set].sort()), autoLeave]);
}

function versions<T>(map: Map<string, Version<T>[]>, key: string): Version<T>[] {
  let list = map.get(key);
  if (list === undefined) {
    list = [];
    map.set(key, list);
  }
  return list;
}

/** The last version at or before `index`, by halving. */
function newest<T>(list: readonly Version<T>[] | undefined, index: number): T | undefined {
  if (list === undefined) return undefined;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle]?.index ?? 0) <= index) low = middle + 1;
    else high = middle;
  }
  return list[low - 1]?.what;
}
