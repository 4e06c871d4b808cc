/** From the records of a log to the state they describe. */

import type {
  Entry,
  HardState,
  LogIndex,
  RetainedEntries,
  SnapshotMeta,
  Term,
} from '../../raft/types.ts';
import { invariant } from '../lib/invariant.ts';
import type { StoredState } from './storage.ts';
import type { WalRecord } from './wal-format.ts';

type Position = { readonly index: LogIndex; readonly term: Term };

const BEGINNING: Position = { index: 0 as LogIndex, term: 0 as Term };

/** Builds the newest state from records in order. */
export class LogReplay {
  #entries: Entry[] = [];
  /** The position right before the first entry, as far as the log says it. */
  #base: Position | undefined = BEGINNING;
  #hardState: HardState | undefined;

  add(record: WalRecord): void {
    switch (record.type) {
      case 'hard-state':
        this.#hardState = record.hardState;
        return;
      case 'reset':
        this.#entries = [];
        this.#base = record.snapshot;
        return;
      default:
        this.#addEntry(record.entry);
    }
  }

  /**
   * The state behind `snapshot`, the newest one on disk. A snapshot from the leader may be there although a crash
   * came before the log heard of it: then entries that do not fit it are void. Undefined when entries are missing.
   */
  finish(snapshot: SnapshotMeta | undefined): StoredState | undefined {
    const hardState = atLeast(this.#hardState, snapshot);
    const base = snapshot?.index ?? (0 as LogIndex);
    const first = this.#entries[0];
    if (first === undefined || this.isVoid(snapshot)) return { hardState, snapshot, entries: [] };
    if (first.index > base + 1) return undefined;
    const behind = base + 1 - first.index;
    const retained = this.#retained(this.#entries.slice(0, behind));
    return {
      hardState,
      snapshot,
      entries: this.#entries.slice(behind),
      ...(retained === undefined ? {} : { retained }),
    };
  }

  /**
   * True if the entries do not fit `snapshot`. A reset has to be written before anything else then: the next
   * restart would take old and new entries for one log.
   */
  isVoid(snapshot: SnapshotMeta | undefined): boolean {
    const first = this.#entries[0];
    if (first === undefined || snapshot === undefined) return false;
    if (snapshot.index < first.index) return false;
    return this.#entries[snapshot.index - first.index]?.term !== snapshot.term;
  }

  /** Without the position before them, the first entry can say only where the others begin. */
  #retained(entries: readonly Entry[]): RetainedEntries | undefined {
    const first = entries[0];
    if (first === undefined) return undefined;
    const { index, term } = this.#base ?? first;
    const rest = this.#base === undefined ? entries.slice(1) : entries;
    return rest.length === 0 ? undefined : { base: { index, term }, entries: rest };
  }

  /** An entry at or before the tail replaces it from there on. */
  #addEntry(entry: Entry): void {
    const first = this.#entries[0];
    if (first === undefined || entry.index < first.index) {
      // Segments before this one are gone, or everything that stood here is replaced.
      if (this.#base?.index !== entry.index - 1) this.#base = undefined;
      this.#entries = [entry];
      return;
    }
    const at = entry.index - first.index;
    invariant(at <= this.#entries.length, 'the log has no gaps', {
      index: entry.index,
      last: first.index + this.#entries.length - 1,
    });
    this.#entries.length = at;
    this.#entries.push(entry);
  }
}

/** A snapshot is committed: neither its index nor its term can be ahead of the hard state. */
function atLeast(
  hardState: HardState | undefined,
  snapshot: SnapshotMeta | undefined,
): HardState | undefined {
  if (snapshot === undefined) return hardState;
  const { term, vote, commit } = hardState ?? { term: snapshot.term, vote: undefined, commit: 0 };
  const newer = snapshot.term > term;
  return {
    term: newer ? snapshot.term : term,
    vote: newer ? undefined : vote,
    commit: commit > snapshot.index ? (commit as LogIndex) : snapshot.index,
  };
}
