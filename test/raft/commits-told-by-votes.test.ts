/**
 * A membership change comes into force where it is known to be committed, so an election may depend on
 * somebody telling: the group below is whole, and yet nobody could win.
 */

import t from 'tap';
import { encodeConfChange } from '../../raft/raw-node.ts';
import type { Entry, Message } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import { bytes, Cluster, foundedDisk } from './support/cluster.ts';

const addB = encodeConfChange({
  steps: [{ kind: 'add-voter', node: 'b' }],
  context: new Uint8Array(),
});

/** Entries 2 to `last` of term 2; the one at 3 makes b a voter. */
function logUpTo(last: number): Entry[] {
  const entries: Entry[] = [];
  for (let index = 2; index <= last; index++) {
    const config = index === 3;
    entries.push({
      ...{ index: asIndex(index), term: asTerm(2), kind: config ? 'config' : 'data' },
      data: config ? addB : bytes(`write ${index}`),
    });
  }
  return entries;
}

/** a led, committed b's vote and lost its newest entries in a crash; b has them, and lost a commit index. */
function afterTheCrash(): Cluster {
  const cluster = new Cluster([]);
  const a = foundedDisk(['a']);
  const b = foundedDisk(['a']);
  a.entries.push(...logUpTo(5));
  a.hardState = { term: asTerm(2), vote: 'a', commit: asIndex(4) };
  b.entries.push(...logUpTo(7));
  b.hardState = { term: asTerm(2), vote: undefined, commit: asIndex(1) };
  cluster.add('a', a);
  cluster.add('b', b);
  cluster.settle();
  return cluster;
}

t.test(
  'votes: a new voter with the newest log learns of its vote from whom it refuses',
  async (t) => {
    const cluster = afterTheCrash();
    t.same(cluster.get('a').node.status().confState.voters, ['a', 'b']);
    t.same(cluster.get('b').node.status().confState.voters, ['a'], 'b does not know of its vote');
    cluster.tick(60);
    t.equal(cluster.leader?.id, 'b', 'only b can lead');
    t.same(cluster.get('a').data, cluster.get('b').data);
    t.equal(cluster.get('a').node.status().applied, 8, 'nothing of the old log is lost');
  },
);

t.test('votes: a request that says nothing of commits is answered all the same', async (t) => {
  const cluster = afterTheCrash();
  const b = cluster.get('b');
  const request: Message = {
    ...{ type: 'pre-vote', from: 'a', to: 'b', term: asTerm(3) },
    ...{ lastIndex: asIndex(5), lastTerm: asTerm(2), transfer: false },
  };
  b.node.step(request);
  t.match(b.take(), [{ type: 'pre-vote-response', reject: true }]);
  t.equal(b.node.status().commit, 1);
});

t.test('votes: a commit index of a log that differs teaches nothing', async (t) => {
  const cluster = afterTheCrash();
  const b = cluster.get('b');
  b.node.step({
    ...{ type: 'pre-vote', from: 'a', to: 'b', term: asTerm(3) },
    ...{ lastIndex: asIndex(5), lastTerm: asTerm(1), transfer: false },
    ...{ commit: asIndex(4), commitTerm: asTerm(1) },
  });
  t.equal(b.node.status().commit, 1);
});
