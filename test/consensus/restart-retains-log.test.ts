/** A member that restarts still has the log behind its snapshot, for whoever lags a little. */

import t from 'tap';
import { createRaftNode } from '../../raft/raw-node.ts';
import { asIndex, asTerm, type Entry, type InitialState } from '../../raft/types.ts';
import { TestCluster, until } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

t.test('restart: a follower that lagged when all others restarted needs no snapshot', async (t) => {
  const cluster = await TestCluster.of(['a', 'b', 'c'], {
    consensus: { snapshots: { snapshotEntries: 40, trailingEntries: 100 } },
  });
  t.teardown(() => cluster.stop());
  const patient = { snapshots: { snapshotEntries: 1_000_000 } };
  const write = async (name: string, count: number) => {
    for (let at = 0; at < count; at++) {
      const operations = [put(`/test/things//${name}${at}`, { at })];
      await cluster.member(name).store.transact({ checks: [], operations });
    }
  };
  await write('a', 60);
  cluster.kill('c');
  const held = cluster.disks.get('c')?.snapshot?.meta.index ?? 0;
  await write('a', 60);
  await until(
    () => ['a', 'b'].every((name) => (cluster.disks.get(name)?.snapshot?.meta.index ?? 0) > 100),
    'snapshots beyond what c has',
  );
  for (const name of ['a', 'b']) cluster.kill(name);
  for (const name of ['a', 'b']) await cluster.start(name, patient);
  await cluster.leader();
  const late = await cluster.start('c', patient);
  await write('b', 1);
  const { store } = cluster.member('b');
  await until(() => late.store.revision() >= store.revision(), 'c has caught up');
  t.equal(cluster.disks.get('c')?.snapshot?.meta.index, held, 'from the log alone');
  t.strictSame(late.fatal, []);
});

const entry = (index: number, term: number): Entry => ({
  index: asIndex(index),
  term: asTerm(term),
  kind: 'data',
  data: Buffer.alloc(0),
});
const initial = (retained: InitialState['retained']): InitialState => ({
  hardState: { term: asTerm(2), vote: undefined, commit: asIndex(5) },
  snapshot: {
    index: asIndex(5),
    term: asTerm(2),
    confState: {
      voters: ['a'],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
  },
  entries: [entry(6, 2)],
  ...(retained === undefined ? {} : { retained }),
});

t.test('restart: what is retained must lead up to the snapshot', (t) => {
  const base = { index: asIndex(3), term: asTerm(1) };
  const make = (retained: InitialState['retained']) =>
    createRaftNode({ id: 'a', random: () => 0 }, initial(retained));
  t.equal(make({ base, entries: [entry(4, 1), entry(5, 2)] }).status().firstIndex, 4);
  t.equal(make(undefined).status().firstIndex, 6);
  t.throws(() => make({ base, entries: [entry(4, 1), entry(5, 1)] }), /retained/, 'another term');
  t.throws(() => make({ base, entries: [entry(4, 1)] }), /retained/, 'a gap');
  const beyond = [entry(4, 1), entry(5, 2), entry(6, 2)];
  t.throws(() => make({ base, entries: beyond }), /retained/, 'more than the snapshot covers');
  t.end();
});
