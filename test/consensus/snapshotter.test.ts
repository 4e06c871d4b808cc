import t from 'tap';
import { emptyConfState } from '../../raft/config-change.ts';
import { asIndex, asTerm, type LogIndex } from '../../raft/types.ts';
import { createMemoryStorage, MemoryDisk } from '../../src/consensus/memory-storage.ts';
import { Snapshotter } from '../../src/consensus/snapshotter.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';

/** Takes one snapshot at `index`; returns where the log begins afterwards. */
async function keptAfter(
  index: number,
  world: { readonly sending?: number; readonly entryBytes?: number },
): Promise<number> {
  const { sending = Number.POSITIVE_INFINITY, entryBytes = 10 } = world;
  const storage = createMemoryStorage(new MemoryDisk(), { nodeId: 'a', clusterId: 'test' });
  await storage.open();
  const kept: LogIndex[] = [];
  const snapshotter = new Snapshotter(
    {
      storage,
      machine: {
        apply: () => [],
        restore: async () => {},
        snapshot: () => ({
          chunks: async function* () {
            yield Buffer.from('state');
          },
          release: () => {},
        }),
      },
      clock: new VirtualClock(),
      logger: silentLogger,
      applied: () => asIndex(index),
      followed: () => index,
      metaAt: (at) => ({ index: at, term: asTerm(1), confState: emptyConfState }),
      retain: () => sending,
      compact: (_, keepFrom) => void kept.push(keepFrom),
      onFatal: (error) => {
        throw error;
      },
    },
    asIndex(0),
    { snapshotEntries: 1_000, trailingEntries: 100, trailingBytes: 4 * 1024 * 1024 },
  );
  for (let at = 1; at <= index; at++) snapshotter.count(asIndex(at), entryBytes);
  snapshotter.consider(asIndex(index));
  // All in memory: it takes a few turns, or does not happen.
  for (let turn = 0; turn < 50 && kept.length === 0; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  await snapshotter.stop();
  return kept[0] ?? 0;
}

t.test(
  'snapshotter: a tail of the log stays behind a snapshot, bounded by entries and bytes',
  async (t) => {
    t.equal(await keptAfter(999, {}), 0, 'none is due yet');
    t.equal(await keptAfter(1_000, {}), 901);
    const kept = await keptAfter(1_000, { entryBytes: 128 * 1024 });
    t.ok(kept > 960 && kept < 980, `${kept}: no more than the bytes allow`);
  },
);

t.test(
  'snapshotter: while one is being sent, the log behind it stays as long as that takes',
  async (t) => {
    t.equal(await keptAfter(1_000, { sending: 40 }), 41, 'whoever gets it needs what follows');
    t.equal(await keptAfter(1_000, { sending: 950 }), 901);
  },
);
