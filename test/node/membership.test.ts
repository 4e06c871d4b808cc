import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import type { ConsensusStatus } from '../../src/consensus/types.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import type { RequestHandler } from '../../src/mesh/types.ts';
import { resolveConfig } from '../../src/node/config.ts';
import {
  type ClusterFile,
  dataPaths,
  type MemberRecord,
  readClusterFile,
} from '../../src/node/data-dir.ts';
import { deleteMember, putMember, readMembers } from '../../src/node/members.ts';
import { startMembership } from '../../src/node/membership.ts';
import { REMOVED_METHOD } from '../../src/node/removal.ts';
import { Supersession } from '../../src/node/superseded.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
import { until } from '../support/consensus-cluster.ts';

const OWN: MemberRecord = {
  peer: 'p1',
  node: 'node1',
  addresses: ['/ip4/10.0.0.1/tcp/7946'],
  api: '10.0.0.1:6443',
};
const OTHER: MemberRecord = { ...OWN, peer: 'p2', node: 'node2', api: '10.0.0.2:6443' };

type WorldOptions = Partial<Pick<ClusterFile, 'founder' | 'settled'>> & {
  readonly records?: readonly MemberRecord[];
};

async function world(t: Test, options: WorldOptions = {}) {
  const { founder = false, settled = true, records = [OWN, OTHER] } = options;
  const store = createLocalStore();
  for (const record of records) await putMember(store, record);
  const paths = dataPaths(await mkdtemp(`${tmpdir()}/skein-membership-`));
  t.teardown(() => rm(paths.root, { recursive: true }));
  const clock = new VirtualClock();
  const cluster: ClusterFile = {
    clusterId: 'c',
    clusterCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    caCertificatePem: 'cert',
    caKeyPem: 'key',
    tokenKeyPem: 'token',
    node: 'node1',
    peer: 'p1',
    members: [],
    founder,
    settled,
  };
  const admitted: string[] = [];
  const handlers = new Map<string, RequestHandler>();
  const quorum = { here: true };
  const mesh = {
    self: 'p1',
    addresses: () => OWN.addresses,
    admit: (members: ReadonlyMap<string, readonly string[]>) =>
      admitted.push([...members].map(([peer, hints]) => `${peer} at ${hints}`).join('; ')),
    serve: (method: string, handler: RequestHandler) => handlers.set(method, handler),
  };
  const removed: SkeinError[] = [];
  const failed: Error[] = [];
  const leading: { leader: string | undefined } = { leader: undefined };
  const supersession = new Supersession();
  const flags = { nodeName: 'node1', advertiseAddress: '10.0.0.1', peers: 'seed.example' };
  const membership = startMembership({
    foundation: {
      cluster,
      mesh: mesh as unknown as JoinableMesh,
      store: {
        ...store,
        readBarrier: async () => {
          if (!quorum.here) throw new SkeinError('no-leader', 'nobody leads');
        },
      },
      consensus: { status: () => leading as ConsensusStatus },
      supersession,
    },
    config: resolveConfig({ flags, environment: {} }).config,
    paths,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    onRemoved: (error) => removed.push(error),
    onFatal: (error) => failed.push(error),
  });
  t.teardown(() => membership.stop());
  const facts = { store, paths, clock, admitted, handlers, quorum, removed, failed, leading };
  return { ...facts, supersession, membership };
}

/** Lets what was begun in memory come to its end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

t.test(
  'membership: the mesh admits the members, with the hints of records and configuration',
  async (t) => {
    const { store, admitted } = await world(t);
    t.equal(admitted.at(-1), 'p2 at /ip4/10.0.0.1/tcp/7946,/dns4/seed.example/tcp/7946');
    await putMember(store, { ...OTHER, peer: 'p3', node: 'node3', addresses: [] });
    t.match(admitted.at(-1), /p3 at \/dns4\/seed\.example/);
    await deleteMember(store, 'p2');
    t.notMatch(admitted.at(-1), /p2/, 'a removal is an order to cut');
  },
);

t.test(
  'membership: a member that was left behind by a recovery ends, and says how to go on',
  async (t) => {
    const { supersession, failed, paths, leading } = await world(t);
    // As at a return of the whole old majority: it elects somebody at once.
    leading.leader = 'p2';
    supersession.hear('new-cluster');
    supersession.hear('new-cluster');
    await until(() => failed.length > 0, 'it to fail');
    t.match(failed, [
      {
        code: 'not-admitted',
        message: /recovered elsewhere, as cluster new-cluster.*skein reset --yes --keep-pods/,
      },
    ]);
    const file = await readClusterFile(paths.cluster);
    t.equal(file?.supersededBy, 'new-cluster', 'and knows it at its next start');
  },
);

t.test('membership: a cluster that works is not stopped by a former member’s word', async (t) => {
  const { supersession, failed, paths, leading, clock } = await world(t);
  leading.leader = 'p2';
  await clock.advance(20_000);
  supersession.hear('new-cluster');
  await settle();
  t.strictSame(failed, []);
  t.equal((await readClusterFile(paths.cluster))?.supersededBy, undefined);
  leading.leader = undefined;
  supersession.hear('new-cluster');
  await until(() => failed.length > 0, 'it to fail, without a leader');
});

t.test('membership: before the first record is known, nobody is cut', async (t) => {
  const { admitted } = await world(t, { records: [] });
  t.strictSame(admitted, []);
});

t.test('membership: a copy is on disk for the next start', async (t) => {
  const { store, paths, membership } = await world(t, { settled: false });
  await putMember(store, { ...OTHER, addresses: ['/ip4/10.0.0.9/tcp/7946'] });
  await membership.stop();
  const file = await readClusterFile(paths.cluster);
  t.strictSame(file?.members, readMembers(store));
  t.equal(file?.settled, true, 'from now on an empty log is a lost log');
});

t.test('membership: a new address of ours is told as soon as there is a quorum', async (t) => {
  const { store, clock, quorum } = await world(t, {
    records: [{ ...OWN, addresses: ['/ip4/10.9.9.9/tcp/7946'] }, OTHER],
  });
  quorum.here = false;
  await settle();
  const told = () => readMembers(store).find(({ peer }) => peer === 'p1')?.addresses;
  quorum.here = true;
  clock.advance(10_000);
  await settle();
  t.strictSame(told(), OWN.addresses);
});

t.test('membership: the founder begins its own record; nobody else does', async (t) => {
  const founder = await world(t, { founder: true, settled: false, records: [] });
  await settle();
  t.strictSame(readMembers(founder.store), [OWN]);
  t.strictSame(founder.removed, []);
});

t.test(
  'membership: a node that finds no record of itself was removed, and remembers it',
  async (t) => {
    for (const options of [
      { records: [OTHER] },
      { records: [OTHER], founder: true, settled: true },
    ]) {
      const { store, paths, removed } = await world(t, options);
      await until(() => removed.length > 0, 'the node to end');
      t.match(removed, [{ code: 'not-admitted', message: /removed from cluster c .*skein reset/ }]);
      t.equal((await readClusterFile(paths.cluster))?.removed, true);
      t.strictSame(readMembers(store), [OTHER], 'it does not write itself back');
    }
  },
);

t.test(
  'membership: a node that is told of its removal ends once, and only by its own cluster',
  async (t) => {
    const { paths, handlers, removed } = await world(t);
    const told = handlers.get(REMOVED_METHOD);
    const { signal } = new AbortController();
    for (const body of [undefined, {}, { clusterId: 'another' }]) await told?.(body, 'p2', signal);
    await settle();
    t.strictSame(removed, []);
    await told?.({ clusterId: 'c' }, 'p2', signal);
    await told?.({ clusterId: 'c' }, 'p2', signal);
    await until(() => removed.length > 0, 'the node to end');
    await settle();
    t.equal(removed.length, 1);
    t.equal((await readClusterFile(paths.cluster))?.removed, true);
  },
);
