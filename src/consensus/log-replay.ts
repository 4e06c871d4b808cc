/** From the records of a log to the state they describe. */

import type { Entry, HardState, LogIndex, SnapshotMeta } from '../../raft/types.ts';
import { invariant } from '../lib/invariant.ts';
import type { StoredState } from './storage.ts';
import type { WalRecord } from './wal-format.ts';

/** Builds the newest state from records in order. */
export class LogReplay {
  #entries: Entry[] = [];
  #hardState: HardState | undefined;

  add(record: WalRecord): void {
    switch (record.type) {
      case 'hard-state':
        this.#hardState = record.hardState;
        return;
      case 'reset':
        this.#entries = [];
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
    const hardState = this.#hardState;
    const base = snapshot?.index ?? (0 as LogIndex);
    const first = this.#entries[0];
    if (first === undefined)
      return { hardState: atLeast(hardState, snapshot), snapshot, entries: [] };
    if (first.index > base + 1) return undefined;
    const entries = this.isVoid(snapshot) ? [] : this.#entries.slice(base + 1 - first.index);
    return { hardState: atLeast(hardState, snapshot), snapshot, entries };
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

  /** An entry at or before the tail replaces it from there on. */
  #addEntry(entry: Entry): void {
    const first = this.#entries[0];
    if (first === undefined || entry.index < first.index) {
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
