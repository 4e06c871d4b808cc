/**
 * One member's log: the entries and four cursors into them, `applied <= handed <= commit <= last`
 * and `stable <= last`. Two of them follow the driver: `stable` what it made durable, `applied` what
 * its state machine took. Writes are acknowledged in the order they were handed out.
 */

import { broken } from './invariant.ts';
import type { LogPosition } from './log-tail.ts';
import { entryBytes, LogTail } from './log-tail.ts';
import type { Entry, InitialState, LogIndex, SnapshotMeta } from './types.ts';

/** One batch on its way to the disk: what of the log is durable once it is. */
type Write = { through: number };

/** See the module comment. */
export class RaftLog {
  readonly tail: LogTail;
  /** The newest snapshot the state machine has; what a peer is sent that is too far behind. */
  snapshot: SnapshotMeta;
  #commit: LogIndex;
  #applied: LogIndex;
  #handed: LogIndex;
  #stable: LogIndex;
  /** The last entry handed out to be written. */
  #writing: LogIndex;
  readonly #writes: Write[] = [];
  /** A snapshot from the leader: to be handed out, then to be made durable. */
  #incoming: { readonly meta: SnapshotMeta; handed: boolean } | undefined;
  /** Bytes of the entries in (applied, handed], the oldest first. */
  #applyingBytes = 0;

  constructor(initial: InitialState) {
    const { snapshot, entries, hardState, retained } = initial;
    this.tail = new LogTail(retained?.base ?? snapshot, retained?.entries ?? []);
    if (!this.tail.matches(snapshot.index, snapshot.term) || snapshot.index < this.lastIndex) {
      broken('what is retained of the log ends where the snapshot stands', {
        snapshot: snapshot.index,
        lastIndex: this.lastIndex,
      });
    }
    this.tail.append(entries);
    this.snapshot = snapshot;
    this.#applied = snapshot.index;
    this.#handed = snapshot.index;
    this.#stable = this.tail.lastIndex;
    this.#writing = this.tail.lastIndex;
    this.#commit = Math.max(hardState.commit, snapshot.index) as LogIndex;
    if (this.#commit > this.tail.lastIndex) {
      broken('a member still holds every entry it knew to be committed', {
        commit: this.#commit,
        lastIndex: this.tail.lastIndex,
      });
    }
  }

  get firstIndex(): LogIndex {
    return this.tail.firstIndex;
  }
  get lastIndex(): LogIndex {
    return this.tail.lastIndex;
  }
  get commit(): LogIndex {
    return this.#commit;
  }
  get applied(): LogIndex {
    return this.#applied;
  }
  get stable(): LogIndex {
    return this.#stable;
  }

  /** True while a snapshot from the leader is not durable yet. */
  get restoring(): boolean {
    return this.#incoming !== undefined;
  }

  /** Section 5.4.1: a log is up to date if its last term is higher, or equal and it is not shorter. */
  isUpToDate(last: LogPosition): boolean {
    const { lastTerm, lastIndex } = this.tail;
    return last.term > lastTerm || (last.term === lastTerm && last.index >= lastIndex);
  }

  /** True if a committed membership change waits to be applied. */
  hasUnappliedConfig(): boolean {
    return this.tail.has('config', (this.#applied + 1) as LogIndex, this.#commit);
  }

  /** Adds the leader's own entries. */
  append(entries: readonly Entry[]): void {
    this.tail.append(entries);
  }

  /**
   * Takes what an append message carries; entries that are there already stay. Returns the last index
   * that equals the leader's log now, undefined if `previous` is not part of ours.
   */
  maybeAppend(previous: LogPosition, entries: readonly Entry[]): LogIndex | undefined {
    if (!this.tail.matches(previous.index, previous.term)) return undefined;
    const fresh = entries.findIndex((entry) => !this.tail.matches(entry.index, entry.term));
    const first = fresh < 0 ? undefined : entries[fresh];
    if (first !== undefined) {
      this.#truncateAfter((first.index - 1) as LogIndex);
      this.tail.append(fresh === 0 ? entries : entries.slice(fresh));
    }
    return (previous.index + entries.length) as LogIndex;
  }

  /** Entries up to `index` are committed. Never goes back. */
  commitTo(index: LogIndex): boolean {
    if (index <= this.#commit) return false;
    if (index > this.lastIndex) {
      broken('a member holds every entry it acknowledged; lost data needs a new identity', {
        commit: index,
        lastIndex: this.lastIndex,
      });
    }
    this.#commit = index;
    return true;
  }

  /** True if there is something that `beginWrite` would hand out. */
  get hasUnwritten(): boolean {
    return this.#writing < this.lastIndex || this.#incoming?.handed === false;
  }

  /** Hands out what has to be written; every call is answered by one `endWrite`, in order. */
  beginWrite(): { readonly entries: Entry[]; readonly snapshot: SnapshotMeta | undefined } {
    const from = (this.#writing + 1) as LogIndex;
    const entries = this.tail.slice(from, this.lastIndex, Number.POSITIVE_INFINITY);
    this.#writing = this.lastIndex;
    this.#writes.push({ through: this.#writing });
    let snapshot: SnapshotMeta | undefined;
    if (this.#incoming?.handed === false) {
      this.#incoming.handed = true;
      snapshot = this.#incoming.meta;
    }
    return { entries, snapshot };
  }

  /** The oldest write is durable; `snapshot` is what came with it. */
  endWrite(snapshot: SnapshotMeta | undefined): void {
    const write = this.#writes.shift();
    if (write === undefined) broken('a write is acknowledged once');
    if (write.through > this.#stable) this.#stable = write.through as LogIndex;
    if (snapshot !== undefined && this.#incoming?.meta === snapshot) this.#incoming = undefined;
  }

  /** True if `nextToApply` would hand out something. */
  hasToApply(bytesMax: number): boolean {
    const room = this.#applyingBytes < bytesMax || this.#handed === this.#applied;
    return room && this.#handed < Math.min(this.#commit, this.#stable);
  }

  /**
   * Hands out the next committed entries that are durable here. Everything handed out and not yet
   * applied stays within `bytesMax`, except that one entry always may go.
   */
  nextToApply(bytesMax: number): Entry[] {
    if (!this.hasToApply(bytesMax)) return [];
    const to = Math.min(this.#commit, this.#stable) as LogIndex;
    const room = bytesMax - this.#applyingBytes;
    const entries = this.tail.slice((this.#handed + 1) as LogIndex, to, room);
    for (const entry of entries) this.#applyingBytes += entryBytes(entry);
    this.#handed = (this.#handed + entries.length) as LogIndex;
    return entries;
  }

  /** The state machine is at `index`. */
  appliedTo(index: LogIndex): void {
    if (index < this.#applied || index > this.#handed) {
      broken('what is applied was handed out, and never goes back', {
        index,
        applied: this.#applied,
        handed: this.#handed,
      });
    }
    for (let at = this.#applied + 1; at <= index; at++) {
      const entry = this.tail.entryAt(at as LogIndex);
      if (entry !== undefined) this.#applyingBytes -= entryBytes(entry);
    }
    this.#applied = index;
    if (this.#handed === index) this.#applyingBytes = 0;
  }

  /** A snapshot from the leader takes the place of the whole log. */
  restore(meta: SnapshotMeta): void {
    // Nothing that is on its way to the disk says anything about the log that begins now.
    for (const write of this.#writes) write.through = 0;
    this.tail.reset(meta);
    this.snapshot = meta;
    this.#incoming = { meta, handed: false };
    this.#commit = meta.index;
    this.#handed = meta.index;
    this.#stable = meta.index;
    this.#writing = meta.index;
    this.#applyingBytes = 0;
  }

  /** The state machine has a durable snapshot: entries before `keepFrom` may go. */
  compact(snapshot: SnapshotMeta, keepFrom: LogIndex): void {
    if (snapshot.index > this.#applied || keepFrom > snapshot.index + 1) {
      broken('a snapshot covers applied entries, and the log begins right behind it or before', {
        snapshot: snapshot.index,
        applied: this.#applied,
        keepFrom,
      });
    }
    if (snapshot.index > this.snapshot.index) this.snapshot = snapshot;
    this.tail.dropBefore(keepFrom);
  }

  /**
   * Conflicting entries go. Writes of theirs that are still under way will be acknowledged, and must
   * not count: 1. entry 5 of term 1 is being written; 2. term 2 replaces it; 3. term 3 brings entry 5
   * of term 1 back; 4. the first write ends. On disk, the write of step 2 comes after it: entry 5 is
   * durable only when the write of step 3 is.
   */
  #truncateAfter(last: LogIndex): void {
    if (last >= this.lastIndex) return;
    if (last < this.#commit) {
      broken('a committed entry is never replaced', { last, commit: this.#commit });
    }
    this.tail.truncateAfter(last);
    for (const write of this.#writes) write.through = Math.min(write.through, last);
    this.#stable = Math.min(this.#stable, last) as LogIndex;
    this.#writing = Math.min(this.#writing, last) as LogIndex;
  }
}
