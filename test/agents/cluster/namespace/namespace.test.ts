import t, { type Test } from 'tap';
import { deployment, service } from '../objects.ts';
import { CA, FakeNodes, node, TestCluster } from '../support.ts';

async function start(t: Test, ...agents: string[]) {
  const cluster = await TestCluster.start({ namespaces: [] });
  const nodes = new FakeNodes(cluster);
  t.teardown(async () => {
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(node('n1'));
  await cluster.lead('namespace', 'service-account', ...agents);
  return { cluster, nodes };
}

const names = (cluster: TestCluster) =>
  cluster.list('Namespace').map(({ metadata }) => metadata.name);
const ROOT_CA = { namespace: 'default', name: 'kube-root-ca.crt' };

t.test('namespaces: the ones every cluster has, each with an account and the CA', async (t) => {
  const { cluster } = await start(t);
  await cluster.until('made', () => cluster.list('ConfigMap').length === 4);
  t.same(names(cluster).sort(), ['default', 'kube-node-lease', 'kube-public', 'kube-system']);
  t.equal(cluster.list('ServiceAccount').length, 4);
  t.match(cluster.client.informer('ConfigMap').get(ROOT_CA)?.data, { 'ca.crt': CA });
  await cluster.client.delete('ConfigMap', ROOT_CA);
  await cluster.until(
    'made again',
    () => cluster.client.informer('ConfigMap').get(ROOT_CA) !== undefined,
  );
  await cluster.client.patch('ConfigMap', ROOT_CA, {
    type: 'merge',
    body: { data: { 'ca.crt': 'x', y: 'z' } },
  });
  await cluster.until('put right', () => {
    const data = cluster.client.informer('ConfigMap').get(ROOT_CA)?.data ?? {};
    return data['ca.crt'] === CA && Object.keys(data).length === 1;
  });
});

t.test('namespaces: one that is deleted is emptied, then goes', async (t) => {
  const agents = ['scheduler', 'replicaset', 'deployment', 'endpoints', 'endpoint-slices'];
  const { cluster, nodes } = await start(t, ...agents);
  nodes.stopMs = 3000;
  await cluster.client.create('Namespace', { metadata: { name: 'shop' } });
  await cluster.until('account', () => cluster.list('ServiceAccount', 'shop').length === 1);
  const inShop = { namespace: 'shop' };
  const web = deployment('web');
  const front = service('web', 'web');
  await cluster.client.create('Deployment', { ...web, metadata: { ...web.metadata, ...inShop } });
  await cluster.client.create('Service', { ...front, metadata: { ...front.metadata, ...inShop } });
  await cluster.until(
    'running',
    () => cluster.list('Deployment')[0]?.status?.availableReplicas === 3,
  );
  await cluster.client.delete('Namespace', { name: 'shop' });
  await cluster.until('it reports what is left', () => {
    const shop = cluster.client.informer('Namespace').get({ name: 'shop' });
    const remaining = shop?.status?.conditions?.find(
      ({ type }) => type === 'NamespaceContentRemaining',
    );
    return remaining?.status === 'True' && (remaining.message ?? '').includes('pods. has 3');
  });
  t.equal(cluster.client.informer('Namespace').get({ name: 'shop' })?.status?.phase, 'Terminating');
  await cluster.until('gone', () => !names(cluster).includes('shop'));
  for (const kind of [
    'Pod',
    'Service',
    'ReplicaSet',
    'Deployment',
    'ConfigMap',
    'ServiceAccount',
    'Event',
  ] as const) {
    t.equal(cluster.list(kind, 'shop').length, 0, `no ${kind} is left`);
  }
});

t.test('namespaces: a finalizer on something inside keeps it, and is named', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('Namespace', { metadata: { name: 'shop' } });
  await cluster.client.create('ConfigMap', {
    metadata: { name: 'held', namespace: 'shop', finalizers: ['example.com/hold'] },
  });
  await cluster.client.delete('Namespace', { name: 'shop' });
  await cluster.until('the finalizer is named', () => {
    const shop = cluster.client.informer('Namespace').get({ name: 'shop' });
    const held = shop?.status?.conditions?.find(
      ({ type }) => type === 'NamespaceFinalizersRemaining',
    );
    return (
      held?.message ===
      'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances'
    );
  });
  await cluster.pass(3000);
  t.ok(names(cluster).includes('shop'));
  const body = { metadata: { finalizers: null } };
  await cluster.client.patch(
    'ConfigMap',
    { namespace: 'shop', name: 'held' },
    { type: 'merge', body },
  );
  await cluster.until('gone', () => !names(cluster).includes('shop'), 500);
});
