import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createFileStorage } from '../../../src/consensus/file-storage.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { putMember } from '../../../src/node/members.ts';
import { SecretsAtRest } from '../../../src/node/secrets/secrets-at-rest.ts';
import { ClusterKey } from '../../../src/sealing/cluster-key.ts';
import { DEFAULT_KINDS, encodeRecord, newRecord } from '../../../src/sealing/record.ts';
import { StoreState } from '../../../src/store/state.ts';
import { TestCluster, type TestMember } from '../../support/consensus-cluster.ts';
import { put } from '../../support/store-values.ts';

const NAMES = ['a', 'b', 'c'];
const RAISE = { raiseAfterMs: 50 };
const OLD = { levels: { understood: { min: 1, max: 1 }, product: '0.1', ...RAISE } };
const NEW = { levels: { understood: { min: 1, max: 2 }, product: '0.2', ...RAISE } };
const SMALL = { clusterId: 'test', segmentBytes: 64 * 1024 };
const WORD = 'correct-horse-battery-staple';
const SECRET = '/core/secrets/default/words';

type WorldOptions = {
  /** False: members of a version that knows no encryption. Default true. */
  readonly sealed?: boolean;
  readonly names?: readonly string[];
};

/** Members with files, and the part of a node that looks after secrets. */
class World {
  readonly directory: string;
  readonly cluster: TestCluster;
  readonly secrets = new Map<string, SecretsAtRest>();
  readonly keys: Map<string, ClusterKey>;

  constructor(directory: string, cluster: TestCluster, keys: Map<string, ClusterKey>) {
    this.directory = directory;
    this.cluster = cluster;
    this.keys = keys;
  }

  static async of(t: Test, { sealed = true, names = NAMES }: WorldOptions = {}): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), 'skein-secrets-'));
    const clusterKey = ClusterKey.generate();
    const keys = new Map(names.map((name) => [name, clusterKey]));
    const record = encodeRecord(newRecord(clusterKey, DEFAULT_KINDS, 0));
    const cluster = await TestCluster.of(names, {
      consensus: sealed ? NEW : OLD,
      storage: (name) =>
        createFileStorage({ ...SMALL, directory: join(directory, name), nodeId: name }),
      state: (name, logger) => {
        const state = new StoreState({ logger, clusterKey: keys.get(name) ?? clusterKey });
        if (sealed && name === names[0]) state.found(record);
        return state;
      },
    });
    const world = new World(directory, cluster, keys);
    t.teardown(async () => {
      for (const secrets of world.secrets.values()) await secrets.stop();
      await cluster.stop();
      await rm(directory, { recursive: true });
    });
    const leader = await cluster.leader();
    for (const name of names) {
      await putMember(leader.store, { peer: name, node: `node-${name}`, addresses: [], api: '' });
    }
    return world;
  }

  /** Begins to look after the secrets of a member, as its node does when it starts. */
  attend(member: TestMember, takeOver = false): SecretsAtRest {
    const { name, state } = member;
    const clusterKey = this.keys.get(name) ?? ClusterKey.generate();
    const parts = { clock: systemClock, random: seededRandom(1), log: silentLogger };
    const secrets = new SecretsAtRest(
      { ...member, ...parts, sealing: state.sealing, clusterKey },
      { takeOver },
    );
    this.secrets.set(name, secrets);
    return secrets;
  }

  attendAll(takeOver = false): void {
    for (const member of this.cluster.members.values()) this.attend(member, takeOver);
  }

  async kill(name: string): Promise<void> {
    await this.secrets.get(name)?.stop();
    this.secrets.delete(name);
    this.cluster.kill(name);
  }

  /** Everything in a member's files. */
  async files(name: string): Promise<string> {
    const listed = await readdir(join(this.directory, name), {
      recursive: true,
      withFileTypes: true,
    });
    const paths = listed.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
    return (await Promise.all(paths.map((path) => readFile(path, 'latin1')))).join('');
  }
}

const write = (member: TestMember, word: string) =>
  member.store.transact({ checks: [], operations: [put(SECRET, { data: { word } })] });

/** Waits until a node sees no other that holds anything from before. */
async function complete(secrets: SecretsAtRest): Promise<void> {
  const endMs = performance.now() + 15_000;
  for (;;) {
    const status = await secrets.status();
    if (status.complete) return;
    if (performance.now() > endMs) throw new Error(JSON.stringify(status));
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

t.test('secrets: a rotation leaves no file with anything under the former key', async (t) => {
  const world = await World.of(t);
  world.attendAll();
  const leader = await world.cluster.leader();
  const [follower = leader] = world.cluster.followers(leader);
  const secrets = world.secrets.get(follower.name) ?? world.attend(follower);
  await write(leader, WORD);
  const before = await secrets.status();
  t.match(before, { encrypted: true, kinds: ['secrets'], complete: true });
  for (const name of NAMES) {
    t.match(await world.files(name), new RegExp(before.dataKey ?? 'none'));
    t.notMatch(await world.files(name), WORD);
  }
  await secrets.change({ action: 'rotate' });
  await write(leader, `${WORD} again`);
  await complete(secrets);
  const after = await secrets.status();
  t.not(after.dataKey, before.dataKey);
  t.equal(after.clusterKey, before.clusterKey);
  for (const name of NAMES) {
    const files = await world.files(name);
    t.notMatch(files, new RegExp(before.dataKey ?? 'none'), `${name}: the former key is gone`);
    t.notMatch(files, WORD);
    t.match(files, new RegExp(after.dataKey ?? 'none'));
  }
  for (const name of NAMES) {
    await world.kill(name);
    const again = await world.cluster.start(name);
    await again.store.readBarrier({ deadlineMs: 10_000 });
    t.match(again.store.get(SECRET)?.object, { data: { word: `${WORD} again` } });
  }
});

t.test('secrets: a rotation goes on through deaths, and waits for who is away', async (t) => {
  const world = await World.of(t);
  world.attendAll();
  const leader = await world.cluster.leader();
  const [first = leader, second = leader] = world.cluster.followers(leader);
  await write(leader, WORD);
  const { dataKey: former = 'none' } = (await world.secrets.get(first.name)?.status()) ?? {};
  await world.kill(second.name);
  const ordered = world.secrets.get(leader.name)?.change({ action: 'rotate' });
  await ordered;
  await world.kill(leader.name);
  const back = await world.cluster.start(second.name);
  const watching = world.attend(back);
  await write(await world.cluster.leader(), `${WORD} again`);
  t.notOk((await watching.status()).complete, 'not without the one that is away');
  t.match(
    (await watching.status()).nodes.find(({ node }) => node === `node-${leader.name}`),
    { state: 'unreachable' },
  );
  world.attend(await world.cluster.start(leader.name));
  await complete(watching);
  for (const name of NAMES) t.notMatch(await world.files(name), new RegExp(former), name);
  t.strictSame(
    [...world.cluster.members.values()].flatMap(({ fatal }) => fatal),
    [],
  );
});

t.test(
  'secrets: a cluster that wrote in plain begins to encrypt by itself, and plain text goes',
  async (t) => {
    const world = await World.of(t, { sealed: false });
    const leader = await world.cluster.leader();
    await write(leader, WORD);
    for (const { store } of world.cluster.members.values()) await store.readBarrier();
    for (const name of NAMES) t.match(await world.files(name), WORD);
    const former = world.attend(leader);
    await t.rejects(former.change({ action: 'rotate' }), { message: /skein secrets enable/ });
    const refused = former.change({ action: 'enable' });
    await t.rejects(refused, { message: /feature level 2.*node-a runs 0\.1/ });
    let last = leader;
    for (const name of NAMES) {
      await world.kill(name);
      last = await world.cluster.start(name, NEW);
      await last.store.readBarrier({ deadlineMs: 10_000 });
      world.attend(last, true);
    }
    const secrets = world.secrets.get(last.name) ?? world.attend(last);
    while (!(await secrets.status()).encrypted)
      await new Promise((resolve) => setTimeout(resolve, 50));
    await complete(secrets);
    for (const name of NAMES) t.notMatch(await world.files(name), WORD, name);
    t.match(last.store.get(SECRET)?.object, { data: { word: WORD } }, 'the value is what it was');
  },
);

t.test(
  'secrets: turned off they are plain, turned on again with other kinds they are not',
  async (t) => {
    const world = await World.of(t, { names: ['a'] });
    world.attendAll();
    const secrets = world.secrets.get('a') as SecretsAtRest;
    const member = world.cluster.member('a');
    await write(member, WORD);
    await secrets.change({ action: 'disable' });
    await complete(secrets);
    t.match(await secrets.status(), { encrypted: false, kinds: [] });
    t.match(await world.files('a'), WORD, 'as ordered');
    await t.rejects(secrets.change({ action: 'enable', kinds: ['Secrets!'] }), {
      code: 'config-invalid',
      message: /Secrets!.*is no resource/,
    });
    await secrets.change({ action: 'enable', kinds: ['secrets', 'configmaps'] });
    await complete(secrets);
    t.match(await secrets.status(), { encrypted: true, kinds: ['configmaps', 'secrets'] });
    t.notMatch(await world.files('a'), WORD);
  },
);

t.test(
  'secrets: a member with another cluster key does not start, and says what to do',
  async (t) => {
    const world = await World.of(t);
    const leader = await world.cluster.leader();
    const [follower = leader] = world.cluster.followers(leader);
    await write(leader, WORD);
    await world.kill(follower.name);
    world.keys.set(follower.name, ClusterKey.generate());
    await t.rejects(world.cluster.start(follower.name), {
      code: 'key-missing',
      message: /cluster\.json.*join again/,
    });
    world.cluster.network.kill(follower.name);
    world.keys.set(follower.name, world.keys.get(leader.name) as ClusterKey);
    const again = await world.cluster.start(follower.name);
    await again.store.readBarrier({ deadlineMs: 10_000 });
    t.match(again.store.get(SECRET)?.object, { data: { word: WORD } }, 'nothing was lost by it');
  },
);
