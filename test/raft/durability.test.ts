/** Nothing that depends on a write leaves before the write is durable. */

import t from 'tap';
import type { Message } from '../../raft/types.ts';
import { asIndex } from '../../raft/types.ts';
import { bytes, Cluster, foundedDisk, Member } from './support/cluster.ts';
import { entry, message, Solo } from './support/solo.ts';

const types = (messages: readonly Message[]): string[] => messages.map(({ type }) => type);

t.test('durability: a vote leaves after it is durable', async (t) => {
  const { member } = new Solo();
  member.node.step(message({ type: 'vote', term: 2, lastIndex: 9, lastTerm: 9 }));
  t.same(types(member.take()), []);
  t.match(member.pending[0], { mustSync: true, hardState: { term: 2, vote: 'b' } });
  t.same(types(member.persist()), ['vote-response']);
});

t.test('durability: an acknowledgement leaves after the entries are durable', async (t) => {
  const { member } = new Solo();
  member.node.step(message({ type: 'append', prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)] }));
  t.same(types(member.take()), []);
  t.equal(member.pending[0]?.mustSync, true);
  t.same(types(member.persist()), ['append-response']);
});

t.test(
  'durability: an answer that needs no write still waits for the writes before it',
  async (t) => {
    const { member } = new Solo();
    const append = { type: 'append', prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)] } as const;
    member.node.step(message(append));
    member.take();
    member.node.step(message(append));
    t.same(types(member.take()), [], 'the second answer speaks of the same entry');
    member.persist();
    t.same(types(member.persist()), ['append-response']);
  },
);

t.test(
  'durability: requests for votes leave after the log and the term they speak of',
  async (t) => {
    const { member } = new Solo();
    member.node.campaign();
    t.same(types(member.take()), ['pre-vote', 'pre-vote'], 'a pre-vote promises nothing');
    member.node.step(message({ type: 'pre-vote-response', term: 2 }));
    t.same(types(member.take()), []);
    member.persist();
    t.same(types(member.persist()), ['vote', 'vote']);
  },
);

t.test('durability: the own vote counts when it is durable, and only in its term', async (t) => {
  const { member } = new Solo({ voters: ['a', 'b', 'c', 'd'] });
  member.node.campaign();
  member.take();
  for (const from of ['b', 'c']) {
    member.node.step(message({ type: 'pre-vote-response', from, term: 2 }));
  }
  member.take();
  for (const from of ['b', 'c']) {
    member.node.step(message({ type: 'vote-response', from, term: 2 }));
  }
  t.equal(member.node.status().role, 'candidate', 'two of four');
  member.persist();
  member.persist();
  t.equal(member.node.status().role, 'leader');

  const late = new Solo().member;
  late.node.campaign();
  late.take();
  late.node.step(message({ type: 'pre-vote-response', term: 2 }));
  late.take();
  late.node.step(message({ type: 'heartbeat', term: 5 }));
  late.persist();
  late.persist();
  t.match(late.node.status(), { role: 'follower', term: 5 });
});

t.test(
  'durability: the leader replicates while it writes, and counts itself afterwards',
  async (t) => {
    const solo = new Solo({ voters: ['a', 'b', 'c', 'd', 'e'] });
    solo.lead();
    for (const from of ['b', 'c']) solo.ack(from, 2);
    solo.node.propose([bytes('x')]);
    t.match(solo.member.take(), [{ type: 'append' }, { type: 'append' }], 'before its own disk');
    for (const from of ['b', 'c']) {
      solo.node.step(message({ type: 'append-response', from, term: 2, index: 3 }));
    }
    t.equal(solo.status.commit, 2);
    solo.member.persist();
    t.equal(solo.status.commit, 3);
  },
);

t.test(
  'durability: what the others committed is applied here once it is durable here',
  async (t) => {
    const solo = new Solo();
    solo.lead();
    for (const from of ['b', 'c']) solo.ack(from, 2);
    solo.node.propose([bytes('x')]);
    solo.member.take();
    for (const from of ['b', 'c']) {
      solo.node.step(message({ type: 'append-response', from, term: 2, index: 3 }));
    }
    t.equal(solo.status.commit, 3);
    solo.member.take();
    t.same(
      solo.member.pending.map(({ committed }) => committed.length),
      [0, 0],
    );
    solo.member.persist();
    solo.member.persist();
    solo.drain();
    t.same(solo.member.data, ['x']);
  },
);

t.test(
  'durability: a commit index alone needs no sync, one with a membership change does',
  async (t) => {
    const cluster = new Cluster(['a', 'b', 'c']);
    const leader = cluster.elect('a');
    const syncOf = (): boolean | undefined => {
      const follower = cluster.get('b');
      // The entries arrive and are persisted; then the commit index comes alone.
      cluster.send(leader.take());
      cluster.send(leader.persist());
      for (const message of cluster.wire.splice(0)) cluster.deliver(message);
      for (const id of ['b', 'c']) {
        cluster.send(cluster.get(id).take());
        cluster.send(cluster.get(id).persist());
      }
      for (const message of cluster.wire.splice(0)) cluster.deliver(message);
      cluster.send(leader.take());
      cluster.send(leader.persist());
      for (const message of cluster.wire.splice(0)) cluster.deliver(message);
      follower.take();
      const sync = follower.pending[0]?.mustSync;
      follower.persist();
      cluster.settle();
      return sync;
    };
    leader.node.propose([bytes('x')]);
    t.equal(syncOf(), false);
    const steps = [{ kind: 'add-learner', node: 'd' } as const];
    leader.node.proposeConfChange({ steps, context: bytes('') });
    t.equal(syncOf(), true);
  },
);

t.test('durability: batches are acknowledged once, and in order', async (t) => {
  const { node } = new Solo();
  node.step(message({ type: 'append', prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)] }));
  const first = node.ready();
  node.step(message({ type: 'append', prevIndex: 2, prevTerm: 1, entries: [entry(3, 1)] }));
  const second = node.ready();
  t.same(
    second.entries.map(({ index }) => index),
    [3],
    'nothing is handed out twice',
  );
  t.throws(() => node.persisted(second), /in the order/);
  const other = new Solo().node;
  t.throws(() => other.persisted(first), /acknowledged once/);
});

t.test('durability: a member that crashed continues from its disk', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  cluster.elect('a').node.propose([bytes('x'), bytes('y')]);
  cluster.settle();
  for (const id of ['a', 'b', 'c']) cluster.get(id).restart();
  cluster.elect('b').node.propose([bytes('z')]);
  cluster.settle();
  for (const member of cluster.members.values()) t.same(member.data, ['x', 'y', 'z'], member.id);
});

t.test('durability: a state that no member can be in is refused at the start', async (t) => {
  const disk = foundedDisk(['a', 'b', 'c']);
  const options = { id: 'a', random: () => 0 };
  const start = (change: Partial<typeof disk>) => () =>
    new Member('a', { ...disk, ...change }, options);
  const lost = { ...disk.hardState, commit: asIndex(9) };
  t.throws(start({ hardState: lost }), /still holds every entry/);
  t.throws(start({ entries: [entry(4, 1)] }), /follow each other/);
  const atZero = { ...disk.snapshot, index: asIndex(0) };
  t.throws(start({ snapshot: atZero }), /founding configuration/);
  const strange = { ...disk.snapshot.confState, learners: ['a'] };
  t.throws(start({ snapshot: { ...disk.snapshot, confState: strange } }), /a learner is no voter/);
});
