/** How soon an election is over: asking again, who goes first, timeouts that follow what the driver measures. */

import t from 'tap';
import { Cluster } from './support/cluster.ts';
import { Solo } from './support/solo.ts';

const upToDate = { lastIndex: 1, lastTerm: 1 };

t.test(
  'election: who was refused because of a lease asks again within half a timeout',
  async (t) => {
    const solo = new Solo({ electionTicks: 10, heartbeatTicks: 2, random: () => 0.99 });
    t.equal(solo.tick(19).length, 2, 'the follower waits almost twice the shortest timeout');
    t.same(solo.tick(6), [], 'a moment in which answers may come');
    t.match(solo.tick(1), [
      { type: 'pre-vote', to: 'b', term: 2 },
      { type: 'pre-vote', to: 'c', term: 2 },
    ]);
    t.equal(solo.status.term, 1, 'asking costs no term');
  },
);

t.test('election: a leader that falls silent is replaced before the longest timeout', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const cluster = new Cluster(['a', 'b', 'c'], { seed, electionTicks: 10, heartbeatTicks: 2 });
    cluster.elect('a');
    cluster.tick(6);
    cluster.isolate('a');
    let ticks = 0;
    for (; ticks < 100 && cluster.leader?.id === 'a'; ticks++) cluster.tick(1, ['b', 'c']);
    t.ok(ticks <= 21, `seed ${seed}: ${ticks} ticks`);
  }
});

t.test('election: of two that ask at once the first by name goes first', async (t) => {
  const asks = { type: 'pre-vote', term: 2, ...upToDate } as const;
  const poll = () => {
    const solo = new Solo({ heartbeatTicks: 2, electionTicks: 10 });
    solo.node.campaign();
    solo.drain();
    return solo;
  };
  t.match(poll().step({ ...asks, from: 'b' }), [{ type: 'pre-vote-response', reject: true }]);
  t.match(
    poll().step({ ...asks, from: 'b', lastIndex: 2 }),
    [{ reject: false }],
    'a longer log goes before any name',
  );
  const waiting = poll();
  waiting.tick(2);
  t.match(
    waiting.step({ ...asks, from: 'b' }),
    [{ reject: false }],
    'whose poll leads nowhere holds up nobody',
  );
  const idle = new Solo();
  t.match(idle.step({ ...asks, from: 'b' }), [{ reject: false }], 'who does not ask grants');
});

t.test('election: voters that lose their leader at the same moment split no votes', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c', 'd', 'e']);
  cluster.elect('e');
  cluster.isolate('e');
  for (const id of ['a', 'b', 'c', 'd']) cluster.get(id).node.forgetLeader();
  for (const id of ['d', 'c', 'b', 'a']) cluster.get(id).node.campaign();
  cluster.settle();
  t.equal(cluster.get('a').node.status().role, 'leader', 'in the first round, without a tick');
});

t.test('election: timeouts and leases follow what the driver measures', async (t) => {
  const solo = new Solo({ electionTicks: 10 });
  solo.node.adaptElectionTicks(30);
  solo.step({ type: 'heartbeat', term: 1 });
  t.same(solo.tick(29), []);
  t.same(solo.step({ type: 'pre-vote', term: 2, ...upToDate }), [], 'the lease is as long');
  t.equal(solo.tick(1).length, 2);
  const back = new Solo({ electionTicks: 10 });
  back.node.adaptElectionTicks(30);
  back.node.adaptElectionTicks(3);
  t.same(back.tick(9), [], 'never shorter than the option');
  t.equal(back.tick(1).length, 2);
});

t.test('election: a leader on a slow machine doubts itself later as well', async (t) => {
  const solo = new Solo({ electionTicks: 10 });
  solo.node.adaptElectionTicks(25);
  solo.lead();
  solo.tick(49);
  t.equal(solo.status.role, 'leader');
  solo.tick(1);
  t.equal(solo.status.role, 'follower');
});

t.test('election: who is held back neither campaigns nor takes over, and votes', async (t) => {
  const solo = new Solo();
  solo.node.holdBack('its disk does not answer');
  t.same(solo.tick(100), []);
  t.same(solo.step({ type: 'timeout-now', term: 1 }), []);
  t.match(solo.step({ type: 'vote', term: 2, ...upToDate }), [{ reject: false }]);
  solo.node.holdBack(undefined);
  t.match(solo.tick(10).slice(0, 2), [{ type: 'pre-vote' }, { type: 'pre-vote' }]);
});
