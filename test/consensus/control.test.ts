import t from 'tap';
import type { NodeId, ProgressStatus, RaftStatus } from '../../raft/types.ts';
import { successors } from '../../src/consensus/control.ts';
import { TestCluster } from '../support/consensus-cluster.ts';

t.test('orders: whoever comes back under a removed id is refused, with the remedy', async (t) => {
  const cluster = await TestCluster.of(['a', 'b', 'c']);
  t.teardown(() => cluster.stop());
  const { consensus } = await cluster.leader();
  await cluster.start('d');
  await consensus.addMember('d');
  await consensus.removeMember('d');
  // The one that is gone may not know who leads now.
  const leader = await cluster.leader(['a', 'b', 'c']);
  const asked = cluster.member(leader.name === 'a' ? 'b' : 'a');
  await t.rejects(asked.consensus.addMember('d'), {
    code: 'config-invalid',
    message: /d was removed, and ids are never reused: it must join under a new identity/,
  });
  t.strictSame(leader.consensus.status().confState.removed, ['d']);
});

t.test('orders: leadership goes to a voter that answers and lacks least', async (t) => {
  const peer = (node: NodeId, match: number, recentlyActive = true) =>
    ({ node, match, recentlyActive }) as ProgressStatus;
  const status = {
    id: 'a',
    confState: { voters: ['a', 'b', 'c', 'd'] },
    progress: [peer('b', 5), peer('c', 9), peer('d', 10, false), peer('l', 10)],
  } as unknown as RaftStatus;
  t.strictSame(successors(status), ['c', 'b']);
});
