/** Transfers of snapshots that break off, or meet what is left of others. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import { asIndex, asTerm, type Message, type ProgressStatus } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { SnapshotTransfer } from '../../src/consensus/snapshot-transfer.ts';
import type { Storage } from '../../src/consensus/storage.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { until } from '../support/consensus-cluster.ts';
import { MemoryNetwork } from '../support/memory-mesh.ts';

const SIZE = 24 * 1024 * 1024;
const lists = { votersOutgoing: [], learnersNext: [], autoLeave: false };
const SNAPSHOT = {
  index: asIndex(10),
  term: asTerm(1),
  confState: { ...lists, voters: ['a'], learners: ['b'] },
};

/** A leader a with a snapshot of 24 MiB, and a member b, both with real files. */
async function bench(t: Test, attemptsMax = 6) {
  const directory = await mkdtemp(`${tmpdir()}/skein-resume-`);
  const network = new MemoryNetwork();
  const metrics = createMetrics();
  const reports: boolean[] = [];
  const received: Message[] = [];
  const reachable = { now: true };
  const position = { last: 0, match: 0 };
  const transfers: SnapshotTransfer[] = [];
  const open = async (name: string) => {
    const options = { nodeId: name, clusterId: 'c', segmentBytes: 16 * 1024 };
    const storage = createFileStorage({ ...options, directory: `${directory}/${name}` });
    await storage.open();
    return storage;
  };
  const attach = (name: string, storage: Storage) => {
    const progress = () =>
      ({
        node: 'b',
        recentlyActive: reachable.now,
        match: position.match,
      }) as unknown as ProgressStatus;
    const transfer = new SnapshotTransfer(
      {
        mesh: network.start(name),
        storage,
        clock: systemClock,
        random: seededRandom(1),
        logger: silentLogger,
        ...(name === 'a' ? { metrics } : {}),
      },
      {
        onSent: (_node, ok) => reports.push(ok),
        onReceived: (message) => received.push(message),
        verdict: () => 'wanted',
        progressOf: progress,
        lastIndex: () => position.last,
      },
      { stallMs: 2000, attemptsMax },
    );
    transfers.push(transfer);
    return transfer;
  };
  const storages = { a: await open('a'), b: await open('b') };
  t.teardown(async () => {
    for (const transfer of transfers) transfer.stop();
    for (const name of ['a', 'b']) network.kill(name);
    await Promise.all(Object.values(storages).map((storage) => storage.close()));
    await rm(directory, { recursive: true });
  });
  const writer = await storages.a.writeSnapshot(SNAPSHOT);
  for (let at = 0; at < SIZE; at += 1024 * 1024) {
    await writer.write(Buffer.alloc(1024 * 1024, at / (1024 * 1024)));
  }
  await writer.commit();
  const sender = attach('a', storages.a);
  const send = () =>
    sender.send({ type: 'snapshot', from: 'a', to: 'b', term: asTerm(1), snapshot: SNAPSHOT });
  /** Bytes of snapshots that a has sent. */
  const sent = async () => {
    const metric = metrics.getSingleMetric('skein_raft_snapshot_transfer_bytes_total');
    return (await metric?.get())?.values[0]?.value ?? 0;
  };
  const percent = async () => {
    const metric = metrics.getSingleMetric('skein_raft_snapshot_transfer_percent');
    return (await metric?.get())?.values.map(({ value }) => value) ?? [];
  };
  const arrived = async () => {
    const reader = await storages.b.readSnapshot();
    let bytes = 0;
    // Its own checksum is looked at on the way.
    for await (const chunk of reader?.chunks() ?? []) bytes += chunk.length;
    await reader?.release();
    return bytes;
  };
  const files = () => readdir(`${directory}/b/snapshots`);
  const world = { network, storages, reports, received, reachable, position, sender };
  return { ...world, attach, open, directory, send, sent, percent, arrived, files };
}

/** Waits for what takes a promise to tell. */
async function eventually(condition: () => Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(what);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

t.test('snapshots: a broken stream goes on where the receiver is', async (t) => {
  const { network, storages, reports, received, attach, send, sent, percent, arrived, files } =
    await bench(t);
  attach('b', storages.b);
  send();
  for (const part of [0.25, 0.6]) {
    await eventually(async () => (await sent()) > SIZE * part, 'it is under way');
    t.ok((await percent())[0], 'and its progress can be seen');
    network.cut(['a'], ['b'], { notice: true });
    await new Promise((resolve) => setImmediate(resolve));
    network.heal();
  }
  await until(() => reports.length > 0, 'the transfer ends');
  t.strictSame(reports, [true], 'as one transfer');
  t.equal(received.length, 1);
  t.equal(await arrived(), SIZE);
  // Without going on it would have been sent almost twice.
  t.ok((await sent()) < SIZE * 1.5, `${((await sent()) / SIZE).toFixed(2)} times its size`);
  t.notMatch((await files()).join(), /incoming/, 'nothing is left');
  t.strictSame(await percent(), []);
});

t.test('snapshots: a receiver that restarted goes on from its disk', async (t) => {
  const { network, storages, reports, reachable, attach, open, send, sent, arrived, files } =
    await bench(t, 2);
  const first = attach('b', storages.b);
  send();
  await eventually(async () => (await sent()) > SIZE / 2, 'it is under way');
  reachable.now = false;
  first.stop();
  network.kill('b');
  await until(() => reports.length > 0, 'nobody goes on while it is away');
  t.strictSame(reports, [false]);
  await eventually(async () => (await files()).includes('incoming.json'), 'what came is kept');
  await storages.b.close();
  storages.b = await open('b');
  attach('b', storages.b);
  reachable.now = true;
  const before = await sent();
  send();
  await until(() => reports.length > 1, 'the next transfer ends');
  t.strictSame(reports, [false, true]);
  t.equal(await arrived(), SIZE);
  t.ok((await sent()) - before < SIZE * 0.9, 'not all of it was sent again');
});

t.test('snapshots: a part that was damaged meanwhile is not gone on from', async (t) => {
  const { directory, storages, reports, attach, send, sent, arrived } = await bench(t);
  const reader = await storages.a.readSnapshot();
  const { checksum = 0 } = reader ?? {};
  await reader?.release();
  const writer = await storages.b.incoming?.receive({ meta: SNAPSHOT, size: SIZE, checksum }, 0);
  await writer?.write(Buffer.alloc(1024 * 1024, 0));
  await writer?.suspend();
  const path = `${directory}/b/snapshots/incoming.part`;
  const bytes = await readFile(path);
  bytes[5000] = 1;
  await writeFile(path, bytes);
  attach('b', storages.b);
  send();
  await until(() => reports.length > 0, 'the transfer ends');
  t.strictSame(reports, [true]);
  t.equal(await sent(), SIZE, 'all of it was sent');
  t.equal(await arrived(), SIZE);
});

t.test('snapshots: attempts are few', async (t) => {
  const { network, reports, send } = await bench(t, 3);
  let opened = 0;
  network.start('b').handle('/skein/raft-snapshot/1', (stream) => {
    opened++;
    stream.abort();
  });
  send();
  await until(() => reports.length > 0, 'it gives up');
  t.strictSame(reports, [false]);
  t.equal(opened, 3);
});

t.test('snapshots: the log behind one is kept until its receiver has caught up', async (t) => {
  const { storages, reports, reachable, position, sender, attach, send } = await bench(t);
  attach('b', storages.b);
  t.equal(sender.oldestWanted, Number.POSITIVE_INFINITY);
  send();
  await until(() => sender.oldestWanted === SNAPSHOT.index, 'while it is sent');
  Object.assign(position, { last: 5000, match: 10 });
  await until(() => reports.length > 0, 'the transfer ends');
  t.equal(sender.oldestWanted, 10, 'and then as far as it has come');
  position.match = 3000;
  t.equal(sender.oldestWanted, 3000);
  reachable.now = false;
  t.equal(sender.oldestWanted, Number.POSITIVE_INFINITY, 'while it answers');
  reachable.now = true;
  send();
  await until(() => reports.length > 1, 'another one');
  t.equal(sender.oldestWanted, 3000);
  position.match = 4990;
  t.equal(sender.oldestWanted, Number.POSITIVE_INFINITY, 'and has not caught up');
});
