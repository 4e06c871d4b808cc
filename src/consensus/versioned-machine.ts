/**
 * The state machine with the cluster's level beside it: takes the group's own entries out of the stream, and refuses a
 * level that this member does not understand, in the log and in snapshots.
 */

import type { SkeinError } from '../lib/errors.ts';
import { decodeGroupCommand, isGroupCommand } from './group-command.ts';
import type { CommittedEntry, SnapshotSource, StateMachine } from './types.ts';
import { FIRST_LEVELS, type LevelRange, levelFault } from './versions.ts';

export type VersionedMachineOptions = {
  readonly levels: LevelRange;
  /** This version's name, for messages. */
  readonly product: string;
  readonly onLevel?: (level: number) => void;
};

export class VersionedMachine implements StateMachine {
  readonly #inner: StateMachine;
  readonly #options: VersionedMachineOptions;
  #level: number = FIRST_LEVELS.min;

  constructor(inner: StateMachine, options: VersionedMachineOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  /** The cluster's level as of the last applied entry. */
  get level(): number {
    return this.#level;
  }

  apply(entries: readonly CommittedEntry[]): unknown[] {
    if (!entries.some(({ data }) => isGroupCommand(data))) return this.#inner.apply(entries);
    const results: unknown[] = [];
    let run: CommittedEntry[] = [];
    const flush = () => {
      if (run.length > 0) results.push(...this.#inner.apply(run));
      run = [];
    };
    for (const entry of entries) {
      if (!isGroupCommand(entry.data)) run.push(entry);
      else {
        flush();
        // An entry of a former leader may come behind that of its successor.
        this.#reach(Math.max(this.#level, decodeGroupCommand(entry.data).level));
        results.push(null);
      }
    }
    flush();
    return results;
  }

  snapshot(): SnapshotSource {
    return this.#inner.snapshot(this.#level);
  }

  /** @param level what the snapshot says of itself; those of the first release say nothing. */
  async restore(
    chunks: AsyncIterable<Uint8Array>,
    level: number = FIRST_LEVELS.min,
  ): Promise<void> {
    this.#check(level);
    await this.#inner.restore(chunks, level);
    this.#reach(level);
  }

  /** Why this member must not go on in a cluster at `level`, or undefined. */
  fault(level: number): SkeinError | undefined {
    const { levels, product } = this.#options;
    return levelFault(level, levels, product);
  }

  #check(level: number): void {
    const fault = this.fault(level);
    if (fault !== undefined) throw fault;
  }

  #reach(level: number): void {
    this.#check(level);
    if (level === this.#level) return;
    this.#level = level;
    this.#options.onLevel?.(level);
  }
}
