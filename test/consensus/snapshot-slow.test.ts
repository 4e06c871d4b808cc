/** A transfer that crawls while the log grows. */

import t from 'tap';
import { TestCluster } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

t.test('snapshots: a slow transfer under writes is not followed by another', async (t) => {
  const consensus = { snapshots: { snapshotEntries: 150, trailingEntries: 100 } };
  const cluster = await TestCluster.of(['a', 'b', 'c'], { consensus });
  t.teardown(() => cluster.stop());
  const leader = await cluster.leader();
  const write = (name: string, value: unknown) =>
    leader.store.transact({ checks: [], operations: [put(`/test/things//${name}`, { value })] });
  for (let at = 0; at < 160; at++) await write(`large${at}`, 'x'.repeat(10_000));
  // A frame takes so long: the transfer about two thirds of a second, and what grew meanwhile its time as well.
  cluster.network.delay(leader.name, 'd', 20);
  const joiner = await cluster.start('d', { snapshots: { snapshotEntries: 1_000_000 } });
  const received = new Set<number>();
  let writes = 0;
  const more = async () => {
    const text = 'x'.repeat(3_000);
    await Promise.all(Array.from({ length: 10 }, () => write(`more${writes++ % 40}`, text)));
    // Slower than the link, or nobody could ever catch up.
    await new Promise((resolve) => setTimeout(resolve, 5));
    const index = cluster.disks.get('d')?.snapshot?.meta.index;
    if (index !== undefined) received.add(index);
    if (writes > 20_000) throw new Error('it never catches up');
  };
  await leader.consensus.addMember('d');
  while (received.size === 0) await more();
  const during = writes;
  while (leader.store.revision() - joiner.store.revision() > 60) await more();
  t.ok(during > 300, `${during} writes meanwhile, more than are kept behind a snapshot`);
  t.equal(received.size, 1, `one snapshot was enough: ${[...received]}`);
  t.strictSame(joiner.fatal, []);
});
