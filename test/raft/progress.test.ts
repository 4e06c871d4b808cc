import fc from 'fast-check';
import t from 'tap';
import { Inflights } from '../../raft/inflights.ts';
import { Progress } from '../../raft/progress.ts';
import { asIndex } from '../../raft/types.ts';
import { Cluster } from './support/cluster.ts';
import { holds } from './support/holds.ts';

const limits = { inflightMessagesMax: 2, inflightBytesMax: 100 };

t.test('inflights: the window behaves like a list, however it wraps and grows', async (t) => {
  const action = fc.oneof(fc.record({ add: fc.nat(30) }), fc.record({ free: fc.nat(20) }));
  holds(
    t,
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const window = new Inflights(20, 300);
      let twin: { index: number; bytes: number }[] = [];
      let last = 0;
      for (const step of actions) {
        const bytes = twin.reduce((sum, one) => sum + one.bytes, 0);
        const full = twin.length >= 20 || bytes >= 300;
        if (window.full !== full || window.count !== twin.length || window.bytes !== bytes)
          return false;
        if ('add' in step) {
          if (full) continue;
          last++;
          window.add(asIndex(last), step.add);
          twin.push({ index: last, bytes: step.add });
        } else {
          const upTo = Math.max(0, last - step.free);
          window.freeUpTo(asIndex(upTo));
          twin = twin.filter((one) => one.index > upTo);
        }
      }
      return true;
    }),
  );
});

t.test('progress: probing sends one append, then waits for a sign of life', async (t) => {
  const progress = new Progress('b', asIndex(5), false, limits);
  t.equal(progress.paused, false);
  progress.sentAppend(3, 30, asIndex(2));
  t.equal(progress.paused, true);
  t.equal(progress.next, 5, 'what is sent in probe is not assumed to arrive');
  progress.release();
  t.equal(progress.paused, false);
});

t.test('progress: replicating stops when the window is full by count or by bytes', async (t) => {
  const byCount = new Progress('b', asIndex(1), false, limits);
  byCount.becomeReplicate();
  byCount.sentAppend(1, 1, asIndex(0));
  t.equal(byCount.paused, false);
  byCount.sentAppend(1, 1, asIndex(0));
  t.equal(byCount.paused, true);
  byCount.maybeAdvance(asIndex(1));
  byCount.freeUpTo(asIndex(1));
  t.equal(byCount.paused, false);
  const byBytes = new Progress('b', asIndex(1), false, limits);
  byBytes.becomeReplicate();
  byBytes.sentAppend(1, 100, asIndex(0));
  t.equal(byBytes.paused, true);
});

t.test('progress: acknowledgements and refusals that were overtaken change nothing', async (t) => {
  const progress = new Progress('b', asIndex(1), false, limits);
  progress.maybeAdvance(asIndex(5));
  progress.becomeReplicate();
  progress.sentAppend(2, 2, asIndex(0));
  t.equal(progress.maybeAdvance(asIndex(4)), false);
  t.equal(progress.match, 5, 'an acknowledged position never regresses');
  t.equal(progress.maybeRetreat(asIndex(5), asIndex(1)), false, 'known to match');
  t.equal(progress.next, 8);
  t.equal(progress.maybeRetreat(asIndex(7), asIndex(6)), true);
  t.equal(progress.next, 6, 'straight back to what is known to match');
  progress.becomeProbe();
  t.equal(progress.maybeRetreat(asIndex(9), asIndex(1)), false, 'not the append that is out');
});

t.test(
  'progress: after a snapshot, probing starts behind it; after a failed one, before',
  async (t) => {
    const progress = new Progress('b', asIndex(9), false, limits);
    progress.maybeAdvance(asIndex(2));
    progress.becomeSnapshot(asIndex(7));
    t.equal(progress.paused, true);
    progress.becomeProbe();
    t.equal(progress.next, 8);
    progress.becomeSnapshot(asIndex(7));
    progress.pendingSnapshot = asIndex(0);
    progress.becomeProbe();
    t.equal(progress.next, 3);
  },
);

t.test('progress: a commit index is worth sending once, and again when it was lost', async (t) => {
  const progress = new Progress('b', asIndex(1), false, limits);
  progress.maybeAdvance(asIndex(5));
  progress.becomeReplicate();
  t.equal(progress.wantsCommit(asIndex(5)), true);
  progress.sentAppend(0, 0, asIndex(5));
  t.equal(progress.wantsCommit(asIndex(5)), false);
  t.equal(progress.wantsCommit(asIndex(8)), false, 'the peer has nothing behind 5 to commit');
});

t.test('progress: on an idle group a heartbeat is enough to end a probe', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c']);
  const leader = cluster.elect('a');
  const stateOf = () => leader.node.status().progress.find(({ node }) => node === 'b')?.state;
  leader.node.reportUnreachable('b');
  t.equal(stateOf(), 'probe');
  cluster.tick(1);
  t.equal(stateOf(), 'replicate', 'nothing was proposed');
});
