/** From storage to what the core begins with, the state machine restored on the way. */

import type { InitialState, NodeId, SnapshotMeta } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import type { Storage, StoredState } from './storage.ts';
import type { SnapshotSource, StateMachine } from './types.ts';
import { FIRST_LEVELS, OUR_LEVELS } from './versions.ts';

/** The position at which a group begins: as if an earlier leader had committed the first configuration. */
const FIRST_INDEX = asIndex(1);
const FIRST_TERM = asTerm(1);

/**
 * Opens `storage` and restores `machine`. A group begins with a snapshot at index 1 that holds its first
 * configuration: a member that joins gets it with the snapshot, and never has to guess who voted before it came.
 */
export async function recoverState(
  storage: Storage,
  machine: StateMachine,
  options: {
    readonly self: NodeId;
    readonly bootstrap: boolean;
    /** The feature level at which a new group begins. */
    readonly level: number;
  },
): Promise<InitialState> {
  let stored = await storage.open();
  const fresh = stored.hardState === undefined && stored.snapshot === undefined;
  if (fresh && options.bootstrap) {
    const { self, level } = options;
    stored = await beginGroup(storage, machine.snapshot(level), firstSnapshot(self), level);
  }
  const reader = stored.snapshot === undefined ? undefined : await storage.readSnapshot();
  if (reader !== undefined) {
    try {
      await machine.restore(reader.chunks(), reader.meta.level);
    } finally {
      await reader.release();
    }
  }
  return {
    hardState: stored.hardState ?? { term: asTerm(0), vote: undefined, commit: asIndex(0) },
    snapshot: stored.snapshot ?? noSnapshot(),
    entries: stored.entries,
    ...(stored.retained === undefined ? {} : { retained: stored.retained }),
  };
}

/**
 * Begins a group in storage that is open and empty: `source` is the state at `meta`, whose configuration says who
 * votes. The log begins behind it. `level`: the feature level of its formats; default: what this release writes.
 */
export async function beginGroup(
  storage: Storage,
  source: SnapshotSource,
  first: SnapshotMeta,
  level: number = OUR_LEVELS.max,
): Promise<StoredState> {
  const meta = atLevel(first, level);
  const writer = await storage.writeSnapshot(meta);
  for await (const chunk of source.chunks()) await writer.write(chunk);
  await writer.commit();
  source.release();
  const hardState = { term: meta.term, vote: undefined, commit: meta.index };
  await storage.append({ entries: [], hardState });
  return { hardState, snapshot: meta, entries: [] };
}

function firstSnapshot(self: NodeId): SnapshotMeta {
  const confState = {
    voters: [self],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return { index: FIRST_INDEX, term: FIRST_TERM, confState };
}

/** `meta` of a snapshot in the formats of `level`; those of the first say nothing, as its release knew no levels. */
export function atLevel(meta: SnapshotMeta, level: number): SnapshotMeta {
  return level > FIRST_LEVELS.max ? { ...meta, level } : meta;
}

function noSnapshot(): SnapshotMeta {
  const confState = {
    voters: [],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return { index: asIndex(0), term: asTerm(0), confState };
}
