import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { asIndex, asTerm, type Entry, type SnapshotMeta } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { createMemoryStorage, MemoryDisk } from '../../src/consensus/memory-storage.ts';
import type { Storage } from '../../src/consensus/storage.ts';
import { crc32c } from '../../src/lib/crc32c.ts';

const owner = { nodeId: 'node-a', clusterId: 'cluster-1' };

/** A disk on which storages are opened one after the other. */
type Bench = { next(): Storage; dispose(): Promise<void> };

const benches: Record<string, () => Promise<Bench>> = {
  memory: async () => {
    const disk = new MemoryDisk();
    return { next: () => createMemoryStorage(disk, owner), dispose: async () => {} };
  },
  files: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'skein-storage-'));
    return {
      next: () => createFileStorage({ ...owner, directory, segmentBytes: 16 * 1024 }),
      dispose: () => rm(directory, { recursive: true }),
    };
  },
};

const entry = (index: number, term = 1, text = `entry ${index} of ${term}`): Entry => ({
  index: asIndex(index),
  term: asTerm(term),
  kind: 'data',
  data: Buffer.from(text),
});
const range = (from: number, to: number, term = 1) =>
  Array.from({ length: to - from + 1 }, (_, at) => entry(from + at, term));
const hard = (term: number, commit: number, vote?: string) => ({
  term: asTerm(term),
  commit: asIndex(commit),
  vote,
});
const meta = (index: number, term = 1): SnapshotMeta => ({
  index: asIndex(index),
  term: asTerm(term),
  confState: {
    voters: ['node-a', 'node-b'],
    votersOutgoing: [],
    learners: ['node-c'],
    learnersNext: [],
    autoLeave: false,
  },
});
const shape = (entries: readonly Entry[]) => entries.map(({ index, term }) => [index, term]);

async function writeSnapshot(storage: Storage, of: SnapshotMeta, text: string): Promise<void> {
  const writer = await storage.writeSnapshot(of);
  for (const part of text.split(' ')) await writer.write(Buffer.from(`${part} `));
  await writer.commit();
}

async function readText(storage: Storage): Promise<string | undefined> {
  const reader = await storage.readSnapshot();
  if (reader === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const chunk of reader.chunks()) parts.push(chunk);
  await reader.release();
  return Buffer.concat(parts).toString();
}

for (const [name, make] of Object.entries(benches)) {
  const test = (claim: string, run: (t: Test, bench: Bench) => Promise<void>) =>
    t.test(`storage (${name}): ${claim}`, async (t) => {
      const bench = await make();
      t.teardown(() => bench.dispose());
      await run(t, bench);
    });

  test('a fresh one is empty', async (t, bench) => {
    const storage = bench.next();
    t.strictSame(await storage.open(), { hardState: undefined, snapshot: undefined, entries: [] });
    await storage.close();
  });

  test('what was appended is there after a restart, byte for byte', async (t, bench) => {
    const first = bench.next();
    await first.open();
    const entries: Entry[] = [
      { ...entry(1), kind: 'empty', data: Buffer.alloc(0) },
      { ...entry(2), kind: 'config' },
      ...range(3, 40),
      entry(41, 1, 'x'.repeat(50_000)),
    ];
    await first.append({ entries, hardState: hard(1, 0, 'node-b') });
    await first.append({ entries: [], hardState: hard(2, 40) });
    await first.close();
    const second = bench.next();
    const state = await second.open();
    t.strictSame(state.hardState, hard(2, 40));
    t.strictSame(state.entries, entries);
    await second.close();
  });

  test('an entry at an old index replaces the tail from there', async (t, bench) => {
    const first = bench.next();
    await first.open();
    await first.append({ entries: range(1, 10), hardState: hard(1, 3) });
    await first.append({ entries: [entry(5, 2)], hardState: hard(2, 3) });
    await first.append({ entries: range(6, 7, 2) });
    await first.close();
    const second = bench.next();
    const state = await second.open();
    t.strictSame(shape(state.entries), [...shape(range(1, 4)), [5, 2], [6, 2], [7, 2]]);
    await second.close();
  });

  test('batches of one turn become durable together and in order', async (t, bench) => {
    const storage = bench.next();
    await storage.open();
    const done: number[] = [];
    const appends = Array.from({ length: 50 }, (_, at) =>
      storage.append({ entries: [entry(at + 1)] }).then(() => done.push(at)),
    );
    await Promise.all(appends);
    t.strictSame(done, [...Array(50).keys()]);
    await storage.close();
    const again = bench.next();
    t.equal((await again.open()).entries.length, 50);
    await again.close();
  });

  test('compaction keeps every entry behind the snapshot', async (t, bench) => {
    const first = bench.next();
    await first.open();
    for (let from = 1; from <= 2000; from += 50) {
      await first.append({ entries: range(from, from + 49), hardState: hard(1, from) });
    }
    await writeSnapshot(first, meta(1500), 'the state');
    await first.compact(asIndex(1400));
    await first.append({ entries: range(2001, 2010), hardState: hard(1, 2010) });
    await first.close();
    const second = bench.next();
    const state = await second.open();
    t.strictSame(state.snapshot, meta(1500));
    t.strictSame(state.hardState, hard(1, 2010));
    t.strictSame(shape(state.entries), shape(range(1501, 2010)));
    const { base, entries = [] } = state.retained ?? {};
    t.ok((base?.index ?? 1400) <= 1401, 'what was to be kept behind the snapshot is there');
    t.strictSame(shape(entries), shape(range((base?.index ?? 0) + 1, 1500)));
    t.equal(base?.term, 1);
    await second.close();
  });

  test('the log behind a snapshot stays usable from its very beginning', async (t, bench) => {
    const first = bench.next();
    await first.open();
    await first.append({ entries: range(1, 10), hardState: hard(1, 10) });
    await writeSnapshot(first, meta(8), 'the state');
    await first.close();
    const second = bench.next();
    const { retained, entries } = await second.open();
    t.strictSame(retained, { base: { index: 0, term: 0 }, entries: range(1, 8) });
    t.strictSame(entries, range(9, 10));
    await second.append({ entries: [entry(9, 2)], hardState: hard(2, 8) });
    await second.close();
    const third = bench.next();
    const state = await third.open();
    t.strictSame(state.retained, { base: { index: 0, term: 0 }, entries: range(1, 8) });
    t.strictSame(state.entries, [entry(9, 2)], 'and what replaces the tail is no part of it');
    await third.close();
  });

  test("a log that begins behind a leader's snapshot begins there after a restart", async (t, bench) => {
    const first = bench.next();
    await first.open();
    await writeSnapshot(first, meta(60, 3), 'of the leader');
    await first.append({ reset: meta(60, 3), entries: [], hardState: hard(3, 60) });
    await first.append({ entries: range(61, 70, 4), hardState: hard(4, 70) });
    await writeSnapshot(first, meta(65, 4), 'our own');
    await first.close();
    const second = bench.next();
    const { retained, entries } = await second.open();
    t.strictSame(retained, { base: { index: 60, term: 3 }, entries: range(61, 65, 4) });
    t.strictSame(shape(entries), shape(range(66, 70, 4)));
    await second.close();
  });

  test('a snapshot from the leader takes the place of the log', async (t, bench) => {
    const first = bench.next();
    await first.open();
    await first.append({ entries: range(1, 100), hardState: hard(1, 40) });
    await writeSnapshot(first, meta(60, 3), 'of the leader');
    await first.append({ reset: meta(60, 3), entries: [], hardState: hard(3, 60) });
    await first.append({ entries: range(61, 62, 3) });
    await first.close();
    const second = bench.next();
    const state = await second.open();
    t.strictSame(state.snapshot, meta(60, 3));
    t.strictSame(shape(state.entries), [
      [61, 3],
      [62, 3],
    ]);
    t.equal(await readText(second), 'of the leader ');
    await second.close();
  });

  test('a crash between a received snapshot and its log record loses nothing', async (t, bench) => {
    const first = bench.next();
    await first.open();
    await first.append({ entries: range(1, 100), hardState: hard(1, 40, 'node-b') });
    await writeSnapshot(first, meta(60, 3), 'of the leader');
    await first.close();
    const second = bench.next();
    const state = await second.open();
    t.strictSame(state.hardState, hard(3, 60));
    t.strictSame(state.entries, [], 'entries of a log that does not hold the snapshot are void');
    await second.close();
  });

  for (const [what, tail] of [
    ['ends before it', 10],
    ['ends at it', 20],
    ['goes on behind it', 30],
  ] as const) {
    const claim = `what follows a received snapshot the log never heard of is kept: a log that ${what}`;
    test(claim, async (t, bench) => {
      const first = bench.next();
      await first.open();
      await first.append({ entries: range(1, tail), hardState: hard(1, 1) });
      await writeSnapshot(first, meta(20, 2), 'of the leader');
      await first.close();
      const second = bench.next();
      t.strictSame((await second.open()).entries, []);
      await second.append({ entries: range(21, 22, 2), hardState: hard(2, 20) });
      await second.close();
      for (const restart of ['second', 'third']) {
        const next = bench.next();
        const state = await next.open();
        t.strictSame(state.snapshot, meta(20, 2));
        t.strictSame(shape(state.entries), shape(range(21, 22, 2)), `${restart} restart`);
        await next.close();
      }
    });
  }

  test('what a reset made void stays so after a compaction', async (t, bench) => {
    const first = bench.next();
    await first.open();
    await first.append({ entries: range(1, 100), hardState: hard(1, 40) });
    await writeSnapshot(first, meta(60, 3), 'of the leader');
    await first.append({ reset: meta(60, 3), entries: [], hardState: hard(3, 60) });
    await first.compact(asIndex(60));
    await first.close();
    const second = bench.next();
    t.strictSame((await second.open()).entries, []);
    await second.close();
  });

  test('a compaction after a roll leaves no entry that came before it', async (t, bench) => {
    const first = bench.next();
    await first.open();
    t.strictSame(await first.oldest(), { entry: undefined, snapshot: undefined });
    await first.append({ entries: range(1, 20), hardState: hard(1, 18, 'node-b') });
    await first.append({ entries: range(19, 21, 2), hardState: hard(2, 21) });
    await writeSnapshot(first, meta(21, 2), 'the state');
    await first.close();
    const second = bench.next();
    await second.open();
    t.strictSame(await second.oldest(), { entry: 1, snapshot: 21 });
    const rolled = second.roll(asIndex(21));
    await second.append({ entries: range(22, 23, 2) });
    await rolled;
    await second.compact(asIndex(21));
    t.strictSame(await second.oldest(), { entry: 22, snapshot: 21 });
    await second.close();
    const third = bench.next();
    const state = await third.open();
    t.strictSame(state.hardState, hard(2, 21));
    t.strictSame(shape(state.entries), shape(range(22, 23, 2)));
    t.strictSame(await third.oldest(), { entry: 22, snapshot: 21 });
    await third.close();
  });

  test('an aborted snapshot leaves the former one', async (t, bench) => {
    const storage = bench.next();
    await storage.open();
    t.equal(await readText(storage), undefined);
    await storage.append({ entries: range(1, 9) });
    await writeSnapshot(storage, meta(5), 'first');
    const writer = await storage.writeSnapshot(meta(7));
    await writer.write(Buffer.from('half'));
    await writer.abort();
    t.equal(await readText(storage), 'first ');
    await storage.close();
  });

  test('what has arrived of a snapshot is there for the next attempt', async (t, bench) => {
    const first = bench.next();
    await first.open();
    const text = Buffer.from('the state of the leader, in two parts');
    const identity = { meta: meta(60, 3), size: text.length, checksum: crc32c(text) };
    t.equal(await first.incoming?.have(identity), 0);
    const begun = await first.incoming?.receive(identity, 0);
    await begun?.write(text.subarray(0, 20));
    await begun?.suspend();
    t.equal(await readText(first), undefined, 'a part is no snapshot');
    t.equal(await first.incoming?.have(identity), 20);
    await first.close();
    const second = bench.next();
    await second.open();
    t.equal(await second.incoming?.have(identity), 20, 'after a restart');
    const resumed = await second.incoming?.receive(identity, 20);
    await resumed?.write(text.subarray(20, 30));
    await resumed?.suspend();
    const last = await second.incoming?.receive(
      identity,
      (await second.incoming?.have(identity)) ?? 0,
    );
    await last?.write(text.subarray(30));
    await last?.commit();
    t.equal(await readText(second), text.toString());
    t.equal(await second.incoming?.have(identity), 0, 'and then it is gone');
    await second.close();
    const third = bench.next();
    t.strictSame((await third.open()).snapshot, meta(60, 3));
    await third.close();
  });

  test('what has arrived of another snapshot is deleted', async (t, bench) => {
    const storage = bench.next();
    await storage.open();
    const identity = { meta: meta(60, 3), size: 100, checksum: 7 };
    const writer = await storage.incoming?.receive(identity, 0);
    await writer?.write(Buffer.alloc(50));
    await writer?.suspend();
    for (const other of [{ checksum: 8 }, { size: 99 }, { meta: meta(61, 3) }]) {
      t.equal(await storage.incoming?.have({ ...identity, ...other }), 0);
    }
    t.equal(await storage.incoming?.have(identity), 0);
    await storage.close();
  });

  test('a snapshot that is not what was announced is forgotten', async (t, bench) => {
    const storage = bench.next();
    await storage.open();
    const identity = { meta: meta(60, 3), size: 50, checksum: 7 };
    const writer = await storage.incoming?.receive(identity, 0);
    await writer?.write(Buffer.alloc(50));
    await t.rejects(writer?.commit() ?? Promise.resolve(), { code: 'stream-closed' });
    await writer?.suspend();
    t.equal(await storage.incoming?.have(identity), 0);
    t.equal(await readText(storage), undefined);
    await storage.close();
  });

  test('a snapshot being read survives its successor', async (t, bench) => {
    const storage = bench.next();
    await storage.open();
    await storage.append({ entries: range(1, 9) });
    await writeSnapshot(storage, meta(5), 'first');
    const reader = await storage.readSnapshot();
    await writeSnapshot(storage, meta(7), 'second');
    const parts: Uint8Array[] = [];
    for await (const chunk of reader?.chunks() ?? []) parts.push(chunk);
    await reader?.release();
    t.equal(Buffer.concat(parts).toString(), 'first ');
    t.equal(await readText(storage), 'second ');
    await storage.close();
  });

  test('nothing is taken after the end', async (t, bench) => {
    const storage = bench.next();
    await storage.open();
    await storage.close();
    await t.rejects(storage.append({ entries: range(1, 1) }), { code: 'disk-failed' });
  });
}
