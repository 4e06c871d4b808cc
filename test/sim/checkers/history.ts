/**
 * The one history everybody has to agree on: what was committed first at each index is what all others
 * are held against. Beside it, a naive twin of the store with every version of every key.
 */

import type { ConfState, Entry, SnapshotMeta } from '../../../raft/types.ts';
import { isGroupCommand } from '../../../src/consensus/group-command.ts';
import type { CommandResult } from '../../../src/store/commands.ts';
import type { StoredObject } from '../../../src/store/types.ts';
import { type ModelEvent, type ModelObject, type Outcome, StoreModel } from './store-model.ts';

type Version<T> = { readonly index: number; readonly what: T };

/** What a replica shows of its state. */
export type Readable = {
  revision(): number;
  get(key: string): StoredObject | undefined;
  count(prefix: string): number;
};

/** See the module comment. */
export class History {
  readonly #base: number;
  readonly #entries: Entry[] = [];
  readonly #commitTerms: number[] = [];
  readonly #outcomes = new Map<number, Outcome>();
  /** The revision after each entry. */
  readonly #revisions: number[] = [];
  readonly #model = new StoreModel();
  /** Versions of each key by revision; undefined: deleted. */
  readonly #values = new Map<string, Version<ModelObject | undefined>[]>();
  readonly #events = new Map<number, readonly ModelEvent[]>();
  readonly #counts: Version<number>[] = [{ index: 0, what: 0 }];
  readonly #configs: Version<string>[] = [];

  /** The group was founded with a snapshot, `founding`. */
  constructor(founding: SnapshotMeta) {
    this.#base = founding.index;
    this.#configs.push({ index: founding.index, what: describeConfig(founding.confState) });
  }

  get lastIndex(): number {
    return this.#base + this.#entries.length;
  }

  get lastRevision(): number {
    return this.#model.revision;
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.#base - 1];
  }

  /** What the entry at `index` brought in the naive twin; undefined if it is no command. */
  outcomeAt(index: number): Outcome | undefined {
    return this.#outcomes.get(index);
  }

  /** The term in which the entry at `index` was committed: its own, or a later one. */
  commitTermAt(index: number): number | undefined {
    return this.#commitTerms[index - this.#base - 1];
  }

  /** The revision of the state when everything up to `index` is applied. */
  revisionAt(index: number): number {
    return this.#revisions[index - this.#base - 1] ?? 0;
  }

  /** Adds the next committed entry, found committed in `term`. */
  commit(entry: Entry, term: number): Outcome | undefined {
    this.#entries.push(entry);
    this.#commitTerms.push(term);
    const outcome = isCommand(entry) ? this.#model.apply(entry.data) : undefined;
    const { revision } = this.#model;
    this.#revisions.push(revision);
    if (outcome === undefined) return undefined;
    this.#outcomes.set(entry.index, outcome);
    if (outcome.events.length === 0) return outcome;
    this.#events.set(revision, outcome.events);
    for (const event of outcome.events) {
      const what = event.type === 'put' ? event : undefined;
      const list = versions(this.#values, event.key);
      // The last word of a transaction on a key is the one that stays.
      if (list.at(-1)?.index === revision) list.pop();
      list.push({ index: revision, what });
    }
    this.#counts.push({ index: revision, what: this.#model.objects.size });
    return outcome;
  }

  /** What `key` was at `revision`. */
  valueAt(key: string, revision: number): ModelObject | undefined {
    return newest(this.#values.get(key), revision);
  }

  /** What changed at `revision`. */
  eventsAt(revision: number): readonly ModelEvent[] {
    return this.#events.get(revision) ?? [];
  }

  /** Every key there ever was. */
  keys(): Iterable<string> {
    return this.#values.keys();
  }

  /** Undefined if `state` is the twin's at `index`, otherwise what differs. */
  difference(state: Readable, index: number): string | undefined {
    const revision = this.revisionAt(index);
    if (state.revision() !== revision) return `revision ${state.revision()} instead of ${revision}`;
    const count = newest(this.#counts, revision);
    if (state.count('/') !== count) return `${state.count('/')} objects instead of ${count}`;
    for (const key of this.#values.keys()) {
      const what = differing(state.get(key), this.valueAt(key, revision));
      if (what !== undefined) return `${key}: ${what}`;
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

/** True for an entry that is the store's; the group has its own. */
export function isCommand({ kind, data }: Entry): boolean {
  return kind === 'data' && !isGroupCommand(data);
}

/** How a stored object is not what the twin says, if it is not. */
export function differing(
  found: StoredObject | undefined,
  expected: ModelObject | undefined,
): string | undefined {
  if (found === undefined && expected === undefined) return undefined;
  if (found === undefined) return `absent instead of ${expected?.text}`;
  const text = found.bytes.toString('latin1');
  if (expected === undefined) return `${text} instead of absent`;
  const { revision, createRevision } = expected;
  if (found.revision !== revision) return `at ${found.revision} instead of ${revision}`;
  if (found.createRevision !== createRevision) return `created at ${found.createRevision}`;
  return text === expected.text ? undefined : `${text} instead of ${expected.text}`;
}

/** Results as text that is equal exactly if what the client is told is. */
export function describeResult(result: CommandResult | undefined): string {
  if (result === undefined) return 'none';
  switch (result.kind) {
    case 'committed':
    case 'claimed':
      return `${result.kind} ${result.revision}`;
    case 'conflict':
      return `conflict ${result.key} ${result.found}`;
    case 'fenced':
      return `fenced ${result.newestTerm}`;
    default:
      return result.kind;
  }
}

/** A configuration as text that is equal exactly if the configuration is. */
export function describeConfig(confState: ConfState): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  const sets = [voters, votersOutgoing, learners, learnersNext];
  return JSON.stringify([...sets.map((set) => [...set].sort()), autoLeave]);
}

/** The configuration that a text of `describeConfig` stands for. */
export function parseConfig(text: string): ConfState {
  const [voters, votersOutgoing, learners, learnersNext, autoLeave] = JSON.parse(text);
  return { voters, votersOutgoing, learners, learnersNext, autoLeave };
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
