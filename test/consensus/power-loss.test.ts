/** Every byte of a member's last writes lost or flipped: see test/support/power-loss.ts. */

import t, { type Test } from 'tap';
import { asIndex, asTerm, type Entry } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { DamagedCopy, sweepLog, sweepSnapshot } from '../support/power-loss.ts';

const owner = { nodeId: 'node-a', clusterId: 'cluster-1' };
const confState = {
  voters: ['node-a', 'node-b'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

const entry = (index: number, term: number, size = 9): Entry => ({
  index: asIndex(index),
  term: asTerm(term),
  kind: 'data',
  data: Buffer.alloc(size, `${index} of ${term} `),
});
const hard = (term: number, commit: number) => ({
  term: asTerm(term),
  vote: 'node-b',
  commit: asIndex(commit),
});

/** A member that took a snapshot, wrote on, and changed its mind about a tail; closed. */
async function member(t: Test, last: { entries: Entry[]; commit: number }): Promise<DamagedCopy> {
  const directory = t.testdir();
  const storage = createFileStorage({ ...owner, directory, segmentBytes: 8192 });
  await storage.open();
  await storage.append({ entries: [entry(1, 1), entry(2, 1)], hardState: hard(1, 2) });
  const writer = await storage.writeSnapshot({ index: asIndex(2), term: asTerm(1), confState });
  await writer.write(Buffer.from('everything up to two'));
  await writer.commit();
  await storage.append({ entries: [entry(3, 1), entry(4, 1), entry(5, 1)], hardState: hard(1, 3) });
  await storage.append({ entries: [entry(5, 2), entry(6, 2)], hardState: hard(2, 4) });
  const { entries, commit } = last;
  await storage.append({ entries, hardState: hard(3, commit) });
  await storage.close();
  const copy = await DamagedCopy.of(directory);
  t.teardown(() => copy.dispose());
  return copy;
}

t.test(
  'power loss: the last group cut or flipped at any byte costs its tail at most',
  async (t) => {
    const copy = await member(t, {
      entries: [entry(6, 3), entry(7, 3, 0), entry(8, 3)],
      commit: 5,
    });
    const { tried, opened, refused, wrong } = await sweepLog(copy, { middleBytes: 250 });
    t.comment(`${tried} damages: ${opened} opened, ${refused} refused`);
    t.strictSame(wrong, []);
    t.ok(opened > 300 && refused > 150, 'a torn tail is repaired, a damaged middle is refused');
  },
);

t.test('power loss: what a later hard state knows to be committed is missed', async (t) => {
  // The entry was durable before: a group of its own lies between it and the commit index.
  const copy = await member(t, { entries: [], commit: 6 });
  const { wrong } = await sweepLog(copy, { middleBytes: 100 });
  t.strictSame(wrong, []);
});

t.test('power loss: a snapshot damaged at any byte is refused, or whole', async (t) => {
  const copy = await member(t, { entries: [entry(7, 3)], commit: 5 });
  const { tried, refused, wrong } = await sweepSnapshot(copy);
  t.comment(`${tried} damages: ${refused} refused`);
  t.strictSame(wrong, []);
  t.equal(refused, tried, 'every byte of a snapshot matters');
});
