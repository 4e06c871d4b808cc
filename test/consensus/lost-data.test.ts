/** A member whose disk went back in time is found out by the leader that counted on it. */

import t from 'tap';
import { MemoryDisk } from '../../src/consensus/memory-storage.ts';
import { TestCluster, until } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

t.test('lost data: an older copy of a disk stops its member, and says what to do', async (t) => {
  const cluster = await TestCluster.of(['a', 'b', 'c']);
  t.teardown(() => cluster.stop());
  const write = async (name: string) => {
    const operations = [put(`/test/things//${name}`, {})];
    await cluster.member('a').store.transact({ checks: [], operations });
  };
  await write('before');
  const [follower] = cluster.followers(await cluster.leader());
  const name = follower?.name ?? '';
  const disk = cluster.disks.get(name);
  const copy = Object.assign(new MemoryDisk(), { ...disk, records: [...(disk?.records ?? [])] });
  for (let at = 0; at < 5; at++) await write(`after${at}`);
  const { store } = cluster.member('a');
  await until(() => cluster.member(name).store.revision() === store.revision(), 'it has them');
  cluster.kill(name);
  cluster.disks.set(name, copy);
  const returned = await cluster.start(name);
  await until(() => returned.fatal.length > 0, 'the leader finds it out');
  t.match(returned.fatal[0], {
    code: 'data-damaged',
    message: /older copy.*skein reset --yes.*skein join/,
  });
  cluster.kill(name);
  t.strictSame(
    [...cluster.members.values()].flatMap(({ fatal }) => fatal),
    [],
    'the others go on',
  );
  const rest = [...cluster.members.values()][0];
  await rest?.store.transact({ checks: [], operations: [put('/test/things//more', {})] });
});
