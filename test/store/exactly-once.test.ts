/** Writes whose answers are lost, through a group of real members: each is done once, and its fate becomes known. */

import t, { type Test } from 'tap';
import { encodeCommand } from '../../src/store/commands.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Transaction } from '../../src/store/types.ts';
import { TestCluster, type TestMember, until } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

const NAMES = ['a', 'b', 'c'];

/** A conflict would mean that it was done before. */
const create = (key: string): Transaction => ({
  checks: [{ key, is: 'absent' }],
  operations: [put(key, {})],
});

async function group(t: Test, consensus = {}): Promise<TestCluster> {
  const cluster = await TestCluster.of(NAMES, { consensus });
  t.teardown(() => cluster.stop());
  return cluster;
}

/** Cuts what `from` sends to `to`, without telling either. */
function silence(cluster: TestCluster, from: TestMember, to: TestMember): void {
  cluster.network.link(from.name, to.name).state = 'silent';
}

async function agree(t: Test, cluster: TestCluster): Promise<void> {
  const members = [...cluster.members.values()];
  const applied = Math.max(...members.map(({ state }) => state.appliedIndex));
  await until(() => members.every(({ state }) => state.appliedIndex >= applied), 'everybody');
  await until(() => new Set(members.map(({ state }) => state.digest())).size === 1, 'one state');
  t.pass('all replicas are equal');
}

t.test(
  'exactly once: a forwarded write is done and its answer lost; the leader dies; its fate is known',
  async (t) => {
    const cluster = await group(t);
    const leader = await cluster.leader();
    const [writer, other] = cluster.followers(leader) as [TestMember, TestMember];
    await writer.store.transact(create('/x/y//warm'));
    silence(cluster, leader, writer);
    const written = writer.store.transact(create('/x/y//k'), { deadlineMs: 14_000 });
    await until(() => other.state.get('/x/y//k') !== undefined, 'done, and known to a majority');
    const revision = other.state.get('/x/y//k')?.revision;
    cluster.kill(leader.name);
    t.strictSame(await written, { kind: 'committed', revision });
    t.equal(writer.state.get('/x/y//k')?.revision, revision);
    await agree(t, cluster);
  },
);

t.test(
  'exactly once: the writer asks the same leader again, which has applied it already',
  async (t) => {
    const cluster = await group(t);
    const leader = await cluster.leader();
    const [writer] = cluster.followers(leader) as [TestMember];
    let asked = 0;
    const forgetful = createReplicatedStore({
      state: writer.state,
      consensus: {
        readBarrier: (options) => writer.consensus.readBarrier(options),
        async propose(data, options) {
          const result = await writer.consensus.propose(data, options);
          return ++asked <= 3 ? { kind: 'unknown', reason: 'the answer was lost' } : result;
        },
      },
    });
    const result = await forgetful.transact(create('/x/y//k'));
    t.match(result, { kind: 'committed' });
    t.equal(asked, 4);
    t.equal(writer.state.get('/x/y//k')?.revision, writer.state.revision(), 'and nothing after it');
    await agree(t, cluster);
  },
);

t.test(
  'exactly once: a repetition finds the first result behind a snapshot and a restart of all',
  async (t) => {
    const cluster = await group(t, { snapshotEntries: 20, trailingEntries: 1 });
    const leader = await cluster.leader();
    const origin = {
      client: 'gone',
      sequence: 1,
      acknowledged: 0,
      born: leader.state.appliedIndex,
    };
    const data = encodeCommand({ ...origin, kind: 'transaction', transaction: create('/x/y//k') });
    const first = await leader.consensus.propose(data);
    t.match(first, { kind: 'applied', result: { kind: 'committed' } });
    for (let n = 0; n < 60; n++) await leader.store.transact(create(`/x/y//n${n}`));
    for (const name of NAMES) cluster.kill(name);
    for (const name of NAMES) await cluster.start(name);
    const again = await (await cluster.leader()).consensus.propose(data);
    if (first.kind !== 'applied' || again.kind !== 'applied') return t.fail('not applied');
    t.strictSame(again.result, first.result);
    t.equal(cluster.member('a').state.count('/x/y/'), 61);
    await agree(t, cluster);
  },
);

t.test(
  'exactly once: when its session has expired meanwhile, the writer is told that it cannot know',
  async (t) => {
    // The pauses between attempts do not keep a process alive.
    const alive = setInterval(() => {}, 1000);
    t.teardown(() => clearInterval(alive));
    const state = new StoreState();
    let index = 0;
    const apply = (data: Uint8Array) =>
      state.apply([{ index: ++index as never, term: 1 as never, data }])[0];
    let attempts = 0;
    const store = createReplicatedStore({
      state,
      consensus: {
        readBarrier: async () => {},
        async propose(data) {
          const result = apply(data);
          if (++attempts > 1) return { kind: 'applied', index: index as never, result };
          // More than a session's time passes before the repetition: another client is busy.
          index += 1_000_001;
          const origin = { client: 'busy', sequence: 1, acknowledged: 0, born: index };
          apply(encodeCommand({ ...origin, kind: 'transaction', transaction: create('/x/y//b') }));
          return { kind: 'unknown', reason: 'the answer was lost' };
        },
      },
    });
    await t.rejects(store.transact(create('/x/y//k')), {
      code: 'outcome-unknown',
      message: /session has expired/,
    });
    t.equal(state.count('/x/y/'), 2, 'it was done once, and not again');
    t.match(
      await store.transact(create('/x/y//next')),
      { kind: 'committed' },
      'the next one is well',
    );
  },
);

t.test(
  'exactly once: many writers through deaths of leaders; nothing is done twice, nothing acknowledged is lost',
  async (t) => {
    const cluster = await group(t);
    const acknowledged: string[] = [];
    let running = true;
    const outcomes = new Map<string, number>();
    const note = (kind: string) => outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
    const writer = async (id: number) => {
      for (let n = 0; running; n++) {
        const name = NAMES[(id + n) % NAMES.length] ?? 'a';
        const member = cluster.members.get(name);
        const key = `/x/y//${id}-${n}`;
        if (member === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
        else {
          try {
            const { kind } = await member.store.transact(create(key), { deadlineMs: 3_000 });
            note(kind);
            if (kind === 'committed') acknowledged.push(key);
          } catch (error) {
            note((error as { code: string }).code);
          }
        }
      }
    };
    const writers = Array.from({ length: 8 }, (_, id) => writer(id));
    for (let round = 0; round < 2; round++) {
      await until(() => acknowledged.length > (round + 1) * 100, 'writes');
      const { name } = await cluster.leader();
      cluster.kill(name);
      await cluster.leader();
      await cluster.start(name);
    }
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 50, 'writes after all that');
    running = false;
    await Promise.all(writers);
    await cluster.leader();
    await agree(t, cluster);
    const { state } = cluster.member('b');
    t.equal(outcomes.get('conflict'), undefined, 'no write met itself');
    t.strictSame(
      acknowledged.filter((key) => state.get(key) === undefined),
      [],
    );
  },
);
