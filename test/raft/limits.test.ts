/** Everything that could grow has a bound: windows, quotas, pages, reads. */

import t from 'tap';
import { entryBytes } from '../../raft/log-tail.ts';
import { createRaftNode } from '../../raft/raw-node.ts';
import { bytes, Cluster, foundedDisk, initialOf } from './support/cluster.ts';
import { entry, Solo } from './support/solo.ts';

const each = entryBytes(entry(1, 1, 'xxxxxxxx'));
const item = bytes('xxxxxxxx');

/** A leader whose peer b is caught up and replicating. */
function leading(options: ConstructorParameters<typeof Solo>[0]): Solo {
  const solo = new Solo(options);
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, solo.status.lastIndex);
  return solo;
}

t.test('limits: an append carries no more bytes than it may, but always one entry', async (t) => {
  const solo = leading({ appendBytesMax: 2 * each });
  solo.node.propose([item, item, item, item, item]);
  const sizes = solo
    .drain()
    .filter((message) => message.to === 'b' && message.type === 'append')
    .map((message) => (message.type === 'append' ? message.entries.length : 0));
  t.same(sizes, [2, 2, 1]);
  const tight = leading({ appendBytesMax: 1 });
  tight.node.propose([item, item]);
  t.equal(tight.drain().filter((message) => message.to === 'b').length, 2);
});

t.test('limits: no more than the window is in flight, by count', async (t) => {
  const solo = leading({ appendBytesMax: 1, inflightMessagesMax: 3 });
  solo.node.propose([item, item, item, item, item]);
  t.equal(solo.drain().filter((message) => message.to === 'b').length, 3);
  t.match(solo.status.progress[0], { node: 'b', inflight: 3, next: 6 });
  t.match(solo.ack('b', 3), [{ to: 'b', entries: [{ index: 6 }] }], 'one out, one in');
});

t.test('limits: no more than the window is in flight, by bytes', async (t) => {
  const solo = leading({ appendBytesMax: 1, inflightBytesMax: 2 * each });
  solo.node.propose([item, item, item, item, item]);
  t.equal(solo.drain().filter((message) => message.to === 'b').length, 2);
});

t.test('limits: a full window lets one empty append through after a sign of life', async (t) => {
  const solo = leading({ appendBytesMax: 1, inflightMessagesMax: 2 });
  solo.node.propose([item, item, item]);
  solo.drain();
  const answer = { type: 'heartbeat-response', from: 'b', term: 2 } as const;
  t.match(solo.step(answer), [{ type: 'append', to: 'b', entries: [], prevIndex: 4 }]);
  t.match(solo.step(answer), [{ type: 'append', to: 'b', entries: [], prevIndex: 4 }]);
  const refusal = { type: 'append-response', term: 2, reject: true, index: 4, hintIndex: 2 };
  const retry = solo.step({ ...refusal, type: 'append-response', hintTerm: 2 });
  t.match(retry, [{ type: 'append', to: 'b', prevIndex: 2, entries: [{ index: 3 }] }]);
});

t.test('limits: proposals beyond the quota of uncommitted bytes are dropped', async (t) => {
  const solo = leading({ uncommittedBytesMax: 20 });
  t.equal(solo.node.propose([item, item]).kind, 'accepted');
  t.match(solo.node.propose([item]), { kind: 'dropped', reason: /not yet committed/ });
  t.equal(solo.node.propose([bytes('')]).kind, 'accepted', 'what weighs nothing is exempt');
  solo.drain();
  solo.ack('b', solo.status.lastIndex);
  t.equal(solo.node.propose([bytes('x'.repeat(50))]).kind, 'accepted', 'one may always go');
  t.equal(solo.node.propose([bytes('')]).kind, 'accepted', 'nothing weighs nothing beyond it');
  t.equal(solo.node.propose([item]).kind, 'dropped');
});

t.test('limits: what earlier leaders left uncommitted does not count', async (t) => {
  const solo = new Solo({ terms: [1, 1, 1], uncommittedBytesMax: 23 });
  solo.lead();
  solo.node.propose([item, item]);
  solo.drain();
  solo.ack('b', 5);
  t.equal(solo.status.commit, 5);
  t.equal(solo.node.propose([item]).kind, 'dropped', 'the commit freed nothing of this term');
});

t.test('limits: a leader cut off from its group stops taking proposals in time', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c'], { uncommittedBytesMax: 1000 });
  const leader = cluster.elect('a');
  cluster.isolate('a');
  const results = new Set<string>();
  for (let count = 0; count < 500; count++) results.add(leader.node.propose([item]).kind);
  t.ok(leader.node.status().lastIndex < 200);
  t.same([...results], ['accepted', 'dropped']);
});

t.test('limits: committed entries come in pages, one after the other', async (t) => {
  const cluster = new Cluster(['a'], { committedBytesMax: 2 * each });
  cluster.tick(1);
  const { node } = cluster.get('a');
  node.propose(new Array(5).fill(item));
  const pages: number[] = [];
  let guard = 20;
  while (node.hasReady() && guard-- > 0) {
    const ready = node.ready();
    node.persisted(ready);
    pages.push(ready.committed.length);
    const last = ready.committed.at(-1);
    if (last !== undefined) node.applied(last.index);
  }
  t.same(
    pages.filter((count) => count > 0),
    [2, 2, 1],
  );
});

t.test('limits: a leader takes no more reads than it can remember', async (t) => {
  const solo = leading({ pendingReadsMax: 2 });
  t.equal(solo.node.readIndex(1), true);
  t.equal(solo.node.readIndex(2), true);
  t.equal(solo.node.readIndex(3), false);
  solo.drain();
  solo.step({ type: 'heartbeat-response', term: 2, readContext: 1 });
  t.equal(solo.node.readIndex(4), true, 'room again once they are answered');
});

t.test('limits: options that cannot work are refused', async (t) => {
  const start = (options: object) => () =>
    createRaftNode({ id: 'a', random: () => 0, ...options }, initialOf(foundedDisk(['a'])));
  t.throws(start({ electionTicks: 3, heartbeatTicks: 3 }), RangeError);
  t.throws(start({ heartbeatTicks: 0 }), RangeError);
  t.throws(start({ inflightMessagesMax: 0 }), RangeError);
  t.throws(start({ id: '' }), RangeError);
});

t.test(
  'limits: 20 000 proposals pass through three members in well under four seconds',
  async (t) => {
    const cluster = new Cluster(['a', 'b', 'c']);
    // The disk of this test copies its entries on every write, which is not what is measured.
    for (const { disk } of cluster.members.values())
      Object.defineProperty(disk, 'entries', { get: () => [], set: () => undefined });
    const { node } = cluster.elect('a');
    const startMs = performance.now();
    for (let count = 0; count < 20_000; count++) {
      node.propose([item]);
      cluster.settle();
    }
    const ms = performance.now() - startMs;
    t.equal(cluster.get('c').applied.length, 20_001);
    t.ok(ms < 4000, `${Math.round(20_000 / (ms / 1000))} proposals a second`);
  },
);
