/**
 * A member and a leader's snapshots, step by step: the test plays the leader, so that it can send what a real one
 * sends only once in a long while.
 */

import { Packr } from 'msgpackr';
import t, { type Test } from 'tap';
import { asIndex, asTerm, type Entry, type Message } from '../../raft/types.ts';
import { createConsensus } from '../../src/consensus/consensus.ts';
import type { ConsensusOptions } from '../../src/consensus/consensus-options.ts';
import { createMemoryStorage, MemoryDisk } from '../../src/consensus/memory-storage.ts';
import { decodeMessages, encodeMessages } from '../../src/consensus/message-codec.ts';
import { SnapshotTransfer } from '../../src/consensus/snapshot-transfer.ts';
import { SNAPSHOT_PROTOCOL } from '../../src/consensus/snapshot-wire.ts';
import { RAFT_PROTOCOL } from '../../src/consensus/transport.ts';
import type { StateMachine } from '../../src/consensus/types.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { crc32c } from '../../src/lib/crc32c.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { until } from '../support/consensus-cluster.ts';
import { MemoryNetwork } from '../support/memory-mesh.ts';

const packr = new Packr({ useRecords: false });
/** Entries that take as many turns of the event loop as half of them: longer than a transfer. */
const BACKLOG = 4000;
const confState = {
  voters: ['a'],
  votersOutgoing: [],
  learners: ['b'],
  learnersNext: [],
  autoLeave: false,
};
const metaOf = (index: number, term: number) => ({
  index: asIndex(index),
  term: asTerm(term),
  confState,
});

/** The member b, which knows nothing yet, and the means to be its leader a. */
async function bench(t: Test, options: ConsensusOptions = {}) {
  const network = new MemoryNetwork();
  const leader = network.start('a');
  const heard: Message[] = [];
  leader.handle(RAFT_PROTOCOL, (stream) => {
    void (async () => {
      for await (const frame of stream.frames) {
        const messages = decodeMessages(frame, 'b', 'a');
        if (typeof messages !== 'string') heard.push(...messages);
      }
    })().catch(() => {});
  });
  const world = { restored: [] as string[], gate: Promise.resolve(), lateMs: 0 };
  const machine: StateMachine = {
    // As long as a slice of the applier, so that the event loop gets a turn after each page.
    apply: (entries) => {
      world.lateMs += 10;
      return entries.map(() => null);
    },
    snapshot: () => ({
      async *chunks() {
        yield Buffer.from('own');
      },
      release: () => {},
    }),
    restore: async (chunks) => {
      const parts: Uint8Array[] = [];
      for await (const chunk of chunks) parts.push(chunk);
      world.restored.push(Buffer.concat(parts).toString());
      await world.gate;
    },
  };
  const fatal: unknown[] = [];
  const disk = new MemoryDisk();
  const consensus = await createConsensus(
    {
      mesh: network.start('b'),
      storage: createMemoryStorage(disk, { nodeId: 'b', clusterId: 'test' }),
      stateMachine: machine,
      clock: { ...systemClock, monotonicMs: () => performance.now() + world.lateMs },
      random: seededRandom(1),
      logger: silentLogger,
    },
    { onFatal: (error) => fatal.push(error), ...options },
  );
  t.teardown(async () => {
    await consensus.stop();
    network.kill('a');
    network.kill('b');
  });

  /** Sends a snapshot in `term`; answers what b answered. */
  async function sendSnapshot(index: number, term: number, metaTerm = term, parts = 1) {
    const stream = await leader.openStream('b', SNAPSHOT_PROTOCOL, { deadlineMs: 5000 });
    const answers = stream.frames[Symbol.asyncIterator]();
    const answer = answers.next().then((frame) => packr.unpack(frame.value ?? Buffer.of(0xc0)));
    const send = async () => {
      const text = Buffer.from(`state ${index}`.repeat(parts));
      await stream.send(packr.pack([term, metaOf(index, metaTerm), text.length]));
      const bytes = text.length / parts;
      for (let at = 0; at < text.length; at += bytes) {
        await stream.send(Buffer.concat([Buffer.of(1), text.subarray(at, at + bytes)]));
      }
      const end = Buffer.of(2, 0, 0, 0, 0);
      end.writeUInt32LE(crc32c(text), 1);
      await stream.send(end);
      await stream.closeWrite();
    };
    void send().catch(() => {});
    return (await answer) as [boolean, string];
  }

  /** Entries behind `from`, committed: half of them data, so that each makes a page of its own. */
  async function sendEntries(from: number, count: number, term: number): Promise<void> {
    const entries = Array.from({ length: count }, (_, at): Entry => {
      const kind = at % 2 === 0 ? 'data' : 'empty';
      const index = asIndex(from + 1 + at);
      return { index, term: asTerm(term), kind, data: Buffer.alloc(kind === 'data' ? 1 : 0) };
    });
    const stream = await leader.openStream('b', RAFT_PROTOCOL, { deadlineMs: 5000 });
    const envelope = { from: 'a', to: 'b', term: asTerm(term) };
    const previous = { prevIndex: asIndex(from), prevTerm: asTerm(term) };
    const commit = asIndex(from + count);
    await stream.send(
      encodeMessages([{ type: 'append', ...envelope, ...previous, entries, commit }]),
    );
  }

  const applied = () => consensus.status().applied;
  const acknowledged = () =>
    heard.flatMap((message) => (message.type === 'append-response' ? [message.index] : []));
  return { world, fatal, disk, network, leader, applied, acknowledged, sendSnapshot, sendEntries };
}

t.test('snapshots: one that a member has already is acknowledged, not refused', async (t) => {
  const { applied, acknowledged, fatal, sendSnapshot } = await bench(t);
  t.match(await sendSnapshot(10, 1), [true, '']);
  await until(() => applied() === 10 && acknowledged().includes(asIndex(10)), 'it is installed');
  const before = acknowledged().length;
  // As after the loss of both the acknowledgement and the report.
  t.match(await sendSnapshot(10, 1), [true, '']);
  await until(() => acknowledged().length > before, 'the leader hears how far the member is');
  t.equal(acknowledged().at(-1), 10);
  t.match(await sendSnapshot(5, 1, 1, 500), [true, ''], 'nor need all its bytes be sent');
  t.strictSame(fatal, []);
});

t.test('snapshots: a sender stops when the member says that it has this one', async (t) => {
  const network = new MemoryNetwork();
  const reports: [string, boolean][] = [];
  const received: Message[] = [];
  const transfer = (name: string) => {
    const storage = createMemoryStorage(new MemoryDisk(), { nodeId: name, clusterId: 'test' });
    const made = new SnapshotTransfer(
      {
        mesh: network.start(name),
        storage,
        clock: systemClock,
        random: seededRandom(1),
        logger: silentLogger,
      },
      {
        onSent: (node, ok) => reports.push([node, ok]),
        onReceived: (message) => received.push(message),
        verdict: () => 'known',
        progressOf: () => undefined,
        lastIndex: () => 0,
      },
      { stallMs: 1000 },
    );
    t.teardown(() => {
      made.stop();
      network.kill(name);
    });
    return { made, storage };
  };
  const [sender, receiver] = [transfer('a'), transfer('b')];
  const snapshot = metaOf(10, 1);
  const writer = await sender.storage.writeSnapshot(snapshot);
  // More than fits into the stream while nobody reads.
  await writer.write(Buffer.alloc(8 * 1024 * 1024));
  await writer.commit();
  sender.made.send({ type: 'snapshot', from: 'a', to: 'b', term: asTerm(1), snapshot });
  await until(() => reports.length > 0, 'the transfer ends');
  t.strictSame(reports, [['b', true]]);
  t.strictSame(received, [{ type: 'snapshot', from: 'a', to: 'b', term: 1, snapshot }]);
  t.equal(await receiver.storage.readSnapshot(), undefined);
});

t.test('snapshots: a newer one on disk whose message came too late is installed', async (t) => {
  const { applied, world, fatal, sendSnapshot } = await bench(t);
  await sendSnapshot(10, 5);
  await until(() => applied() === 10, 'it is installed');
  t.match(await sendSnapshot(30, 4), [true, ''], 'of a leader whose time is over');
  t.equal(applied(), 10);
  t.match(await sendSnapshot(20, 5), [true, '']);
  await until(() => applied() > 10 || fatal.length > 0, 'the next one is installed');
  t.strictSame(fatal, []);
  t.equal(applied(), 30);
  t.strictSame(world.restored, ['state 10', 'state 30']);
});

t.test('snapshots: while one is being installed another one is refused', async (t) => {
  const { applied, world, fatal, disk, sendSnapshot } = await bench(t);
  let open = () => {};
  world.gate = new Promise((resolve) => {
    open = resolve;
  });
  t.match(await sendSnapshot(10, 1), [true, '']);
  await until(() => world.restored.length === 1, 'it is being installed');
  t.match(await sendSnapshot(30, 1), [false, /another snapshot/]);
  t.equal(disk.snapshot?.meta.index, 10);
  open();
  await until(() => applied() === 10, 'it is installed');
  t.match(await sendSnapshot(30, 1), [true, '']);
  await until(() => applied() === 30, 'the other one is, too');
  t.strictSame(fatal, []);
});

t.test('snapshots: one that comes before its forerunner is installed harms nobody', async (t) => {
  const { applied, fatal, sendSnapshot, sendEntries } = await bench(t);
  await sendSnapshot(10, 1);
  await until(() => applied() === 10, 'it is installed');
  await sendEntries(10, BACKLOG, 1);
  await until(() => applied() > 10, 'entries are being applied');
  await sendSnapshot(10_000, 1);
  t.ok(applied() < 10 + BACKLOG, 'the install waits for the backlog');
  await sendSnapshot(20_000, 1);
  await until(() => applied() >= 10_000 || fatal.length > 0, 'the first one is installed');
  t.strictSame(fatal, []);
});

t.test('snapshots: a member takes none of its own while it installs one', async (t) => {
  const snapshots = { snapshotEntries: 50, trailingEntries: 10 };
  const { applied, fatal, disk, sendSnapshot, sendEntries } = await bench(t, { snapshots });
  await sendSnapshot(10, 1);
  await until(() => applied() === 10, 'it is installed');
  await sendEntries(10, BACKLOG, 1);
  await until(() => applied() > 10, 'entries are being applied');
  await sendSnapshot(10_000, 1);
  t.ok(applied() < 10 + BACKLOG, 'the install waits for the backlog');
  await until(() => applied() === 10_000 || fatal.length > 0, 'it is installed');
  t.strictSame(fatal, []);
  const { snapshot } = disk;
  t.equal(snapshot?.meta.index, 10_000);
  t.equal(snapshot?.bytes.toString(), 'state 10000', 'and what was installed is not written again');
});
