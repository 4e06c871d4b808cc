/** Section 6.4 and 3.10 of the dissertation: linearizable reads, and handing leadership over. */

import t from 'tap';
import { encodeConfChange } from '../../raft/raw-node.ts';
import type { ConfChange, Message } from '../../raft/types.ts';
import { asIndex } from '../../raft/types.ts';
import { bytes, Cluster } from './support/cluster.ts';
import { entry, message, Solo } from './support/solo.ts';

t.test('reads: a leader answers after a majority confirmed that it leads', async (t) => {
  const solo = new Solo({ voters: ['a', 'b', 'c', 'd', 'e'] });
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, 2);
  t.equal(solo.node.readIndex(7), true);
  const rounds = solo.drain().filter(({ type }) => type === 'heartbeat');
  t.match(rounds, new Array(4).fill({ readContext: 1 }));
  const confirm = (from: string) =>
    solo.step({ type: 'heartbeat-response', from, term: 2, readContext: 1 });
  confirm('b');
  confirm('b');
  t.same(solo.member.reads, []);
  confirm('c');
  t.same(solo.member.reads, [{ requestId: 7, index: 2 }]);
});

t.test('reads: answers to heartbeats that left before the request confirm nothing', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  solo.node.readIndex(7);
  solo.step({ type: 'heartbeat-response', term: 2, readContext: 0 });
  t.same(solo.member.reads, []);
});

t.test('reads: a lost round is repeated by the next heartbeat', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  solo.node.readIndex(7);
  solo.drain();
  t.match(solo.tick(1), [
    { type: 'heartbeat', readContext: 1 },
    { type: 'heartbeat', readContext: 1 },
  ]);
});

t.test(
  'reads: the position is the commit index at the request or later, never earlier',
  async (t) => {
    const cluster = new Cluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    for (let count = 0; count < 5; count++) {
      leader.node.propose([bytes(`${count}`)]);
      cluster.settle();
      const { commit } = leader.node.status();
      for (const id of ['a', 'b', 'c']) cluster.get(id).node.readIndex(count);
      cluster.settle();
      for (const id of ['a', 'b', 'c'])
        t.match(cluster.get(id).reads.at(-1), { requestId: count, index: commit }, id);
    }
  },
);

t.test('reads: a learner reads too, and nobody reads without a leader', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  t.equal(cluster.get('a').node.readIndex(1), false);
  const leader = cluster.elect('a');
  const learner = cluster.add('d');
  leader.node.proposeConfChange({
    steps: [{ kind: 'add-learner', node: 'd' }],
    context: bytes(''),
  });
  cluster.settle();
  t.equal(learner.node.readIndex(5), true);
  cluster.settle();
  t.match(learner.reads, [{ requestId: 5 }]);
});

t.test('reads: an old leader cut off from its group answers none', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const old = cluster.elect('a');
  cluster.isolate('a');
  cluster.tick(30, ['b', 'c']);
  const next = cluster.leader;
  t.not(next?.id, 'a');
  next?.node.propose([bytes('new')]);
  cluster.settle();
  t.equal(old.node.readIndex(1), true, 'it does not know yet');
  cluster.tick(40);
  cluster.heal();
  cluster.tick(5);
  t.same(old.reads, []);
});

t.test('reads: a group of one answers at once', async (t) => {
  const cluster = new Cluster(['a']);
  cluster.tick(1);
  const { node, reads } = cluster.get('a');
  node.readIndex(1);
  cluster.settle();
  t.same(reads, [{ requestId: 1, index: asIndex(2) }]);
});

t.test('transfer: to a voter that has everything, it takes one message', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  solo.node.transferLeadership('b');
  t.match(solo.drain(), [{ type: 'timeout-now', to: 'b' }]);
});

t.test('transfer: waits until the target has everything', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  solo.node.propose([bytes('x')]);
  solo.node.transferLeadership('b');
  const told = (sent: readonly Message[]) => sent.some(({ type }) => type === 'timeout-now');
  t.notOk(told(solo.drain()));
  t.notOk(told(solo.step({ type: 'heartbeat-response', term: 2 })), 'alive is not enough');
  t.ok(told(solo.ack('b', 3)));
});

t.test(
  'transfer: is repeated with the next sign of life, in case the message was lost',
  async (t) => {
    const solo = new Solo();
    solo.lead();
    solo.ack('b', 2);
    solo.node.transferLeadership('b');
    solo.drain();
    t.match(solo.step({ type: 'heartbeat-response', term: 2 }), [{ type: 'timeout-now', to: 'b' }]);
  },
);

t.test('transfer: every follower and every wish reaches the leader', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  cluster.elect('a');
  cluster.get('b').node.transferLeadership('c');
  cluster.settle();
  t.equal(cluster.leader?.id, 'c');
  cluster.get('c').node.transferLeadership('a');
  cluster.settle();
  t.equal(cluster.leader?.id, 'a');
  t.equal(cluster.get('a').node.status().transferTarget, undefined);
});

t.test('transfer: to oneself or to a stranger is no transfer', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  for (const target of ['a', 'z']) {
    leader.node.transferLeadership(target);
    t.equal(leader.node.status().transferTarget, undefined);
  }
  t.equal(leader.node.propose([bytes('x')]).kind, 'accepted');
});

t.test('transfer: a second wish replaces the first', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  cluster.isolate('b');
  leader.node.transferLeadership('b');
  leader.node.transferLeadership('c');
  cluster.settle();
  t.equal(cluster.leader?.id, 'c');
});

t.test('transfer: has an election timeout, from the first wish on', async (t) => {
  const solo = new Solo({ electionTicks: 10 });
  solo.lead();
  const alive = () => solo.step({ type: 'heartbeat-response', from: 'b', term: 2 });
  alive();
  solo.tick(7);
  solo.node.transferLeadership('c');
  solo.tick(9);
  t.equal(solo.status.transferTarget, 'c', 'whatever of a timeout had passed before');
  alive();
  solo.node.transferLeadership('c');
  solo.tick(1);
  t.match(solo.status, { role: 'leader', transferTarget: undefined }, 'asking again buys no time');
});

t.test('transfer: a leader that steps down forgets the hand-over', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.node.transferLeadership('c');
  solo.drain();
  t.equal(solo.status.transferTarget, 'c');
  solo.step({ type: 'heartbeat', term: 5 });
  t.match(solo.status, { role: 'follower', transferTarget: undefined });
  solo.lead();
  t.equal(solo.node.propose([bytes('x')]).kind, 'accepted');
});

t.test('transfer: a member told to take over applies committed changes first', async (t) => {
  const solo = new Solo();
  const change: ConfChange = { steps: [{ kind: 'remove', node: 'c' }], context: bytes('') };
  const config = { ...entry(2, 1), kind: 'config', data: encodeConfChange(change) };
  const append = { type: 'append', prevIndex: 1, prevTerm: 1, entries: [config], commit: 2 };
  solo.node.step(message({ ...append, type: 'append' }));
  solo.node.step(message({ type: 'timeout-now' }));
  t.equal(solo.status.role, 'follower');
  const sent = solo.drain();
  t.match(solo.status, { role: 'candidate', term: 2, confState: { voters: ['a', 'b'] } });
  t.match(sent.at(-1), { type: 'vote', to: 'b', transfer: true });
});

t.test('reads and transfers: a leader hears the wishes of members only', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  t.same(solo.step({ type: 'read-index', from: 'z', term: 2, requestId: 1 }), []);
  t.same(solo.step({ type: 'transfer-leader', from: 'z', term: 2, target: 'b' }), []);
});
