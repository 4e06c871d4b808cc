import t, { type Test } from 'tap';
import type { Pod } from '../../../../agents/cluster/kinds.ts';
import { isPodActive } from '../../../../agents/cluster/pods.ts';
import { rankForDeletion, slowStartBatches } from '../../../../agents/cluster/replicaset/decide.ts';
import { replicaSet } from '../objects.ts';
import { FakeNodes, node, pod, TestCluster } from '../support.ts';

const NOW = Date.parse('2020-01-02T00:00:00Z');

function ranked(
  name: string,
  status: NonNullable<Pod['status']>,
  extra: Partial<Pod['metadata']> = {},
) {
  const made = pod(name, { nodeName: 'a' });
  const creationTimestamp = '2020-01-01T00:00:00Z';
  return { ...made, metadata: { ...made.metadata, creationTimestamp, ...extra }, status };
}

function ready(since: string): NonNullable<Pod['status']> {
  return {
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: since }],
  };
}

t.test('replicaset: pods that serve least go first', async (t) => {
  const old = '2020-01-01T00:00:00Z';
  const pods = [
    ranked('old', ready(old)),
    ranked('crowded', ready(old)),
    ranked('young', ready('2020-01-01T23:59:00Z')),
    ranked('restarted', {
      ...ready(old),
      containerStatuses: [{ name: 'c', image: '', imageID: '', ready: true, restartCount: 5 }],
    }),
    ranked('cheap', ready(old), {
      annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-10' },
    }),
    ranked('unready', { phase: 'Running' }),
    ranked('pending', { phase: 'Pending' }),
    pod('unassigned'),
  ];
  const crowded = pods.find(({ metadata }) => metadata.name === 'crowded');
  if (crowded) crowded.spec = { ...crowded.spec, nodeName: 'b' };
  const perNode = new Map([
    ['a', 1],
    ['b', 3],
  ]);
  const order = rankForDeletion(pods, perNode, NOW).map(({ metadata }) => metadata.name);
  t.same(order, [
    'unassigned',
    'pending',
    'unready',
    'cheap',
    'crowded',
    'young',
    'restarted',
    'old',
  ]);
});

t.test('replicaset: creates slowly at first', async (t) => {
  t.same(slowStartBatches(0), []);
  t.same(slowStartBatches(1), [1]);
  t.same(slowStartBatches(10), [1, 2, 4, 3]);
});

async function start(t: Test) {
  const cluster = await TestCluster.start();
  const nodes = new FakeNodes(cluster);
  t.teardown(async () => {
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(node('n1'), node('n2'));
  await cluster.lead('scheduler', 'replicaset');
  return { cluster, nodes };
}

const KEY = { namespace: 'default', name: 'web' };
const active = (cluster: TestCluster) => cluster.list('Pod').filter(isPodActive);
const scale = (cluster: TestCluster, replicas: number) =>
  cluster.client.patch('ReplicaSet', KEY, { type: 'merge', body: { spec: { replicas } } });

t.test('replicaset: makes, replaces and removes pods, and reports them', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('ReplicaSet', replicaSet('web', 5));
  const reported = (count: number) => () =>
    cluster.list('ReplicaSet')[0]?.status?.availableReplicas === count;
  await cluster.until('five run', reported(5));
  const [first] = active(cluster);
  if (!first) return t.fail('there is a pod');
  t.match(first.metadata.ownerReferences, [{ kind: 'ReplicaSet', name: 'web', controller: true }]);
  await cluster.client.delete('Pod', { namespace: 'default', name: first.metadata.name });
  await cluster.until('replaced', () => active(cluster).length === 5 && reported(5)());
  await scale(cluster, 2);
  await cluster.until('two are left', () => cluster.list('Pod').length === 2);
  await cluster.until('reported', reported(2));
  t.match(cluster.list('ReplicaSet')[0]?.status, { replicas: 2, observedGeneration: 2 });
  await cluster.pass(100);
  const reasons = new Set(cluster.list('Event').map(({ reason }) => reason));
  t.ok(reasons.has('SuccessfulCreate') && reasons.has('SuccessfulDelete'));
});

t.test('replicaset: adopts orphans that match and lets go of what stops matching', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('Pod', pod('stray', {}, { app: 'web' }));
  await cluster.client.create('ReplicaSet', replicaSet('web', 2));
  await cluster.until('two pods', () => cluster.list('Pod').length === 2);
  await cluster.pass(200);
  const stray = () => cluster.client.informer('Pod').get({ namespace: 'default', name: 'stray' });
  t.match(stray()?.metadata.ownerReferences, [{ name: 'web', controller: true }], 'adopted');
  t.equal(cluster.list('Pod').length, 2, 'it counted: one more was made');
  const body = { metadata: { labels: { app: 'other' } } };
  const key = { namespace: 'default', name: 'stray' };
  await cluster.client.patch('Pod', key, { type: 'merge', body });
  await cluster.until('replaced', () => cluster.list('Pod').length === 3);
  await cluster.pass(200);
  t.same(stray()?.metadata.ownerReferences ?? [], [], 'released');
});

t.test('replicaset: a create that is refused is told and tried again', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.delete('ServiceAccount', { namespace: 'default', name: 'default' });
  await cluster.client.create('ReplicaSet', replicaSet('web', 3));
  await cluster.until('the failure is reported', () => {
    const conditions = cluster.list('ReplicaSet')[0]?.status?.conditions ?? [];
    return conditions.some(
      ({ type, reason }) => type === 'ReplicaFailure' && reason === 'FailedCreate',
    );
  });
  await cluster.client.create('ServiceAccount', {
    metadata: { name: 'default', namespace: 'default' },
  });
  await cluster.until(
    'three run',
    () => cluster.list('ReplicaSet')[0]?.status?.availableReplicas === 3,
  );
  t.same(cluster.list('ReplicaSet')[0]?.status?.conditions ?? [], [], 'the failure is forgotten');
});

t.test('replicaset: leaders that come and go never leave a pod too many', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('ReplicaSet', replicaSet('web', 20));
  for (let term = 0; term < 5; term++) {
    await cluster.pass(5);
    await cluster.lead('replicaset');
  }
  await cluster.lead('scheduler');
  await cluster.until(
    'twenty run',
    () => cluster.list('ReplicaSet')[0]?.status?.availableReplicas === 20,
  );
  t.equal(cluster.list('Pod').length, 20);
});
