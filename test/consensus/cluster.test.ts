import t, { type Test } from 'tap';
import { hasCode } from '../../src/lib/errors.ts';
import type { Revision, Store } from '../../src/store/types.ts';
import {
  TestCluster,
  type TestClusterOptions,
  type TestMember,
  until,
} from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

async function clusterOf(t: Test, names: string[], options: TestClusterOptions = {}) {
  const cluster = await TestCluster.of(names, options);
  t.teardown(() => cluster.stop());
  return cluster;
}

async function write(store: Store, name: string, value: unknown = name): Promise<Revision> {
  const result = await store.transact({
    checks: [],
    operations: [put(`/test/things//${name}`, { value })],
  });
  if (result.kind !== 'committed') throw new Error(result.kind);
  return result.revision;
}

/** Everything a member holds, as text. */
function contents(member: TestMember): string[] {
  const listed = member.store.list('/');
  if (listed.kind !== 'listed') throw new Error('too old');
  return listed.items.map((item) => `${item.key} ${item.bytes.toString()}`);
}

/** Waits until all members hold the same, and returns it. */
async function agreement(cluster: TestCluster): Promise<string[]> {
  const members = [...cluster.members.values()];
  const leader = await cluster.leader();
  await leader.store.readBarrier();
  const revision = leader.store.revision();
  await until(() => members.every(({ store }) => store.revision() >= revision), 'same revision');
  const expected = contents(leader);
  for (const member of members) {
    if (contents(member).join('\n') !== expected.join('\n')) {
      throw new Error(`${member.name} differs from ${leader.name}`);
    }
  }
  return expected;
}

t.test('consensus: any member takes writes, and all hold the same bytes', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  await Promise.all(
    Array.from({ length: 300 }, (_, n) => write(cluster.member('abc'[n % 3] ?? '').store, `t${n}`)),
  );
  t.equal((await agreement(cluster)).length, 300);
  t.equal(cluster.member('a').store.revision(), 300);
});

t.test('consensus: a member reads its own write', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const [follower] = cluster.followers(await cluster.leader());
  for (let round = 0; round < 20 && follower; round++) {
    const revision = await write(follower.store, 'x', round);
    t.equal(follower.store.get('/test/things//x')?.revision, revision);
  }
});

t.test('consensus: a write that is too large is refused at once, at any member', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const value = 'x'.repeat(3 * 1024 * 1024);
  for (const member of cluster.members.values()) {
    await t.rejects(write(member.store, 'x', value), { code: 'frame-too-large' });
  }
  await write(cluster.member('b').store, 'x', value.slice(0, 1_500_000));
  await agreement(cluster);
});

t.test('consensus: a killed leader is replaced, and no write is lost or doubled', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const survivors = cluster.followers(leader);
  let stop = false;
  const acknowledged: string[] = [];
  const writers = survivors.map(async ({ name, store }) => {
    for (let round = 0; !stop; round++) {
      const key = `${name}${round}`;
      const result = await store.transact({
        checks: [{ key: `/test/things//${key}`, is: 'absent' }],
        operations: [put(`/test/things//${key}`, {})],
      });
      // Applied twice, the second time would find its own object.
      t.equal(result.kind, 'committed', key);
      acknowledged.push(key);
    }
  });
  await until(() => acknowledged.length > 50, 'writes flow');
  cluster.kill(leader.name);
  const before = acknowledged.length;
  await until(() => acknowledged.length > before + 50, 'writes flow again');
  stop = true;
  await Promise.all(writers);
  const held = new Set((await agreement(cluster)).map((line) => line.split(' ')[0]));
  t.ok(acknowledged.every((key) => held.has(`/test/things//${key}`)));
  t.equal(held.size, acknowledged.length);
});

t.test('consensus: a minority neither writes nor reads, and says so', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const old = await cluster.leader();
  const rest = cluster.followers(old).map(({ name }) => name);
  await write(old.store, 'before');
  cluster.network.cut([old.name], rest);
  const tryWrite = (deadlineMs: number) => {
    const operations = [put('/test/things//lost', {})];
    return old.store.transact({ checks: [], operations }, { deadlineMs });
  };
  const refusals = Promise.all([
    t.rejects(old.store.readBarrier({ deadlineMs: 1500 }), { code: 'no-leader' }),
    t.rejects(tryWrite(1500), { code: 'outcome-unknown' }, 'it was in the log already'),
  ]);
  const majority = await cluster.leader(rest);
  await write(majority.store, 'before', 'changed');
  await refusals;
  t.match(old.leadership.at(-1), { kind: 'lost' }, 'the old leader knows');
  await t.rejects(tryWrite(300), { code: 'no-leader' }, 'and has no leader');
  const impatient = { deadlineMs: 60_000, leaderWaitMs: 100 };
  const dropped = await old.consensus.propose(Buffer.from('x'), impatient);
  t.match(dropped, { kind: 'dropped', code: 'no-leader' }, 'nor waits for one longer than told');
  cluster.network.heal();
  await old.store.readBarrier({ deadlineMs: 10_000 });
  t.match(old.store.get('/test/things//before')?.object, { value: 'changed' });
  await agreement(cluster);
});

t.test('consensus: a follower that rejoins does not disturb the leader', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const { term } = leader.consensus.status();
  const [cutOff] = cluster.followers(leader);
  const name = cutOff?.name ?? '';
  const others = [...cluster.members.keys()].filter((other) => other !== name);
  cluster.network.cut([name], others, { notice: true });
  await until(() => cutOff?.consensus.status().leader === undefined, 'it misses the leader');
  await write(leader.store, 'x');
  cluster.network.heal();
  await until(() => cutOff?.store.get('/test/things//x') !== undefined, 'it catches up');
  t.equal((await cluster.leader()).name, leader.name);
  t.equal(leader.consensus.status().term, term);
});

t.test('consensus: writes through cut links take effect exactly once', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const [follower] = cluster.followers(leader);
  if (follower === undefined) return t.fail('no follower');
  let cuts = 0;
  const unsettled = (async () => {
    for (; cuts < 20; cuts++) {
      cluster.network.cut([follower.name], [leader.name], { notice: cuts % 2 === 0 });
      await new Promise((resolve) => setTimeout(resolve, 15));
      cluster.network.heal();
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  })();
  const results: string[] = [];
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let round = 0; cuts < 20; round++) {
        const key = `/test/things//w${worker}-${round}`;
        const transaction = {
          checks: [{ key, is: 'absent' as const }],
          operations: [put(key, {})],
        };
        results.push((await follower.store.transact(transaction)).kind);
      }
    }),
  );
  await unsettled;
  t.strictSame(new Set(results), new Set(['committed']));
  t.equal((await agreement(cluster)).length, results.length);
  t.equal(leader.store.revision(), results.length, 'one revision for each');
});

t.test('consensus: all members restart from their disks', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  await Promise.all(Array.from({ length: 100 }, (_, n) => write(leader.store, `t${n}`)));
  const before = await agreement(cluster);
  for (const name of ['a', 'b', 'c']) cluster.kill(name);
  for (const name of ['a', 'b', 'c']) await cluster.start(name);
  t.strictSame(await agreement(cluster), before);
  t.equal(await write((await cluster.leader()).store, 'after'), 101);
});

t.test('consensus: members that lag behind the log catch up from a snapshot', async (t) => {
  const snapshots = { snapshotEntries: 60, trailingEntries: 10 };
  const cluster = await clusterOf(t, ['a', 'b', 'c'], { consensus: { snapshots } });
  await write((await cluster.leader()).store, 'doomed');
  await write((await cluster.leader()).store, 'kept');
  await agreement(cluster);
  const [absent] = cluster.followers(await cluster.leader());
  if (absent === undefined) return t.fail('no follower');
  const heard: string[] = [];
  absent.store.watch('/test/', undefined, (events) => {
    for (const event of events) heard.push(`${event.type} ${event.object.key}`);
  });
  const rest = [...cluster.members.keys()].filter((name) => name !== absent.name);
  cluster.network.cut([absent.name], rest, { notice: true });
  const leader = await cluster.leader(rest);
  for (let round = 0; round < 40; round++) {
    await Promise.all(Array.from({ length: 10 }, (_, n) => write(leader.store, `t${n}`, round)));
  }
  await leader.store.transact({
    checks: [],
    operations: [{ op: 'delete', key: '/test/things//doomed' }],
  });
  t.ok((cluster.disks.get(leader.name)?.snapshot?.meta.index ?? 0) > 300, 'the log was cut');
  cluster.network.heal();
  t.equal((await agreement(cluster)).length, 11);
  t.ok(heard.length < 150, 'the watcher got the difference, not the history');
  t.ok(heard.includes('delete /test/things//doomed'));
  t.ok(heard.includes('put /test/things//t9'));
  t.notOk(heard.includes('put /test/things//kept'), 'nor what did not change');

  const newcomer = await cluster.start('d');
  await leader.consensus.addMember('d');
  await until(() => newcomer.store.revision() === leader.store.revision(), 'd catches up');
  await agreement(cluster);
  cluster.kill('d');
  await cluster.start('d');
  await agreement(cluster);
});

t.test('consensus: of 1 to 5 members 1, 1, 3, 3 and 5 vote, without anybody asking', async (t) => {
  const cluster = await clusterOf(t, ['a']);
  const founder = cluster.member('a');
  const voters = () => founder.consensus.status().confState.voters.length;
  const settled = () => founder.consensus.status().confState.votersOutgoing.length === 0;
  for (const [name, expected] of [
    ['b', 1],
    ['c', 3],
    ['d', 3],
    ['e', 5],
  ] as const) {
    await cluster.start(name);
    // Orders are taken anywhere.
    await [...cluster.members.values()][0]?.consensus.addMember(name);
    await until(() => voters() === expected && settled(), `${expected} voters with ${name}`);
    await write(founder.store, name);
  }
  await agreement(cluster);
});

t.test('consensus: a removed leader hands over first, and is gone for good', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const [follower] = cluster.followers(leader);
  await follower?.consensus.removeMember(leader.name);
  const rest = cluster.followers(leader).map(({ name }) => name);
  const successor = await cluster.leader(rest);
  const conf = successor.consensus.status().confState;
  t.notOk([...conf.voters, ...conf.learners].includes(leader.name));
  await until(
    () => successor.consensus.status().confState.voters.length === 1,
    'two members have one voter',
  );
  await write(successor.store, 'x');
  await t.rejects(leader.store.readBarrier({ deadlineMs: 300 }), { code: 'no-leader' });
});

t.test('consensus: a removal that would cost the quorum is refused', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const [first, second] = cluster.followers(leader);
  cluster.kill(first?.name ?? '');
  const refused = async () => {
    try {
      await leader.consensus.removeMember(second?.name ?? '');
      return false;
    } catch (error) {
      return hasCode(error, 'config-invalid');
    }
  };
  t.ok(await refused(), 'at once: whether the others are there is asked, not remembered');
  await write(leader.store, 'x');
});

t.test('consensus: leadership goes to whom it is given', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const [first, second] = cluster.followers(leader);
  await leader.consensus.transferLeadership(first?.name);
  t.equal((await cluster.leader()).name, first?.name);
  t.strictSame(
    leader.leadership.slice(-2).map(({ kind }) => kind),
    ['gained', 'lost'],
  );
  await until(() => first?.leadership.at(-1)?.kind === 'gained', 'the successor knows');
  await second?.consensus.transferLeadership(second.name);
  t.equal((await cluster.leader()).name, second?.name, 'also when another member asks');
});

t.test('consensus: a member whose disk fails ends, and the others go on', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const disk = cluster.disks.get(leader.name);
  if (disk === undefined) return t.fail('no disk');
  disk.failNextAppend = true;
  const [follower] = cluster.followers(leader);
  if (follower === undefined) return t.fail('no follower');
  const written = write(follower.store, 'x');
  await until(() => leader.fatal.length === 1, 'it ends');
  t.match(leader.fatal, [{ code: 'disk-failed' }]);
  cluster.kill(leader.name);
  await written;
  await agreement(cluster);
});

t.test('consensus: a leader whose disk hangs hands over', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c'], { consensus: { diskStallMs: 300 } });
  const leader = await cluster.leader();
  const disk = cluster.disks.get(leader.name);
  if (disk === undefined) return t.fail('no disk');
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  disk.beforeSync = () => released;
  const rest = cluster.followers(leader);
  const written = write(rest[0]?.store ?? leader.store, 'x');
  await cluster.leader(rest.map(({ name }) => name));
  await written;
  release();
  await agreement(cluster);
});

t.test('consensus: garbage from a peer is refused and harms nobody', async (t) => {
  const cluster = await clusterOf(t, ['a', 'b', 'c']);
  const leader = await cluster.leader();
  const stranger = cluster.network.start('x');
  const frames = [
    [],
    [1, 2, 3],
    [0xc1],
    [0x91, 0x00],
    [0x91, 0x94, 4, 0xa1, 0x78, 0xa1, 0x61, 0xff],
  ];
  for (const protocol of ['/skein/raft/1', '/skein/raft-snapshot/1']) {
    for (const frame of frames) {
      const stream = await stranger.openStream(leader.name, protocol, { deadlineMs: 1000 });
      await stream.send(Uint8Array.from(frame)).catch(() => {});
      await stream.closeWrite();
    }
  }
  for (const method of ['consensus.propose', 'consensus.control']) {
    for (const body of [null, 7, 'x', { items: 'x', deadlineMs: 1 }, { order: 'add', node: 4 }]) {
      await stranger
        .request(leader.name, method, body, { deadlineMs: 1000 })
        .then((answer) => t.match(answer, { kind: 'refused' }))
        .catch((error) => t.equal(error.code, 'config-invalid'));
    }
  }
  await write(leader.store, 'x');
  t.strictSame(leader.fatal, []);
  t.match(await stranger.request(leader.name, 'consensus.status', null, { deadlineMs: 1000 }), {
    role: 'leader',
  });
});
