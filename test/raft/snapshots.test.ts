/** Section 7: a snapshot takes the place of a log prefix, here and on members far behind. */

import t from 'tap';
import { asIndex } from '../../raft/types.ts';
import { bytes, Cluster } from './support/cluster.ts';
import { entry, message, Solo } from './support/solo.ts';

t.test('snapshots: a member far behind gets one, then the rest of the log', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  cluster.isolate('c');
  for (let count = 0; count < 20; count++) leader.node.propose([bytes(`${count}`)]);
  cluster.settle();
  leader.compact(3);
  leader.node.propose([bytes('last')]);
  cluster.settle();
  cluster.heal();
  cluster.tick(3);
  const { commit, firstIndex } = cluster.get('c').node.status();
  t.equal(commit, leader.node.status().commit);
  t.equal(firstIndex, leader.node.snapshotMeta(asIndex(22)).index + 1);
  t.same(cluster.get('c').data, ['last']);
});

t.test('snapshots: a member within the retained log gets the log', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  cluster.isolate('c');
  leader.node.propose([bytes('x'), bytes('y')]);
  cluster.settle();
  leader.compact(2);
  cluster.heal();
  cluster.tick(3);
  t.same(cluster.get('c').data, ['x', 'y']);
  t.equal(cluster.get('c').node.status().firstIndex, 2);
});

t.test('snapshots: one that is not newer than the log changes nothing', async (t) => {
  const solo = new Solo({ terms: [1, 1, 1], commit: 3 });
  const { confState } = solo.status;
  const snapshot = { index: asIndex(3), term: 1, confState };
  t.match(solo.step({ type: 'snapshot', snapshot }), [{ index: 3, reject: false }]);
  t.match(solo.status, { lastIndex: 4, firstIndex: 2 });
});

t.test('snapshots: one from before the retained log changes nothing either', async (t) => {
  const solo = new Solo({ terms: [1, 1, 1], commit: 4 });
  solo.node.compact({ index: asIndex(4) }, asIndex(5));
  const snapshot = { index: asIndex(3), term: 1, confState: solo.status.confState };
  t.match(solo.step({ type: 'snapshot', snapshot }), [{ index: 4, reject: false }]);
  t.match(solo.status, { firstIndex: 5, applied: 4 });
});

t.test('snapshots: one that agrees with the log moves the commit index only', async (t) => {
  const solo = new Solo({ terms: [1, 1, 1] });
  const snapshot = { index: asIndex(3), term: 1, confState: solo.status.confState };
  t.match(solo.step({ type: 'snapshot', snapshot }), [{ index: 3, reject: false }]);
  t.match(solo.status, { lastIndex: 4, firstIndex: 2, commit: 3, applied: 3 });
});

t.test('snapshots: one that disagrees with the log replaces all of it', async (t) => {
  const solo = new Solo({ terms: [1, 1, 1] });
  const snapshot = { index: asIndex(3), term: 2, confState: solo.status.confState };
  t.match(solo.step({ type: 'snapshot', term: 2, snapshot }), [{ index: 3, reject: false }]);
  t.match(solo.status, { lastIndex: 3, firstIndex: 4, commit: 3, applied: 3 });
});

t.test('snapshots: no campaign before the snapshot is durable', async (t) => {
  const { member, node } = new Solo();
  const snapshot = { index: asIndex(9), term: 2, confState: node.status().confState };
  node.step(message({ type: 'snapshot', term: 2, snapshot }));
  member.take();
  node.campaign();
  t.equal(node.status().role, 'follower');
  member.persist();
  node.campaign();
  t.equal(node.status().role, 'pre-candidate');
});

t.test('snapshots: its acknowledgement leaves after it is durable', async (t) => {
  const { member, node } = new Solo();
  const snapshot = { index: asIndex(9), term: 2, confState: node.status().confState };
  node.step(message({ type: 'snapshot', term: 2, snapshot }));
  t.same(member.take(), []);
  t.match(member.pending[0], { mustSync: true, snapshot: { index: 9 }, committed: [] });
  t.match(member.persist(), [{ type: 'append-response', index: 9 }]);
});

t.test(
  'snapshots: a member that has more than the snapshot, and less than the log, gets another',
  async (t) => {
    const solo = new Solo();
    solo.lead();
    for (const from of ['b', 'c']) solo.ack(from, 2);
    solo.node.propose(new Array(6).fill(bytes('x')));
    solo.drain();
    solo.ack('b', 8);
    const sendTo = (index: number): void => {
      solo.node.compact({ index: asIndex(index) }, asIndex(index + 1));
      solo.node.reportUnreachable('c');
      solo.step({ type: 'heartbeat-response', from: 'c', term: 2 });
    };
    const peer = () => solo.status.progress.find(({ node }) => node === 'c');
    sendTo(4);
    t.match(peer(), { state: 'snapshot', next: 5 });
    solo.node.compact({ index: asIndex(7) }, asIndex(8));
    t.match(peer(), { state: 'snapshot' });
    solo.ack('c', 4);
    t.match(
      peer(),
      { state: 'snapshot', match: 4 },
      'the log does not carry on from there any more',
    );
    solo.node.reportSnapshot('c', true);
    const sent = solo.step({ type: 'heartbeat-response', from: 'c', term: 2 });
    t.match(sent, [{ type: 'snapshot', snapshot: { index: 7 } }]);
    solo.ack('c', 8);
    t.match(peer(), { state: 'replicate', match: 8 }, 'whatever brought it there');
  },
);

t.test('snapshots: a member that is not heard gets none', async (t) => {
  const solo = new Solo();
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, 2);
  solo.node.propose([bytes('x')]);
  solo.drain();
  solo.ack('b', 3);
  solo.node.compact({ index: asIndex(3) }, asIndex(4));
  solo.tick(10);
  // c would be probed where the log does not reach any more.
  solo.node.reportUnreachable('c');
  solo.node.propose([bytes('y')]);
  const sent = () => solo.drain().filter(({ type, to }) => type === 'snapshot' && to === 'c');
  t.same(sent(), []);
  solo.node.step(message({ type: 'heartbeat-response', from: 'c', term: 2 }));
  t.equal(sent().length, 1, 'as soon as it is heard');
});

t.test('snapshots: what a driver compacts late does not undo a newer snapshot', async (t) => {
  const solo = new Solo();
  const entries = [entry(2, 1), entry(3, 1)];
  solo.step({ type: 'append', prevIndex: 1, prevTerm: 1, entries, commit: 3 });
  const snapshot = { index: asIndex(9), term: 1, confState: solo.status.confState };
  solo.step({ type: 'snapshot', snapshot });
  solo.node.compact({ index: asIndex(3) }, asIndex(3));
  t.match(solo.status, { firstIndex: 10, applied: 9 });
});
