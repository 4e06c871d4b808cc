/**
 * Sections 5.1, 5.2 and 5.4.1 of the Raft paper and 9.6 of the dissertation (pre-vote), sentence by
 * sentence: terms, elections, who may be voted for.
 */

import t from 'tap';
import { bytes, Cluster } from './support/cluster.ts';
import type { Draft } from './support/solo.ts';
import { Solo } from './support/solo.ts';

const upToDate = { lastIndex: 9, lastTerm: 9 };

t.test('5.1: a server that sees a larger term takes it over', async (t) => {
  const old: readonly Draft[] = [
    { type: 'append', term: 7, prevIndex: 1, prevTerm: 1 },
    { type: 'heartbeat', term: 7 },
    { type: 'vote', term: 7, ...upToDate },
    { type: 'vote-response', term: 7, reject: true },
    { type: 'append-response', term: 7 },
  ];
  for (const draft of old) {
    const solo = new Solo();
    solo.step(draft);
    t.equal(solo.status.term, 7, draft.type);
  }
});

t.test('5.1: a candidate or leader whose term is out of date becomes a follower', async (t) => {
  const candidate = new Solo();
  candidate.node.campaign();
  candidate.step({ type: 'append', term: 5, prevIndex: 1, prevTerm: 1 });
  t.match(candidate.status, { role: 'follower', term: 5, leader: 'b' });
  const leader = new Solo();
  leader.lead();
  leader.step({ type: 'append-response', term: 5 });
  t.match(leader.status, { role: 'follower', term: 5, leader: undefined });
});

t.test('5.1: a request with a stale term is rejected', async (t) => {
  const solo = new Solo({ term: 5 });
  t.match(solo.step({ type: 'pre-vote', term: 3, ...upToDate }), [
    { type: 'pre-vote-response', reject: true, term: 5 },
  ]);
  t.same(solo.step({ type: 'vote', term: 3, ...upToDate }), []);
  t.same(solo.step({ type: 'vote-response', term: 3 }), []);
  t.match(
    solo.step({ type: 'append', term: 3, prevIndex: 1, prevTerm: 1 }),
    [{ type: 'append-response', term: 5 }],
    'a leader that is behind learns of the newer term: nothing else would make room for us',
  );
  t.equal(solo.status.leader, undefined);
});

t.test('5.2: servers start up as followers', async (t) => {
  t.match(new Solo().status, { role: 'follower', leader: undefined, term: 1 });
  t.match(new Solo({ term: 6, vote: 'a' }).status, { role: 'follower', term: 6 });
});

t.test(
  '5.2: a follower that receives no communication for an election timeout campaigns',
  async (t) => {
    const solo = new Solo({ electionTicks: 10 });
    t.same(solo.tick(9), []);
    solo.step({ type: 'heartbeat', term: 1 });
    t.same(solo.tick(9), [], 'every message of the leader begins the timeout anew');
    t.match(solo.tick(1), [
      { type: 'pre-vote', to: 'b', term: 2 },
      { type: 'pre-vote', to: 'c', term: 2 },
    ]);
    t.match(solo.status, { role: 'pre-candidate', term: 1, leader: undefined });
  },
);

t.test(
  '5.2: election timeouts are chosen randomly from a fixed interval, at each role change',
  async (t) => {
    const wait = (solo: Solo, ticks: number, who: string) => {
      t.equal(solo.tick(ticks - 1).length, 0);
      t.equal(solo.tick(1).length, 2, `${who} asks after ${ticks} ticks`);
    };
    for (const [first, then] of [
      [0, 0.5],
      [0.5, 0.99],
      [0.99, 0],
    ] as const) {
      // As follower at the start, pre-candidate, candidate, and follower again.
      const draws = [first, 0.1, 0.2, then];
      const solo = new Solo({ electionTicks: 10, random: () => draws.shift() ?? 0 });
      wait(solo, 10 + Math.floor(10 * first), 'a follower');
      solo.step({ type: 'pre-vote-response', term: 2 });
      t.equal(solo.status.role, 'candidate');
      solo.step({ type: 'append', term: 2 });
      wait(solo, 10 + Math.floor(10 * then), 'after the next change of role it');
    }
  },
);

t.test('5.2: split votes are resolved by chance', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster(['a', 'b', 'c', 'd', 'e'], { seed });
    for (let tick = 0; tick < 200 && cluster.leader === undefined; tick++) cluster.tick();
    t.ok(cluster.leader, `seed ${seed}`);
  }
});

t.test('5.2: to begin an election, it increments its term and votes for itself', async (t) => {
  const solo = new Solo();
  solo.node.campaign();
  solo.drain();
  const sent = solo.step({ type: 'pre-vote-response', term: 2 });
  t.match(sent, [
    { type: 'vote', to: 'b', term: 2, lastIndex: 1, lastTerm: 1 },
    { type: 'vote', to: 'c', term: 2, lastIndex: 1, lastTerm: 1 },
  ]);
  t.match(solo.status, { role: 'candidate', term: 2 });
  t.match(solo.member.disk.hardState, { term: 2, vote: 'a' });
});

t.test('5.2: a candidate wins with the votes of a majority', async (t) => {
  const answers = [
    { voters: ['a', 'b', 'c'], granted: ['b'], role: 'leader' },
    { voters: ['a', 'b', 'c'], granted: [], role: 'candidate' },
    { voters: ['a', 'b', 'c', 'd', 'e'], granted: ['b', 'c'], role: 'leader' },
    { voters: ['a', 'b', 'c', 'd', 'e'], granted: ['b', 'b'], role: 'candidate' },
    { voters: ['a', 'b', 'c', 'd'], granted: ['b'], role: 'candidate' },
    { voters: ['a', 'b', 'c'], granted: ['x', 'y'], role: 'candidate' },
  ];
  for (const { voters, granted, role } of answers) {
    const solo = new Solo({ voters });
    solo.node.campaign();
    solo.drain();
    for (const from of voters) solo.step({ type: 'pre-vote-response', from, term: 2 });
    for (const from of granted) solo.step({ type: 'vote-response', from, term: 2 });
    t.equal(solo.status.role, role, `${granted.join()} of ${voters.join()}`);
  }
});

t.test('5.2: a candidate that a majority refused stops asking', async (t) => {
  const solo = new Solo();
  solo.node.campaign();
  solo.drain();
  solo.step({ type: 'pre-vote-response', term: 2 });
  for (const from of ['b', 'c']) solo.step({ type: 'vote-response', from, term: 2, reject: true });
  t.match(solo.status, { role: 'follower', term: 2 });
});

t.test(
  '5.2: each server votes for at most one candidate in a term, first come first served',
  async (t) => {
    const solo = new Solo();
    const ask = (from: string): unknown =>
      solo.step({ type: 'vote', from, term: 2, ...upToDate })[0];
    t.match(ask('b'), { type: 'vote-response', to: 'b', reject: false });
    t.match(ask('c'), { type: 'vote-response', to: 'c', reject: true });
    t.match(ask('b'), { type: 'vote-response', to: 'b', reject: false }, 'the same answer again');
    solo.member.restart();
    t.match(ask('c'), { type: 'vote-response', reject: true }, 'a restart forgets no vote');
  },
);

t.test('5.2: a candidate that hears from a leader of its term becomes its follower', async (t) => {
  const heard: readonly Draft['type'][] = ['append', 'heartbeat', 'snapshot'];
  for (const type of heard) {
    const solo = new Solo();
    solo.node.campaign();
    solo.drain();
    solo.step({ type: 'pre-vote-response', term: 2 });
    t.equal(solo.status.role, 'candidate');
    const { snapshot } = solo.member.disk;
    solo.step({ type, term: 2, prevIndex: 1, prevTerm: 1, snapshot });
    t.match(solo.status, { role: 'follower', term: 2, leader: 'b' }, type);
  }
});

t.test('5.2: a leader sends heartbeats to everybody to prevent new elections', async (t) => {
  const solo = new Solo({ heartbeatTicks: 2, electionTicks: 10 });
  solo.lead();
  t.same(solo.tick(1), []);
  t.match(solo.tick(1), [
    { type: 'heartbeat', to: 'b', term: 2 },
    { type: 'heartbeat', to: 'c', term: 2 },
  ]);
});

t.test(
  '5.4.1: a voter refuses a candidate whose log is less up to date than its own',
  async (t) => {
    const cases = [
      { lastTerm: 3, lastIndex: 4, granted: true, why: 'equal' },
      { lastTerm: 3, lastIndex: 5, granted: true, why: 'same term, longer' },
      { lastTerm: 3, lastIndex: 3, granted: false, why: 'same term, shorter' },
      { lastTerm: 4, lastIndex: 1, granted: true, why: 'later term, shorter' },
      { lastTerm: 2, lastIndex: 9, granted: false, why: 'earlier term, longer' },
    ];
    for (const type of ['vote', 'pre-vote'] as const) {
      for (const { lastTerm, lastIndex, granted, why } of cases) {
        const solo = new Solo({ terms: [2, 3, 3] });
        const [answer] = solo.step({ type, term: 9, lastTerm, lastIndex });
        t.match(answer, { type: `${type}-response`, reject: !granted }, `${type}: ${why}`);
      }
    }
  },
);

t.test('9.6: a pre-vote changes neither term nor vote of anybody', async (t) => {
  const solo = new Solo();
  t.match(solo.step({ type: 'pre-vote', from: 'b', term: 8, ...upToDate }), [
    { type: 'pre-vote-response', to: 'b', term: 8, reject: false },
  ]);
  t.match(solo.step({ type: 'pre-vote', from: 'c', term: 8, ...upToDate }), [
    { type: 'pre-vote-response', to: 'c', reject: false },
  ]);
  t.equal(solo.status.term, 1);
  t.match(solo.member.disk.hardState, { term: 1, vote: undefined });
});

t.test('9.6: answers to another poll are not counted', async (t) => {
  const solo = new Solo({ term: 5 });
  solo.node.campaign();
  solo.drain();
  for (const from of ['b', 'c']) {
    solo.step({ type: 'vote-response', from, term: 5 });
    solo.step({ type: 'pre-vote-response', from, term: 5 });
  }
  t.equal(solo.status.role, 'pre-candidate');
  solo.step({ type: 'pre-vote-response', term: 6 });
  t.equal(solo.status.role, 'candidate');
});

t.test('9.6: a refusal of a pre-vote teaches the newer term', async (t) => {
  const solo = new Solo();
  solo.node.campaign();
  solo.drain();
  solo.step({ type: 'pre-vote-response', term: 7, reject: true });
  t.match(solo.status, { role: 'follower', term: 7 });
});

t.test('4.2.3: votes are refused while a leader is heard, except on a hand-over', async (t) => {
  const solo = new Solo();
  solo.step({ type: 'heartbeat', term: 1 });
  t.same(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate }), []);
  t.same(solo.step({ type: 'pre-vote', from: 'c', term: 2, ...upToDate }), []);
  t.equal(solo.status.term, 1);
  t.match(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate, transfer: true }), [
    { type: 'vote-response', reject: false, term: 2 },
  ]);
});

t.test('a leader without a quorum steps down, one with a quorum stays', async (t) => {
  const solo = new Solo({ electionTicks: 10, voters: ['a', 'b', 'c', 'd', 'e'] });
  solo.lead();
  solo.tick(10);
  t.equal(solo.status.role, 'leader', 'the benefit of the doubt in the first interval');
  for (const from of ['b', 'c']) solo.step({ type: 'heartbeat-response', from, term: 2 });
  solo.tick(10);
  t.equal(solo.status.role, 'leader');
  solo.step({ type: 'heartbeat-response', from: 'b', term: 2 });
  solo.tick(10);
  t.match(solo.status, { role: 'follower', term: 2, leader: undefined });
});

t.test('a candidate waits for its disk before it campaigns again', async (t) => {
  const solo = new Solo({ voters: ['a'], electionTicks: 3 });
  solo.member.node.tick();
  const batch = solo.member.take();
  t.same(batch, []);
  for (let tick = 0; tick < 50; tick++) solo.member.node.tick();
  t.match(solo.status, { role: 'candidate', term: 2 });
  solo.member.persist();
  t.match(solo.status, { role: 'leader', term: 2 });
});

t.test('a group of one leads and commits without any message', async (t) => {
  const solo = new Solo({ voters: ['a'] });
  t.same(solo.tick(1), []);
  t.match(solo.status, { role: 'leader', term: 2, commit: 2 });
  t.match(solo.node.propose([bytes('x')]), { kind: 'accepted', index: 3, term: 2 });
  t.equal(solo.status.commit, 2, 'not before it is durable');
  solo.drain();
  t.match(solo.status, { commit: 3, applied: 3 });
});

t.test('who has no vote does not campaign, but answers requests', async (t) => {
  const learner = new Solo({ voters: ['b', 'c'], learners: ['a'] });
  t.same(learner.tick(100), []);
  learner.node.campaign();
  t.same(learner.drain(), []);
  t.match(learner.step({ type: 'vote', term: 2, ...upToDate }), [{ reject: false }]);
  learner.step({ type: 'heartbeat', term: 2 });
  t.same(learner.step({ type: 'timeout-now', term: 2 }), []);
});

t.test('a message for somebody else is not taken', async (t) => {
  const solo = new Solo();
  t.same(solo.step({ type: 'vote', to: 'z', term: 9, ...upToDate }), []);
  t.equal(solo.status.term, 1);
});
