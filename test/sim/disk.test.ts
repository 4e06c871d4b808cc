/** The product's storage on the simulated disk: what crashes at awkward moments must not cost. */

import t from 'tap';
import { asIndex, asTerm, type Entry, type SnapshotMeta } from '../../raft/types.ts';
import type { Storage } from '../../src/consensus/storage.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { processClock } from './machine/clock.ts';
import { SimDisk } from './machine/disk.ts';
import { unmountAll } from './machine/fs-shim.ts';
import { realProduct } from './world/product.ts';
import { World } from './world/world.ts';

const confState = {
  voters: ['n1'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const metaAt = (index: number): SnapshotMeta => ({
  index: asIndex(index),
  term: asTerm(1),
  confState,
});
const entryAt = (index: number): Entry => ({
  ...{ index: asIndex(index), term: asTerm(1), kind: 'data' },
  data: Buffer.from(`entry ${index}`),
});
const hardState = { term: asTerm(1), vote: undefined, commit: asIndex(1) };

async function machine() {
  unmountAll();
  const world = new World(await realProduct(), undefined);
  const options = { floorMs: 1, meanMs: 0, tornOdds: 0, segmentBytes: 16 * 1024 };
  const disk = new SimDisk(world, seededRandom(1), 'n1', options);
  await disk.found(metaAt(1), Buffer.from('founding'), hardState);
  disk.crash({ power: true });
  const turn = (action: () => void) => action();
  const clock = processClock({ world, turn, rate: 1, wallErrorMs: () => 0, lagMs: () => 0 });
  /** Lets time pass, and every promise go on, until `promise` is kept. */
  const settle = async <T>(promise: Promise<T>): Promise<T> => {
    let done = false;
    const end = () => {
      done = true;
    };
    promise.then(end, end);
    while (!done) {
      world.queue.runNext(world.nowMs + 1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return promise;
  };
  const start = async () => {
    const storage = disk.open((action) => action(), clock);
    return { storage, found: await settle(storage.open()) };
  };
  return { world, disk, settle, start };
}

async function snapshotOf(storage: Storage, index: number): Promise<void> {
  const writer = await storage.writeSnapshot(metaAt(index));
  await writer.write(Buffer.from(`state ${index}`));
  await writer.commit();
}

t.test(
  'disk: what a killed process wrote is durable before the next one speaks of it',
  async (t) => {
    const { disk, settle, start } = await machine();
    const first = await start();
    await settle(first.storage.append({ entries: [entryAt(2)], hardState }));
    void first.storage.append({ entries: [entryAt(3)] });
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    disk.crash({ power: false });
    const second = await start();
    t.equal(second.found.entries.at(-1)?.index, 3, 'it reads what the kernel kept');
    disk.crash({ power: true });
    const third = await start();
    t.equal(third.found.entries.at(-1)?.index, 3, 'and so it stays');
  },
);

t.test('disk: a snapshot that was renamed by a killed process keeps its name', async (t) => {
  const { disk, world, start } = await machine();
  const first = await start();
  const stored = snapshotOf(first.storage, 1);
  stored.catch(() => {});
  const name = '/sim/n1/snapshots/0000000000000005-0000000001.snap';
  void snapshotOf(first.storage, 5).catch(() => {});
  while (disk.files.get(name) === undefined) {
    world.queue.runNext(world.nowMs + 1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  disk.crash({ power: false });
  const second = await start();
  t.equal(second.found.snapshot?.index, 5);
  disk.crash({ power: true });
  const third = await start();
  t.equal(third.found.snapshot?.index, 5);
});

t.test('disk: whoever lets go of a snapshot never deletes the one that comes', async (t) => {
  for (let turns = 0; turns < 60; turns++) {
    const { disk, world, settle, start } = await machine();
    const { storage } = await start();
    const reader = await settle(storage.readSnapshot());
    const stored = snapshotOf(storage, 5);
    const name = '/sim/n1/snapshots/0000000000000005-0000000001.snap';
    while (disk.files.get(name) === undefined) {
      world.queue.runNext(world.nowMs + 1_000);
      for (let turn = 0; turn < 3 && disk.files.get(name) === undefined; turn++)
        await Promise.resolve();
    }
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    const released = reader?.release();
    await settle(stored);
    await settle(released ?? Promise.resolve());
    t.ok(disk.files.get(name) !== undefined, `let go ${turns} turns after it got its name`);
  }
});
