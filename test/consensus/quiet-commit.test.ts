import t from 'tap';
import { internalKey } from '../../src/store/keys.ts';
import { TestCluster, until } from '../support/consensus-cluster.ts';

const KEY = internalKey('test', 'last');
const put = (value: number) => ({
  checks: [],
  operations: [
    {
      op: 'put',
      key: KEY,
      value: Buffer.from(JSON.stringify({ value })),
      revisionOffset: -1,
    } as const,
  ],
});

t.test(
  'consensus: a member that starts cut off has the last write it knew of before it died',
  async (t) => {
    const cluster = await TestCluster.of(['a', 'b', 'c']);
    t.teardown(() => cluster.stop());
    const leader = await cluster.leader();
    const [follower] = cluster.followers(leader);
    const name = follower?.name ?? '';
    const valueAt = (member: string) =>
      (cluster.member(member).store.get(KEY)?.object as { value: number } | undefined)?.value;
    await leader.store.transact(put(1));
    await until(() => valueAt(name) === 1, 'the follower to apply');
    // The group is idle now: nothing else would carry the news that the write is committed.
    const syncs = () => cluster.disks.get(name)?.syncs ?? 0;
    const before = syncs();
    await until(() => syncs() > before, 'the commit index on disk');
    cluster.kill(name);
    const others = [...cluster.members.keys()];
    cluster.network.cut([name], others);
    await cluster.start(name);
    await until(() => valueAt(name) === 1, 'the write, without anybody to ask', 2000);
    t.equal(cluster.member(name).consensus.status().leader, undefined);
  },
);
