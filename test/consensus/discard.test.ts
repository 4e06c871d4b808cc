import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { asIndex } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { TestCluster, type TestMember } from '../support/consensus-cluster.ts';
import { put } from '../support/store-values.ts';

const directory = await mkdtemp(join(tmpdir(), 'skein-discard-'));
t.teardown(() => rm(directory, { recursive: true }));

async function cluster(names: readonly string[]): Promise<TestCluster> {
  const storage = (name: string) =>
    createFileStorage({
      directory: join(directory, name),
      nodeId: name,
      clusterId: 'test',
      segmentBytes: 64 * 1024,
    });
  const group = await TestCluster.of(names, { storage });
  t.teardown(() => group.stop());
  return group;
}

const write = (member: TestMember, key: string, text: string) =>
  member.store.transact({ checks: [], operations: [put(key, { text })] });

async function until(condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error('not within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Everything in the member's files. */
async function bytesOf(name: string): Promise<string> {
  const files = await readdir(join(directory, name), { recursive: true, withFileTypes: true });
  const paths = files
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name));
  const contents = await Promise.all(paths.map((path) => readFile(path, 'latin1')));
  return contents.join('');
}

t.test('discard: nothing of what was deleted or replaced before is left in any file', async (t) => {
  const group = await cluster(['a', 'b', 'c']);
  const leader = await group.leader();
  await write(leader, '/x/y//gone', 'first-words');
  await leader.store.transact({ checks: [], operations: [{ op: 'delete', key: '/x/y//gone' }] });
  await write(leader, '/x/y//kept', 'former-words');
  await write(leader, '/x/y//kept', 'present-words');
  for (const { name } of group.members.values()) {
    const member = group.member(name);
    await member.store.readBarrier();
    t.match(await bytesOf(name), /first-words/, 'it was there');
    const mark = member.consensus.status().applied;
    // Meanwhile the group goes on.
    const busy = Array.from({ length: 20 }, (_, n) => write(leader, `/x/y//n${n}`, 'n'));
    await until(async () => {
      await member.consensus.discardOld(mark);
      return ((await member.consensus.oldestStored()).entry ?? Number.POSITIVE_INFINITY) > mark;
    });
    await Promise.all(busy);
    const { entry = Number.POSITIVE_INFINITY, snapshot = 0 } =
      await member.consensus.oldestStored();
    t.ok(entry > mark && snapshot >= mark, 'it knows');
    t.notMatch(await bytesOf(name), /first-words|former-words/);
    t.match(await bytesOf(name), /present-words/);
  }
  const [first, second] = [...group.members.keys()];
  await group.member(first ?? '').consensus.discardOld(asIndex(1));
  await group.member(first ?? '').consensus.discardOld(asIndex(1));
  group.kill(second ?? '');
  const again = await group.start(second ?? '');
  await write(await group.leader(), '/x/y//after', 'later-words');
  await again.store.readBarrier();
  t.match(again.store.get('/x/y//kept')?.object, { text: 'present-words' });
  t.match(again.store.get('/x/y//after')?.object, { text: 'later-words' });
  t.strictSame(
    [...group.members.values()].flatMap(({ fatal }) => fatal),
    [],
  );
});
