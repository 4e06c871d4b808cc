/** What a disk holds for certain, as the checkers see it. Never compacted: they look back. */

import type { HardState, SnapshotMeta } from '../../../raft/types.ts';
import type { LogBatch, StoredState } from '../../../src/consensus/storage.ts';
import { LogView } from '../world/log-view.ts';

/** See the module comment. */
export class DurableView {
  log = new LogView();
  hardState: HardState | undefined;
  snapshot: SnapshotMeta | undefined;

  /** The newest index the disk can vouch for, by its log or by its snapshot. */
  get lastIndex(): number {
    return Math.max(this.log.lastIndex, this.snapshot?.index ?? 0);
  }

  /** True if the entry at `index` of `term` is there. */
  holds(index: number, term: number): boolean {
    return this.log.termAt(index) === term || (this.snapshot?.index ?? 0) >= index;
  }

  /** A batch became durable. Returns the index of an entry that would leave a gap, if one does. */
  take({ reset, entries, hardState }: LogBatch): number | undefined {
    if (reset !== undefined) this.log.reset(reset);
    for (const entry of entries) if (!this.log.write(entry)) return entry.index;
    if (hardState !== undefined) this.hardState = hardState;
    return undefined;
  }

  /** What a process found when it started. */
  found(state: StoredState): void {
    this.log = LogView.of(state.snapshot ?? { index: 0, term: 0 }, state.entries);
    this.hardState = state.hardState;
    this.snapshot = state.snapshot;
  }
}
