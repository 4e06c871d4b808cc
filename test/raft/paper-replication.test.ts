/**
 * Sections 5.3 and 5.4.2 of the Raft paper, sentence by sentence: how the log is replicated and when
 * an entry is committed.
 */

import t from 'tap';
import type { Message } from '../../raft/types.ts';
import { asIndex } from '../../raft/types.ts';
import { bytes, Cluster } from './support/cluster.ts';
import { entry, Solo } from './support/solo.ts';

t.test('5.3: the leader appends a proposal and sends it to everybody in parallel', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  solo.ack('c', 2);
  t.match(solo.node.propose([bytes('x')]), { kind: 'accepted', index: 3, term: 2 });
  const append = { type: 'append', prevIndex: 2, prevTerm: 2, commit: 2 };
  const entries = [{ index: 3, term: 2, kind: 'data' }];
  t.match(solo.drain(), [
    { ...append, to: 'b', entries },
    { ...append, to: 'c', entries },
  ]);
});

t.test('5.3: an entry is committed once it is durable on a majority', async (t) => {
  for (const [voters, acks] of [
    [['a', 'b', 'c'], 1],
    [['a', 'b', 'c', 'd'], 2],
    [['a', 'b', 'c', 'd', 'e'], 2],
  ] as const) {
    const solo = new Solo({ voters });
    solo.lead();
    for (const from of voters.slice(1, acks)) solo.ack(from, 2);
    t.equal(solo.status.commit, 1, `${acks - 1} of ${voters.length} and the leader`);
    solo.ack(voters[acks] ?? '', 2);
    t.equal(solo.status.commit, 2, `${acks} of ${voters.length} and the leader`);
  }
});

t.test('5.3: the leader tells followers at once what is committed', async (t) => {
  const solo = new Solo();
  solo.lead();
  t.match(solo.ack('b', 2), [{ type: 'append', to: 'b', commit: 2, entries: [] }]);
  t.match(solo.ack('c', 2), [{ type: 'append', to: 'c', commit: 2, entries: [] }]);
});

t.test('5.3: a follower applies what is committed, in log order', async (t) => {
  const solo = new Solo();
  const entries = [entry(2, 1, 'x'), entry(3, 1, 'y')];
  solo.step({ type: 'append', prevIndex: 1, prevTerm: 1, entries });
  t.same(solo.member.data, []);
  solo.step({ type: 'append', prevIndex: 3, prevTerm: 1, commit: 3 });
  t.same(solo.member.data, ['x', 'y']);
});

t.test(
  '5.3: the commit index of an append reaches no further than the append itself',
  async (t) => {
    const solo = new Solo({ terms: [1, 1, 1] });
    solo.step({ type: 'append', prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)], commit: 4 });
    t.equal(solo.status.commit, 2, 'what follows may differ from the leader');
  },
);

t.test('5.3: a follower refuses entries that do not follow its own', async (t) => {
  const solo = new Solo({ terms: [2, 2] });
  const gap = solo.step({ type: 'append', term: 3, prevIndex: 9, prevTerm: 3 });
  t.match(gap, [{ type: 'append-response', reject: true, index: 9, hintIndex: 3, hintTerm: 2 }]);
  const conflict = solo.step({ type: 'append', term: 3, prevIndex: 3, prevTerm: 1 });
  t.match(conflict, [{ reject: true, index: 3, hintIndex: 1, hintTerm: 1 }]);
});

t.test('5.3: conflicting entries and all that follow them are replaced', async (t) => {
  const solo = new Solo({ terms: [2, 2, 2] });
  const entries = [entry(3, 3)];
  const [answer] = solo.step({ type: 'append', term: 3, prevIndex: 2, prevTerm: 2, entries });
  t.match(answer, { type: 'append-response', reject: false, index: 3 });
  t.equal(solo.status.lastIndex, 3);
  t.match(solo.member.disk.entries, [
    { index: 2, term: 2 },
    { index: 3, term: 3 },
  ]);
});

t.test('5.3: the leader brings every divergent log of figure 7 in line with its own', async (t) => {
  const figure7: readonly (readonly number[])[] = [
    [1, 1, 1, 4, 4, 5, 5, 6, 6],
    [1, 1, 1, 4],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    [1, 1, 1, 4, 4, 4, 4],
    [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  ];
  const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  for (const terms of figure7) {
    const cluster = new Cluster(['a', 'b', 'c']);
    const write = (id: string, log: readonly number[]): void => {
      const { disk } = cluster.get(id);
      disk.entries = log.map((term, at) => entry(at + 2, term));
      disk.hardState = { ...disk.hardState, term: (disk.entries.at(-1)?.term ?? 1) as never };
      cluster.get(id).restart();
    };
    write('a', leaderTerms);
    write('b', terms);
    for (let attempt = 0; attempt < 3 && cluster.leader?.id !== 'a'; attempt++) {
      cluster.get('a').node.campaign();
      cluster.settle();
    }
    t.equal(cluster.leader?.id, 'a');
    cluster.tick(1);
    t.same(cluster.get('b').disk.entries, cluster.get('a').disk.entries, terms.join());
  }
});

t.test('5.3: whole terms are skipped when looking for the place where logs agree', async (t) => {
  const rounds = (long: readonly number[], short: readonly number[]): number => {
    const solo = new Solo({ terms: [...long], term: 9 });
    solo.lead();
    // b answers as a member with the other log would.
    const peer = new Solo({ terms: [...short] });
    let trips = 0;
    let request = appendOf(probe(solo));
    while (request?.type === 'append' && trips < 20) {
      trips++;
      const [answer] = peer.step({ ...request, from: 'b', to: 'a' });
      if (answer?.type !== 'append-response' || !answer.reject) break;
      request = appendOf(solo.step({ ...answer, from: 'b', to: 'a' }));
    }
    return trips;
  };
  const probe = (solo: Solo) => solo.step({ type: 'heartbeat-response', term: solo.status.term });
  const appendOf = (sent: readonly Message[]) =>
    sent.find(({ type, to }) => type === 'append' && to === 'b');
  const many = (term: number, count: number): number[] => new Array(count).fill(term);
  t.equal(rounds([...many(2, 5), ...many(5, 50)], [...many(2, 5), ...many(3, 40)]), 2);
  t.equal(rounds([...many(2, 5), ...many(3, 50)], [...many(2, 5), ...many(5, 40)]), 2);
  t.equal(rounds(many(2, 60), many(2, 2)), 2);
});

t.test('5.3: messages that come twice or late change nothing', async (t) => {
  const solo = new Solo();
  const first = { type: 'append', prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)] } as const;
  const second = { type: 'append', prevIndex: 2, prevTerm: 1, entries: [entry(3, 1)] };
  solo.step(first);
  solo.step({ ...second, type: 'append' });
  solo.step(first);
  t.match(solo.status, { lastIndex: 3, commit: 1 }, 'what follows the old message stays');
  solo.step({ ...second, type: 'append', commit: 2 });
  t.match(
    solo.step({ type: 'append', prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)], commit: 1 }),
    [{ type: 'append-response', reject: false, index: 2 }],
    'below the commit index the answer is the commit index',
  );
  t.equal(solo.status.commit, 2);
});

t.test(
  '5.3: an old message from before the retained log is acknowledged, not refused',
  async (t) => {
    const solo = new Solo({ terms: [1, 1, 1], commit: 4 });
    solo.node.compact({ index: asIndex(4) }, asIndex(5));
    t.match(solo.step({ type: 'append', prevIndex: 2, prevTerm: 1, entries: [entry(3, 1)] }), [
      { type: 'append-response', reject: false, index: 4 },
    ]);
  },
);

t.test('5.3: a heartbeat commits only what the follower has acknowledged', async (t) => {
  const solo = new Solo();
  solo.lead();
  solo.ack('b', 2);
  solo.ack('c', 2);
  solo.node.propose([bytes('x'), bytes('y')]);
  solo.drain();
  solo.ack('b', 4);
  t.equal(solo.status.commit, 4);
  t.match(solo.tick(1), [
    { type: 'heartbeat', to: 'b', commit: 4 },
    { type: 'heartbeat', to: 'c', commit: 2 },
  ]);
});

t.test('5.4.2: a new leader begins its term with an empty entry', async (t) => {
  const solo = new Solo({ terms: [1, 1] });
  const sent = solo.lead();
  t.match(sent, [
    { type: 'append', to: 'b', prevIndex: 3, prevTerm: 1, entries: [{ index: 4, kind: 'empty' }] },
    { type: 'append', to: 'c', prevIndex: 3, prevTerm: 1, entries: [{ index: 4, kind: 'empty' }] },
  ]);
});

t.test('5.4.2: entries of earlier terms are not committed by counting', async (t) => {
  const solo = new Solo({ terms: [1, 1] });
  solo.lead();
  solo.ack('b', 3);
  solo.ack('c', 3);
  t.equal(solo.status.commit, 1, 'on everybody, and not committed');
  solo.ack('b', 4);
  t.equal(solo.status.commit, 4, 'with an entry of its own term all of them are');
});

t.test('a term has one leader: a second one is a broken law, not a message', async (t) => {
  const solo = new Solo();
  solo.lead();
  const second = { type: 'append', term: 2, prevIndex: 1, prevTerm: 1 } as const;
  t.throws(() => solo.step(second), /a term has one leader/);
});

t.test('data that was acknowledged and is gone is a broken law', async (t) => {
  const solo = new Solo();
  t.throws(() => solo.step({ type: 'heartbeat', commit: 9 }), /needs a new identity/);
});
