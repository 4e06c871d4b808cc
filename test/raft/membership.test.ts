/** Chapter 4 of the dissertation: changing who belongs to the group. */

import t from 'tap';
import type { ConfChangeStep, ProposeOutcome } from '../../raft/types.ts';
import { asIndex } from '../../raft/types.ts';
import type { Member } from './support/cluster.ts';
import { bytes, Cluster } from './support/cluster.ts';
import { message, Solo } from './support/solo.ts';

function change(member: Member, ...steps: ConfChangeStep[]): ProposeOutcome {
  return member.node.proposeConfChange({ steps, context: new Uint8Array() });
}

const add = (node: string): ConfChangeStep => ({ kind: 'add-voter', node });
const learn = (node: string): ConfChangeStep => ({ kind: 'add-learner', node });
const remove = (node: string): ConfChangeStep => ({ kind: 'remove', node });

t.test('membership: one change is in flight at a time', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  t.equal(change(leader, learn('d')).kind, 'accepted');
  t.match(change(leader, learn('e')), { kind: 'dropped', reason: /in flight/ });
  cluster.settle();
  t.equal(change(leader, learn('e')).kind, 'accepted');
});

t.test(
  'membership: a new leader proposes none before it applied those of earlier terms',
  async (t) => {
    const solo = new Solo({ terms: [1, 1] });
    solo.lead();
    t.equal(change(solo.member, learn('d')).kind, 'dropped');
    solo.ack('b', 4);
    t.equal(change(solo.member, learn('d')).kind, 'accepted');
  },
);

t.test('membership: only the leader takes changes, and only those that make sense', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  t.match(change(cluster.get('b'), learn('d')), { kind: 'not-leader', leader: 'a' });
  t.match(change(leader, remove('a'), remove('b'), remove('c')), { kind: 'dropped' });
  t.match(change(leader), { kind: 'dropped' });
});

t.test('membership: a learner gets the log and has no voice', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  const learner = cluster.add('d');
  change(leader, learn('d'));
  cluster.settle();
  leader.node.propose([bytes('x')]);
  cluster.settle();
  t.same(learner.data, ['x']);
  cluster.isolate('b', 'c');
  leader.node.propose([bytes('y')]);
  cluster.settle();
  t.same(leader.data, ['x'], 'two of four have it, but only one of the three who vote');
  cluster.tick(50, ['d']);
  t.equal(learner.node.status().role, 'follower');
});

t.test('membership: a learner that caught up becomes a voter by one change', async (t) => {
  const cluster = new Cluster(['a']);
  cluster.tick(1);
  const leader = cluster.get('a');
  cluster.add('b');
  change(leader, learn('b'));
  cluster.settle();
  t.match(leader.node.status().progress, [{ node: 'b', learner: true, state: 'replicate' }]);
  change(leader, add('b'));
  cluster.settle();
  t.match(leader.node.status().progress, [{ node: 'b', learner: false, state: 'replicate' }]);
  t.same(cluster.get('b').node.status().confState.voters, ['a', 'b']);
});

t.test('membership: in a joint configuration both halves have to agree', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  change(solo.member, add('d'), add('e'), remove('b'), remove('c'));
  solo.drain();
  solo.ack('b', 3);
  t.match(solo.status.confState, { voters: ['a', 'd', 'e'], votersOutgoing: ['a', 'b', 'c'] });
  t.equal(solo.status.lastIndex, 4, 'the change that leaves it is proposed at once');
  solo.ack('b', 4);
  t.equal(solo.status.commit, 3, 'the new half has not got it');
  solo.ack('d', 4);
  t.equal(solo.status.commit, 4);
  t.match(solo.status.confState, { voters: ['a', 'd', 'e'], votersOutgoing: [] });
  const other = new Solo();
  other.lead();
  other.ack('b', 2);
  change(other.member, add('d'), add('e'), remove('b'), remove('c'));
  other.drain();
  other.ack('b', 3);
  for (const from of ['d', 'e']) other.ack(from, 4);
  t.equal(other.status.commit, 3, 'the old half has not got it');
  other.ack('c', 4);
  t.equal(other.status.commit, 4);
});

t.test('membership: in a joint configuration votes of both halves are needed', async (t) => {
  const joint = { voters: ['a', 'd', 'e'], votersOutgoing: ['a', 'b', 'c'], autoLeave: true };
  const campaign = (...granting: string[]): string => {
    const cluster = new Cluster([]);
    const { disk } = new Solo().member;
    const confState = { ...disk.snapshot.confState, ...joint };
    const member = cluster.add('a', { ...disk, snapshot: { ...disk.snapshot, confState } });
    member.node.campaign();
    cluster.settle();
    for (const from of granting) {
      member.node.step(message({ type: 'pre-vote-response', from, term: 2 }));
    }
    return member.node.status().role;
  };
  t.equal(campaign('b', 'c'), 'pre-candidate');
  t.equal(campaign('d', 'e'), 'pre-candidate');
  t.equal(campaign('b', 'd'), 'candidate');
});

t.test('membership: five members are replaced by five others, one joint change', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c', 'd', 'e']);
  const leader = cluster.elect('a');
  leader.node.propose([bytes('x')]);
  const newcomers = ['f', 'g', 'h', 'i', 'j'];
  for (const id of newcomers) cluster.add(id);
  change(leader, ...newcomers.map(add), ...['a', 'b', 'c', 'd', 'e'].map(remove));
  cluster.settle();
  cluster.tick(30);
  const next = cluster.leader;
  t.ok(newcomers.includes(next?.id ?? ''), 'one of them leads');
  t.match(next?.node.status().confState, { voters: newcomers, votersOutgoing: [] });
  next?.node.propose([bytes('y')]);
  cluster.settle();
  for (const id of newcomers) t.same(cluster.get(id).data, ['x', 'y'], id);
});

t.test('membership: a change the state machine refused leaves the group as it is', async (t) => {
  const { member } = new Solo({ voters: ['a'] });
  member.node.tick();
  while (member.node.hasReady()) {
    member.take();
    member.persist();
  }
  change(member, learn('d'));
  member.take();
  member.persist({ apply: false });
  member.take();
  const committed = member.pending[0]?.committed ?? [];
  member.persist({ apply: false });
  t.equal(committed[0]?.kind, 'config');
  t.throws(() => member.node.applied(asIndex(3)), /goes through applyConfChange/);
  t.match(member.node.applyConfChange(undefined), { voters: ['a'], learners: [] });
  member.node.applied(asIndex(3));
  t.equal(change(member, learn('e')).kind, 'accepted');
  t.throws(() => member.node.applyConfChange(undefined), /handed out/);
});

t.test('membership: a snapshot overtakes changes that were handed out', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  change(leader, learn('d'));
  cluster.settle();
  const follower = new Solo();
  const config = leader.applied.filter(({ kind }) => kind === 'config').at(-1);
  const entries = config === undefined ? [] : [{ ...config, index: asIndex(2), term: 1 }];
  follower.node.step(message({ type: 'append', prevIndex: 1, prevTerm: 1, entries, commit: 2 }));
  follower.member.take();
  follower.member.persist({ apply: false });
  follower.member.take();
  const [handed] = follower.member.pending[0]?.committed ?? [];
  t.equal(handed?.kind, 'config', 'handed out, not applied yet');
  const confState = { ...leader.node.status().confState, voters: ['a', 'b', 'e'], learners: [] };
  const snapshot = { index: asIndex(9), term: 1, confState };
  follower.node.step(message({ type: 'snapshot', term: 1, snapshot }));
  follower.member.persist({ apply: false });
  if (handed !== undefined) follower.member.apply([handed]);
  follower.drain();
  t.equal(follower.status.applied, 9);
  t.same(follower.status.confState, confState);
});

t.test('membership: a snapshot carries the configuration of its index, not of today', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  const first = leader.node.status().applied;
  leader.node.propose([bytes('x')]);
  cluster.settle();
  const before = leader.node.status().applied;
  change(leader, learn('d'));
  cluster.settle();
  t.same(leader.node.snapshotMeta(before).confState.learners, []);
  t.same(leader.node.snapshotMeta(leader.node.status().applied).confState.learners, ['d']);
  leader.node.compact({ index: first }, first);
  t.same(leader.node.snapshotMeta(before).confState.learners, []);
  t.throws(() => leader.node.snapshotMeta(asIndex(99)), /applied and retained/);
});

t.test('membership: a joiner in a joint state learns all of it from the snapshot', async (t) => {
  const solo = new Solo();
  const confState = {
    voters: ['b', 'c', 'd'],
    votersOutgoing: ['b', 'c', 'e'],
    learners: ['a'],
    learnersNext: ['e'],
    autoLeave: true,
  };
  const snapshot = { index: asIndex(9), term: 3, confState };
  const sent = solo.step({ type: 'snapshot', term: 4, snapshot });
  t.match(sent, [{ type: 'append-response', index: 9, reject: false }]);
  t.same(solo.status.confState, confState);
});

t.test('membership: a removed leader leads on until those who remain know', async (t) => {
  const solo = new Solo({ electionTicks: 10 });
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, 2);
  change(solo.member, remove('a'));
  solo.drain();
  const told = solo.ack('b', 3).filter(({ type }) => type === 'heartbeat');
  t.match(told, [
    { to: 'b', commit: 3 },
    { to: 'c', commit: 2 },
  ]);
  t.match(solo.node.propose([bytes('x')]), { kind: 'dropped', reason: /removed/ });
  const alive = (from: string, readContext: number) =>
    solo.step({ type: 'heartbeat-response', from, term: 2, readContext });
  alive('b', 1);
  solo.ack('c', 3);
  solo.tick(1);
  alive('c', 1);
  t.equal(solo.status.role, 'leader', 'the heartbeat c answers could not tell it yet');
  t.match(alive('c', 2), [{ type: 'timeout-now' }]);
  t.match(solo.status, { role: 'follower', leader: undefined });
});

t.test('membership: a removed leader leads on for an election timeout at most', async (t) => {
  const solo = new Solo({ electionTicks: 10 });
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, 2);
  change(solo.member, remove('a'));
  solo.drain();
  for (const from of ['b', 'c']) solo.ack(from, 3);
  t.equal(solo.status.role, 'leader');
  solo.tick(10);
  t.equal(solo.status.role, 'follower');
});

t.test('membership: a refusal tells a candidate of the removal it does not know of', async (t) => {
  // The leader a removed d and died; d alone knows, and its log is longer than anybody's.
  const cluster = new Cluster(['a', 'b', 'c', 'd']);
  const leader = cluster.elect('a');
  cluster.lose = ({ from, to, type }) => from === 'a' && to === 'c' && type === 'append';
  change(leader, remove('d'));
  cluster.send(leader.take());
  cluster.send(leader.persist());
  leader.node.propose([bytes('x')]);
  cluster.lose = ({ to }) => to !== 'd';
  cluster.send(leader.take());
  cluster.send(leader.persist());
  cluster.lose = () => false;
  const settle = (...ids: string[]): void => {
    for (const id of ids) {
      const member = cluster.get(id);
      while (member.node.hasReady()) {
        cluster.send(member.take());
        cluster.send(member.persist());
      }
    }
  };
  const deliver = (): void => {
    for (const message of cluster.wire.splice(0)) cluster.deliver(message);
  };
  deliver();
  settle('b', 'd');
  deliver();
  cluster.lose = ({ to }) => to !== 'd';
  settle('a');
  deliver();
  settle('d');
  cluster.wire.length = 0;
  t.match(cluster.get('d').node.status().confState.voters, ['a', 'b', 'c']);
  t.match(cluster.get('b').node.status().confState.voters, ['a', 'b', 'c', 'd']);

  cluster.isolate('a');
  cluster.tick(60, ['b', 'c', 'd']);
  t.ok(['b', 'c'].includes(cluster.leader?.id ?? ''), 'two of three remain, and one of them leads');
  t.not(cluster.leader?.node.status().term, 2);
});

t.test('membership: a refusal from an older term tells of commits as well', async (t) => {
  const solo = new Solo({ terms: [1, 1, 2], term: 9 });
  const refusal = { type: 'pre-vote-response', reject: true, term: 5 } as const;
  solo.step({ ...refusal, commit: 3, commitTerm: 2 });
  t.equal(solo.status.commit, 1, 'another entry than ours');
  solo.step({ ...refusal, commit: 3, commitTerm: 1 });
  t.match(solo.status, { commit: 3, term: 9 });
});

t.test('membership: votes are refused to a member whose removal is applied', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c', 'd']);
  const leader = cluster.elect('a');
  change(leader, remove('d'));
  cluster.settle();
  const { node } = cluster.get('b');
  node.forgetLeader();
  node.step(message({ type: 'vote', from: 'd', to: 'b', term: 9, lastIndex: 99, lastTerm: 9 }));
  t.match(node.status(), { term: 2 });
  t.equal(node.hasReady(), false);
});

t.test(
  'membership: a removed id is refused for ever, also after restarts and snapshots',
  async (t) => {
    const cluster = new Cluster(['a', 'b', 'c', 'd']);
    const leader = cluster.elect('a');
    change(leader, remove('d'));
    cluster.settle();
    const refused = { kind: 'dropped', reason: /d was removed, and ids are never reused/ };
    t.match(change(leader, learn('d')), refused);
    leader.compact();
    leader.restart();
    for (const id of ['b', 'c']) cluster.get(id).node.forgetLeader();
    cluster.elect('a');
    t.match(change(cluster.get('a'), add('d')), refused, 'the snapshot knows');
    change(cluster.get('a'), learn('e'));
    cluster.add('e');
    cluster.settle();
    t.strictSame(
      cluster.get('e').node.status().confState.removed,
      ['d'],
      'and tells whoever joins',
    );
  },
);
