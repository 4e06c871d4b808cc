/** The snapshots a member takes of itself, and what it forgets afterwards. */

import { asIndex } from '../../../raft/types.ts';
import type { Process, ProcessComponents } from './process.ts';

export class OwnSnapshots {
  readonly #components: ProcessComponents;
  #last: number;
  #writing = false;

  /** @param last index of the newest snapshot on disk. */
  constructor(components: ProcessComponents, last: number) {
    this.#components = components;
    this.#last = last;
  }

  /** The state came from a leader's snapshot. */
  installed(index: number): void {
    this.#last = index;
  }

  /** Takes one if enough was applied since the last. The log is cut once it is durable. */
  consider({ id, raft, machine, applied }: Process): void {
    const { disk, options, world, turn, checkers, retain } = this.#components;
    if (this.#writing || applied - this.#last < options.snapshotEntries) return;
    const meta = raft.snapshotMeta(asIndex(applied));
    const image = machine.image();
    checkers.snapshots(id, meta, image);
    this.#last = applied;
    this.#writing = true;
    const compact = () => {
      const keepFrom = asIndex(
        Math.max(1, Math.min(meta.index - options.trailingEntries, retain()) + 1),
      );
      raft.compact(meta, keepFrom);
      disk.compact(keepFrom - 1);
      world.count('compaction');
    };
    const tooEarly = world.faults.has('compact-before-snapshot');
    if (tooEarly) compact();
    disk.writeSnapshot({ meta, image }, () =>
      turn(() => {
        this.#writing = false;
        world.count('snapshot taken');
        world.moment(id, 'snapshot taken');
        if (!tooEarly) compact();
      }),
    );
  }
}
