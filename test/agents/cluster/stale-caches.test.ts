import t, { type Test } from 'tap';
import type { Deployment } from '../../../agents/cluster/kinds.ts';
import { isPodActive } from '../../../agents/cluster/pods.ts';
import { isConflict } from '../../../src/client/errors.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { laggingClient } from './lagging-client.ts';
import { deployment, replicaSet, service } from './objects.ts';
import { FakeNodes, node, TestCluster } from './support.ts';

const KEY = { namespace: 'default', name: 'web' };
const SEEDS = [1, 2, 3];

async function start(t: Test, seed: number, ...agents: string[]) {
  const cluster = await TestCluster.start({ seed });
  const nodes = new FakeNodes(cluster);
  t.teardown(async () => {
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(node('n1'), node('n2'), node('n3'));
  const { clock } = cluster;
  cluster.clientOfAgents = laggingClient(cluster.client, {
    clock,
    random: seededRandom(seed),
    lagMs: 200,
  });
  await cluster.lead(...agents);
  return { cluster, nodes };
}

t.test(
  'stale caches: a ReplicaSet never makes a pod twice, nor deletes one for another',
  async (t) => {
    for (const seed of SEEDS) {
      const { cluster } = await start(t, seed, 'scheduler', 'replicaset');
      let [created, deleted] = [0, 0];
      cluster.client.informer('Pod').subscribe(({ type }) => {
        if (type === 'added') created++;
        if (type === 'deleted') deleted++;
      });
      await cluster.client.create('ReplicaSet', replicaSet('web', 10));
      const available = (count: number) => () =>
        cluster.list('ReplicaSet')[0]?.status?.availableReplicas === count;
      await cluster.until('ten run', available(10));
      const body = { spec: { replicas: 4 } };
      await cluster.client.patch('ReplicaSet', KEY, { type: 'merge', body });
      await cluster.until('four run', available(4));
      await cluster.pass(2000);
      t.same([created, deleted, cluster.list('Pod').length], [10, 6, 4], `seed ${seed}`);
    }
  },
);

t.test('stale caches: the scheduler never overfills a node nor places a pod twice', async (t) => {
  for (const seed of SEEDS) {
    const { cluster } = await start(t, seed, 'scheduler', 'replicaset');
    const web = replicaSet('web', 14);
    const [container] = web.spec.template.spec.containers;
    if (container) container.resources = { requests: { cpu: '1' } };
    await cluster.client.create('ReplicaSet', web);
    await cluster.until(
      'full',
      () => cluster.list('Pod').filter((p) => p.spec.nodeName).length === 12,
    );
    await cluster.pass(3000);
    const perNode = new Map<string, number>();
    for (const { spec } of cluster.list('Pod')) {
      perNode.set(spec.nodeName ?? 'none', (perNode.get(spec.nodeName ?? 'none') ?? 0) + 1);
    }
    t.same(Object.fromEntries(perNode), { n1: 4, n2: 4, n3: 4, none: 2 }, `seed ${seed}`);
  }
});

async function setImage(cluster: TestCluster, image: string): Promise<void> {
  for (;;) {
    const copy: Deployment = structuredClone(await cluster.client.get('Deployment', KEY));
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = image;
    try {
      await cluster.client.update('Deployment', copy);
      return;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

t.test('stale caches: rollouts keep their limits, endpoints end up right', async (t) => {
  const agents = ['scheduler', 'replicaset', 'deployment', 'endpoints', 'endpoint-slices'];
  for (const seed of SEEDS) {
    const { cluster } = await start(t, seed, ...agents);
    const rollingUpdate = { maxSurge: 2, maxUnavailable: 1 };
    const spec = { strategy: { type: 'RollingUpdate', rollingUpdate } };
    await cluster.client.create('Service', service('web', 'web'));
    await cluster.client.create('Deployment', deployment('web', { replicas: 6, spec }));
    const done = (image: string) => () => {
      const active = cluster.list('Pod').filter(isPodActive);
      if (active.length > 8) throw new Error(`seed ${seed}: ${active.length} pods at once`);
      const current = active.filter((pod) => pod.spec.containers[0]?.image === image);
      const available = cluster.list('Deployment')[0]?.status?.availableReplicas;
      return current.length === 6 && active.length === 6 && available === 6;
    };
    await cluster.until('rolled out', done('web:1'));
    await setImage(cluster, 'web:2');
    await cluster.pass(300);
    await setImage(cluster, 'web:3');
    await cluster.until('rolled out again', done('web:3'), 60_000);
    await cluster.pass(2000);
    const slices = cluster.list('EndpointSlice').flatMap(({ endpoints }) => endpoints ?? []);
    t.equal(slices.filter(({ conditions }) => conditions?.ready).length, 6, `seed ${seed}`);
    const addresses = cluster.list('Endpoints')[0]?.subsets?.[0]?.addresses ?? [];
    t.equal(addresses.length, 6);
  }
});

t.test('stale caches: pod subnets never overlap', async (t) => {
  for (const seed of SEEDS) {
    const { cluster, nodes } = await start(t, seed, 'node-ipam');
    for (let index = 4; index < 12; index++) await nodes.register(node(`n${index}`));
    await cluster.until('all have one', () =>
      cluster.list('Node').every(({ spec }) => spec.podCIDR),
    );
    t.equal(new Set(cluster.list('Node').map(({ spec }) => spec.podCIDR)).size, 11, `seed ${seed}`);
  }
});
