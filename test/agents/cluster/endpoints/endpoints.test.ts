import t, { type Test } from 'tap';
import { decideSlices } from '../../../../agents/cluster/endpoint-slices/decide.ts';
import { decideEndpoints } from '../../../../agents/cluster/endpoints/decide.ts';
import type { EndpointSlice, Pod, Service } from '../../../../agents/cluster/kinds.ts';
import { deployment, service } from '../objects.ts';
import { FakeNodes, node, pod, TestCluster } from '../support.ts';

function backend(
  name: string,
  ip: string,
  options: { ready?: boolean; leaving?: boolean; port?: number } = {},
): Pod {
  const { ready = true, leaving = false, port = 8080 } = options;
  const containers = [{ name: 'c', ports: [{ name: 'http', containerPort: port }] }];
  const made = pod(name, { containers, nodeName: 'a' }, { app: 'web' });
  const deletionTimestamp = leaving ? { deletionTimestamp: '2020-01-01T00:00:00Z' } : {};
  return {
    ...made,
    metadata: { ...made.metadata, ...deletionTimestamp },
    status: {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

const PODS = [
  backend('ready', '10.0.0.2'),
  backend('starting', '10.0.0.1', { ready: false }),
  backend('leaving', '10.0.0.3', { leaving: true }),
  backend('elsewhere', '10.0.0.4', { port: 9090 }),
];

const ips = (addresses: readonly { ip: string }[] | undefined) => addresses?.map(({ ip }) => ip);

t.test('endpoints: ready, not ready, and by the ports each pod has', async (t) => {
  const { subsets = [] } = decideEndpoints(service('web', 'web'), PODS);
  t.equal(subsets.length, 2);
  t.same(ips(subsets[0]?.addresses), ['10.0.0.2']);
  t.same(ips(subsets[0]?.notReadyAddresses), ['10.0.0.1']);
  t.match(subsets[0]?.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
  t.same(ips(subsets[1]?.addresses), ['10.0.0.4']);
  t.match(subsets[1]?.ports, [{ port: 9090 }]);
  t.match(subsets[0]?.addresses, [{ nodeName: 'a', targetRef: { kind: 'Pod', name: 'ready' } }]);
});

t.test('endpoints: publishNotReadyAddresses publishes all', async (t) => {
  const published = service('web', 'web', { publishNotReadyAddresses: true });
  const { subsets = [] } = decideEndpoints(published, PODS.slice(0, 3));
  t.same(ips(subsets[0]?.addresses), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
});

t.test('endpoints: a headless Service needs no ports', async (t) => {
  const headless = service('web', 'web', { clusterIP: 'None', ports: [] });
  const made = decideEndpoints(headless, PODS.slice(0, 1));
  t.same(ips(made.subsets?.[0]?.addresses), ['10.0.0.2']);
  t.equal(made.subsets?.[0]?.ports, undefined);
  t.match(made.metadata.labels, { 'service.kubernetes.io/headless': '' });
});

function slicesOf(wanted: Service, pods: readonly Pod[], present: readonly EndpointSlice[] = []) {
  return decideSlices({ service: wanted, pods, present, zoneOf: () => 'z1' });
}

t.test('endpoint slices: conditions tell serving from ready from terminating', async (t) => {
  const { create } = slicesOf(service('web', 'web'), PODS.slice(0, 3));
  t.equal(create.length, 1);
  const byName = new Map(create[0]?.endpoints?.map((one) => [one.targetRef?.name, one]));
  t.same(byName.get('ready')?.conditions, { ready: true, serving: true, terminating: false });
  t.same(byName.get('starting')?.conditions, { ready: false, serving: false, terminating: false });
  t.same(byName.get('leaving')?.conditions, { ready: false, serving: true, terminating: true });
  t.match(byName.get('ready'), { nodeName: 'a', zone: 'z1', addresses: ['10.0.0.2'] });
  t.match(create[0]?.metadata.labels, {
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
});

t.test('endpoint slices: a hundred endpoints each, and few writes to change them', async (t) => {
  const many = Array.from({ length: 250 }, (_, index) => backend(`p${index}`, `10.0.1.${index}`));
  const web = service('web', 'web');
  const { create } = slicesOf(web, many);
  t.same(
    create.map(({ endpoints }) => endpoints?.length),
    [100, 100, 50],
  );
  const named = create.map((slice, index) => {
    return { ...slice, metadata: { ...slice.metadata, name: `web-${index}` } };
  });
  t.same(slicesOf(web, many, named), { create: [], update: [], delete: [] }, 'nothing to do');
  const oneMore = slicesOf(web, [...many, backend('new', '10.0.2.1')], named);
  t.same(
    oneMore.update.map(({ metadata }) => metadata.name),
    ['web-2'],
  );
  const exchanged = slicesOf(web, [...many.slice(1), backend('new', '10.0.2.1')], named);
  t.same(
    exchanged.update.map(({ metadata }) => metadata.name),
    ['web-0'],
    'the newcomer takes the place',
  );
  const none = slicesOf(web, [], named);
  t.equal(none.create.length, 1, 'an empty slice remains');
  t.equal(none.delete.length, 3);
});

async function start(t: Test) {
  const cluster = await TestCluster.start();
  const nodes = new FakeNodes(cluster);
  t.teardown(async () => {
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(node('n1'), node('n2'));
  await cluster.lead(
    'scheduler',
    'replicaset',
    'deployment',
    'endpoints',
    'endpoint-slices',
    'kubernetes-service',
  );
  return { cluster, nodes };
}

const KEY = { namespace: 'default', name: 'web' };
const serving = (cluster: TestCluster) =>
  cluster.client.informer('Endpoints').get(KEY)?.subsets?.[0]?.addresses?.length ?? 0;
const slicesServing = (cluster: TestCluster) =>
  cluster
    .list('EndpointSlice')
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'web')
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready === true).length;

t.test('endpoints: follow pods within milliseconds', async (t) => {
  const { cluster, nodes } = await start(t);
  await cluster.client.create('Service', service('web', 'web'));
  await cluster.client.create('Deployment', deployment('web', { replicas: 3 }));
  await cluster.until('three serve', () => serving(cluster) === 3 && slicesServing(cluster) === 3);
  const [first, second] = cluster.list('Pod');
  if (!first || !second) return t.fail('there are pods');
  await nodes.setReady(first, false);
  await cluster.until('unready', () => serving(cluster) === 2 && slicesServing(cluster) === 2, 20);
  await nodes.setReady(first, true);
  await cluster.until('ready', () => serving(cluster) === 3 && slicesServing(cluster) === 3, 20);
  nodes.stopMs = 5000;
  await cluster.client.delete('Pod', { namespace: 'default', name: second.metadata.name });
  await cluster.until('left', () => serving(cluster) === 2 && slicesServing(cluster) === 2, 20);
  await cluster.client.delete('Service', KEY);
  await cluster.until('gone with the Service', () => {
    return cluster.list('EndpointSlice').length === 1 && cluster.list('Endpoints').length === 1;
  });
  t.equal(cluster.list('Endpoints')[0]?.metadata.name, 'kubernetes', 'others stay');
});

t.test('endpoints: what somebody changed by hand is put right', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('Service', service('web', 'web'));
  await cluster.client.create('Deployment', deployment('web', { replicas: 1 }));
  await cluster.until('it serves', () => serving(cluster) === 1 && slicesServing(cluster) === 1);
  await cluster.client.patch('Endpoints', KEY, { type: 'merge', body: { subsets: null } });
  await cluster.until('restored', () => serving(cluster) === 1, 50);
  const [slice] = cluster.list('EndpointSlice').filter(({ metadata }) => metadata.generateName);
  await cluster.client.delete('EndpointSlice', {
    namespace: 'default',
    name: slice?.metadata.name ?? '',
  });
  await cluster.until('restored', () => slicesServing(cluster) === 1, 50);
  t.pass();
});

t.test('endpoints: those of a Service without a selector are the user’s', async (t) => {
  const { cluster } = await start(t);
  const { selector: _none, ...spec } = service('web', 'web').spec;
  await cluster.client.create('Service', { ...service('web', 'web'), spec });
  const subsets = [{ addresses: [{ ip: '192.0.2.1' }], ports: [{ name: 'http', port: 80 }] }];
  await cluster.client.create('Endpoints', { metadata: KEY, subsets });
  await cluster.pass(200);
  t.match(cluster.client.informer('Endpoints').get(KEY)?.subsets, subsets);
});

t.test('kubernetes service: points at every ready node', async (t) => {
  const { cluster } = await start(t);
  const key = { namespace: 'default', name: 'kubernetes' };
  await cluster.until(
    'it is there',
    () => cluster.client.informer('EndpointSlice').get(key) !== undefined,
  );
  t.match(cluster.client.informer('Service').get(key)?.spec, {
    clusterIP: '10.96.0.1',
    ports: [{ name: 'https', port: 443, targetPort: 6443 }],
  });
  t.equal(cluster.client.informer('Endpoints').get(key)?.subsets?.[0]?.addresses?.length, 2);
  const status = { conditions: [{ type: 'Ready', status: 'Unknown' }] };
  await cluster.client.patch(
    'Node',
    { name: 'n2' },
    { type: 'strategic', body: { status } },
    { subresource: 'status' },
  );
  await cluster.until('one is left', () => {
    return cluster.client.informer('EndpointSlice').get(key)?.endpoints?.length === 1;
  });
});
