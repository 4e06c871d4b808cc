import t, { type Test } from 'tap';
import type { ConfigMap } from '../../../../agents/cluster/kinds.ts';
import type { ClientDeleteOptions } from '../../../../src/client/types.ts';
import { deployment } from '../objects.ts';
import { FakeNodes, node, pod, TestCluster } from '../support.ts';

async function start(t: Test, ...agents: string[]) {
  const cluster = await TestCluster.start({ agents: { podGc: { quarantineMs: 2000 } } });
  const nodes = new FakeNodes(cluster);
  t.teardown(async () => {
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(node('n1'), node('n2'));
  await cluster.lead('garbage-collector', ...agents);
  return { cluster, nodes };
}

async function startWeb(t: Test) {
  const world = await start(t, 'scheduler', 'replicaset', 'deployment');
  await world.cluster.client.create('Deployment', deployment('web', { replicas: 3 }));
  await world.cluster.until('running', () => {
    return world.cluster.list('Deployment')[0]?.status?.availableReplicas === 3;
  });
  return world;
}

const WEB = { namespace: 'default', name: 'web' };

type Owner = { readonly name: string; readonly blocks?: boolean };

async function configMap(
  cluster: TestCluster,
  name: string,
  ...owners: Owner[]
): Promise<ConfigMap> {
  const ownerReferences = owners.map((owner) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: owner.name,
    uid:
      cluster.client.informer('ConfigMap').get({ namespace: 'default', name: owner.name })?.metadata
        .uid ?? 'never-existed',
    ...(owner.blocks === undefined ? {} : { blockOwnerDeletion: owner.blocks }),
  }));
  return cluster.client.create('ConfigMap', {
    metadata: { name, namespace: 'default', ownerReferences },
  });
}

const remove = (cluster: TestCluster, name: string, options: ClientDeleteOptions = {}) =>
  cluster.client.delete('ConfigMap', { namespace: 'default', name }, options);
const left = (cluster: TestCluster) =>
  cluster
    .list('ConfigMap')
    .map(({ metadata }) => metadata.name)
    .sort()
    .join(' ');

t.test('garbage collector: what a deleted deployment owned goes with it', async (t) => {
  const { cluster } = await startWeb(t);
  await cluster.client.delete('Deployment', WEB, { propagationPolicy: 'Background' });
  t.equal(cluster.list('Deployment').length, 0, 'the owner goes first');
  await cluster.until('all gone', () => {
    return cluster.list('ReplicaSet').length === 0 && cluster.list('Pod').length === 0;
  });
});

t.test('garbage collector: deleted in the foreground, the owner goes last', async (t) => {
  const { cluster, nodes } = await startWeb(t);
  nodes.stopMs = 1000;
  await cluster.client.delete('Deployment', WEB, { propagationPolicy: 'Foreground' });
  await cluster.until('the deployment is gone', () => cluster.list('Deployment').length === 0);
  t.equal(cluster.list('Pod').length, 0);
  t.equal(cluster.list('ReplicaSet').length, 0);
});

t.test('garbage collector: orphaned, the owned stay and forget the owner', async (t) => {
  const { cluster } = await startWeb(t);
  await cluster.client.delete('Deployment', WEB, { propagationPolicy: 'Orphan' });
  await cluster.until('the deployment is gone', () => cluster.list('Deployment').length === 0);
  await cluster.pass(1000);
  t.equal(cluster.list('Pod').length, 3);
  t.same(
    cluster.list('ReplicaSet').map(({ metadata }) => metadata.ownerReferences ?? []),
    [[]],
  );
});

t.test('garbage collector: an object with several owners goes with the last', async (t) => {
  const { cluster } = await start(t);
  await configMap(cluster, 'a');
  await configMap(cluster, 'b');
  await configMap(cluster, 'owned', { name: 'a' }, { name: 'b' });
  await remove(cluster, 'a');
  await cluster.pass(500);
  t.equal(left(cluster), 'b owned');
  const owned = cluster.client.informer('ConfigMap').get({ namespace: 'default', name: 'owned' });
  t.same(
    owned?.metadata.ownerReferences?.map(({ name }) => name),
    ['b'],
    'the other is forgotten',
  );
  await remove(cluster, 'b');
  await cluster.until('gone', () => left(cluster) === '');
});

t.test('garbage collector: a foreground owner spares what another owner still has', async (t) => {
  const { cluster } = await start(t);
  await configMap(cluster, 'a');
  await configMap(cluster, 'b');
  await configMap(cluster, 'shared', { name: 'a', blocks: true }, { name: 'b', blocks: true });
  await configMap(cluster, 'sole', { name: 'a', blocks: true });
  await remove(cluster, 'a', { propagationPolicy: 'Foreground' });
  await cluster.until('a is gone', () => left(cluster) === 'b shared');
  const shared = cluster.client.informer('ConfigMap').get({ namespace: 'default', name: 'shared' });
  t.equal(shared?.metadata.deletionTimestamp, undefined);
});

t.test('garbage collector: a dependent that leaves its owner holds it up no more', async (t) => {
  const { cluster } = await start(t);
  await configMap(cluster, 'a');
  await configMap(cluster, 'stuck', { name: 'a', blocks: true });
  const key = { namespace: 'default', name: 'stuck' };
  const held = { metadata: { finalizers: ['example.com/hold'] } };
  await cluster.client.patch('ConfigMap', key, { type: 'merge', body: held });
  await remove(cluster, 'a', { propagationPolicy: 'Foreground' });
  await cluster.pass(1000);
  t.equal(left(cluster), 'a stuck', 'it waits for what blocks it');
  const free = { metadata: { ownerReferences: null } };
  await cluster.client.patch('ConfigMap', key, { type: 'merge', body: free });
  await cluster.until('a is gone', () => left(cluster) === 'stuck', 200);
});

t.test(
  'garbage collector: an owner that never existed, or is another by now, is no owner',
  async (t) => {
    const { cluster } = await start(t);
    await configMap(cluster, 'lost', { name: 'nobody' });
    await cluster.until('gone', () => left(cluster) === '');
    await configMap(cluster, 'owner');
    await configMap(cluster, 'owned', { name: 'owner' });
    await remove(cluster, 'owner');
    await configMap(cluster, 'owner');
    await cluster.until('gone', () => left(cluster) === 'owner');
    t.equal(left(cluster), 'owner', 'the namesake stays');
  },
);

t.test('garbage collector: a ring of owners goes when one of it does', async (t) => {
  for (const propagationPolicy of ['Background', 'Foreground'] as const) {
    const { cluster } = await start(t);
    await configMap(cluster, 'a');
    await configMap(cluster, 'b', { name: 'a', blocks: true });
    const c = await configMap(cluster, 'c', { name: 'b', blocks: true });
    const reference = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      name: 'c',
      uid: c.metadata.uid,
      blockOwnerDeletion: true,
    };
    const body = { metadata: { ownerReferences: [reference] } };
    await cluster.client.patch(
      'ConfigMap',
      { namespace: 'default', name: 'a' },
      { type: 'merge', body },
    );
    await cluster.pass(200);
    t.equal(left(cluster), 'a b c');
    await remove(cluster, 'a', { propagationPolicy });
    await cluster.until(`the ring is gone (${propagationPolicy})`, () => left(cluster) === '');
  }
});

t.test('garbage collector: owners of kinds unknown here are left alone', async (t) => {
  const { cluster } = await start(t);
  const owner = { apiVersion: 'example.com/v1', kind: 'Widget', name: 'w', uid: 'w' };
  await cluster.client.create('ConfigMap', {
    metadata: { name: 'owned', namespace: 'default', ownerReferences: [owner] },
  });
  await cluster.pass(1000);
  t.equal(left(cluster), 'owned');
});

t.test('pod gc: pods of a node that was removed go after a while, not at once', async (t) => {
  const { cluster, nodes } = await start(t, 'pod-gc');
  await cluster.client.create('Pod', pod('p', { nodeName: 'n2' }));
  await cluster.client.create('Pod', pod('q', { nodeName: 'n1' }));
  await cluster.until('running', () => cluster.list('Pod').every(({ status }) => status?.podIP));
  nodes.kill('n2');
  await cluster.client.delete('Node', { name: 'n2' });
  await cluster.pass(1500);
  t.equal(cluster.list('Pod').length, 2);
  await cluster.until('gone', () => cluster.list('Pod').length === 1, 1500);
  t.equal(cluster.list('Pod')[0]?.metadata.name, 'q');
});
