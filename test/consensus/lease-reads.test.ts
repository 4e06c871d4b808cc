/** Reads by lease, through whole members: what they need nobody for, and when they end. */

import t, { type Test } from 'tap';
import { TestCluster, type TestMember } from '../support/consensus-cluster.ts';

/** Attempts: on a busy machine the promises may be over before the first read. */
const ATTEMPTS = { quorum: 5, lease: 40 };

async function clusterOf(t: Test, reads: 'quorum' | 'lease') {
  const consensus = { reads, tickMs: 50 };
  const cluster = await TestCluster.of(['a', 'b', 'c'], { consensus });
  t.teardown(() => cluster.stop());
  return cluster;
}

/** True if `leader` reads while nobody can hear it. */
async function readsAlone(cluster: TestCluster, leader: TestMember, attempts: number) {
  for (let attempt = 0; attempt < attempts; attempt++) {
    await leader.store.readBarrier();
    cluster.network.cut(
      [leader.name],
      cluster.followers(leader).map(({ name }) => name),
    );
    const read = await leader.store.readBarrier({ deadlineMs: 40 }).then(
      () => true,
      () => false,
    );
    cluster.network.heal();
    if (read) return true;
    if (leader.consensus.status().role !== 'leader') return false;
  }
  return false;
}

t.test('lease reads: a leader answers by itself while its promises hold, no longer', async (t) => {
  const cluster = await clusterOf(t, 'lease');
  const leader = await cluster.leader();
  t.ok(await readsAlone(cluster, leader, ATTEMPTS.lease));
  const others = cluster.followers(leader).map(({ name }) => name);
  const { term } = leader.consensus.status();
  cluster.network.cut([leader.name], others);
  const successor = await cluster.leader(others);
  t.ok(successor.consensus.status().term > term);
  await t.rejects(leader.store.readBarrier({ deadlineMs: 200 }), { code: 'no-leader' });
  cluster.network.heal();
  await leader.store.readBarrier();
});

t.test('lease reads: without them a leader asks for every read', async (t) => {
  const cluster = await clusterOf(t, 'quorum');
  t.notOk(await readsAlone(cluster, await cluster.leader(), ATTEMPTS.quorum));
});

t.test(
  'lease reads: a leader that dies is replaced when the promises to it are over',
  async (t) => {
    const cluster = await clusterOf(t, 'lease');
    const leader = await cluster.leader();
    cluster.kill(leader.name);
    await cluster.leader();
  },
);
