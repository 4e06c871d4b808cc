import t from 'tap';
import type { KubeObject } from '../../src/resources/types.ts';
import { registry } from './support.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const META = { name: 'x', namespace: 'default', creationTimestamp: '2026-01-01T00:57:00Z' };

/** One row of `kubectl get -o wide`, as an object by column name. */
function row(kindName: string, object: object): Record<string, unknown> {
  const kind = registry.byKind(kindName);
  if (kind === undefined) throw new Error(`no kind ${kindName}`);
  const cells = kind.cells({ metadata: META, ...object } as KubeObject, NOW);
  if (cells.length !== kind.columns.length) throw new Error(`${kindName}: cells do not fit`);
  return Object.fromEntries(kind.columns.map(({ name }, index) => [name, cells[index]]));
}

/** The STATUS and READY of a pod. */
function podRow(status: object, extra: object = {}): Record<string, unknown> {
  const spec = { containers: [{ name: 'a' }, { name: 'b' }], ...(extra as { spec?: object }).spec };
  return row('Pod', { ...extra, spec, status });
}

const running = (name: string, ready = true) => ({
  name,
  ready,
  restartCount: 0,
  state: { running: {} },
});
const waiting = (name: string, reason: string) => ({
  name,
  ready: false,
  restartCount: 0,
  state: { waiting: { reason } },
});
const terminated = (name: string, exitCode: number, more: object = {}) => ({
  name,
  ready: false,
  restartCount: 0,
  state: { terminated: { exitCode, ...more } },
});

t.test('columns: an empty object of any kind makes a row', async (t) => {
  for (const kind of registry.kinds) {
    const cells = kind.cells({ metadata: META }, NOW);
    t.equal(cells.length, kind.columns.length, kind.kind);
    t.notOk(cells.includes(undefined as never), `${kind.kind}: no cell is undefined`);
  }
});

t.test('columns: a pod shows its phase until containers say more', async (t) => {
  t.match(podRow({ phase: 'Pending' }), {
    Status: 'Pending',
    Ready: '0/2',
    Restarts: '0',
    Age: '3m',
  });
  t.match(podRow({ phase: 'Running', containerStatuses: [running('a'), running('b')] }), {
    Status: 'Running',
    Ready: '2/2',
  });
  t.match(podRow({ phase: 'Failed', reason: 'Evicted' }), { Status: 'Evicted' });
  t.match(podRow({ phase: 'Pending', containerStatuses: [waiting('a', 'ContainerCreating')] }), {
    Status: 'ContainerCreating',
  });
  t.match(
    podRow({
      phase: 'Running',
      containerStatuses: [waiting('a', 'CrashLoopBackOff'), running('b')],
    }),
    { Status: 'CrashLoopBackOff', Ready: '1/2' },
  );
});

t.test('columns: the end of containers shows as reason, signal or exit code', async (t) => {
  const status = (...containerStatuses: object[]) =>
    podRow({ phase: 'Running', containerStatuses })['Status'];
  t.equal(status(terminated('a', 0, { reason: 'Completed' })), 'Completed');
  t.equal(status(terminated('a', 1, { reason: 'Error' })), 'Error');
  t.equal(status(terminated('a', 137, { signal: 9 })), 'Signal:9');
  t.equal(status(terminated('a', 3)), 'ExitCode:3');
  const done = terminated('a', 0, { reason: 'Completed' });
  t.equal(status(done, running('b')), 'NotReady', 'one has ended, the other runs unready');
  const ready = [{ type: 'Ready', status: 'True' }];
  t.match(
    podRow({ phase: 'Running', conditions: ready, containerStatuses: [done, running('b')] }),
    { Status: 'Running', Ready: '1/2' },
  );
});

t.test('columns: init containers show how far they are', async (t) => {
  const spec = { initContainers: [{ name: 'i' }, { name: 'j' }] };
  const status = (...initContainerStatuses: object[]) =>
    podRow({ phase: 'Pending', initContainerStatuses }, { spec })['Status'];
  t.equal(status(waiting('i', 'PodInitializing'), waiting('j', 'PodInitializing')), 'Init:0/2');
  t.equal(status(terminated('i', 0), running('j', false)), 'Init:1/2');
  t.equal(status(waiting('i', 'CrashLoopBackOff')), 'Init:CrashLoopBackOff');
  t.equal(status(terminated('i', 1, { reason: 'Error' })), 'Init:Error');
  t.equal(status(terminated('i', 2)), 'Init:ExitCode:2');
  t.equal(status(terminated('i', 0), terminated('j', 0)), 'Pending', 'all done: the phase again');
});

t.test('columns: a sidecar counts as a container', async (t) => {
  const spec = { initContainers: [{ name: 's', restartPolicy: 'Always' }] };
  const sidecar = { ...running('s'), started: true, restartCount: 2 };
  t.match(
    podRow(
      {
        phase: 'Running',
        initContainerStatuses: [sidecar],
        containerStatuses: [running('a'), running('b')],
      },
      { spec },
    ),
    { Ready: '3/3', Status: 'Running', Restarts: '2' },
  );
});

t.test('columns: restarts tell when the last one was', async (t) => {
  const restarted = {
    ...running('a'),
    restartCount: 3,
    lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T00:59:55Z' } },
  };
  t.match(podRow({ phase: 'Running', containerStatuses: [restarted, running('b')] }), {
    Restarts: '3 (5s ago)',
  });
});

t.test('columns: a pod that goes is terminating until it has ended', async (t) => {
  const metadata = { ...META, deletionTimestamp: '2026-01-01T00:59:00Z' };
  t.match(podRow({ phase: 'Running' }, { metadata }), { Status: 'Terminating' });
  t.match(podRow({ phase: 'Running', reason: 'NodeLost' }, { metadata }), { Status: 'Unknown' });
  t.match(podRow({ phase: 'Succeeded' }, { metadata }), { Status: 'Succeeded' });
});

t.test('columns: a pod shows where it runs', async (t) => {
  const gates = { spec: { nodeName: 'n1', readinessGates: [{ conditionType: 'a/b' }] } };
  t.match(podRow({ phase: 'Running', podIPs: [{ ip: '10.1.0.5' }] }, gates), {
    IP: '10.1.0.5',
    Node: 'n1',
    'Nominated Node': '<none>',
    'Readiness Gates': '0/1',
  });
  t.match(podRow({}), { IP: '<none>', Node: '<none>', 'Readiness Gates': '<none>' });
});

t.test('columns: a node shows state, roles and addresses', async (t) => {
  const node = {
    metadata: {
      ...META,
      labels: { 'node-role.kubernetes.io/worker': '', 'node-role.kubernetes.io/control-plane': '' },
    },
    spec: { unschedulable: true },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
      nodeInfo: {
        kubeletVersion: 'v1.32.0',
        osImage: 'Debian',
        containerRuntimeVersion: 'docker://26',
      },
    },
  };
  t.match(row('Node', node), {
    Status: 'Ready,SchedulingDisabled',
    Roles: 'control-plane,worker',
    Version: 'v1.32.0',
    'Internal-IP': '192.0.2.1',
    'External-IP': '<none>',
    'Kernel-Version': '<unknown>',
  });
  t.match(row('Node', { spec: {} }), { Status: 'Unknown', Roles: '<none>' });
  const unready = { conditions: [{ type: 'Ready', status: 'Unknown' }] };
  t.match(row('Node', { spec: {}, status: unready }), { Status: 'NotReady' });
});

t.test('columns: a service shows addresses and ports by its type', async (t) => {
  const ports = [
    { port: 80, nodePort: 31001, protocol: 'TCP' },
    { port: 53, protocol: 'UDP' },
  ];
  const spec = { type: 'LoadBalancer', clusterIP: '10.96.0.1', ports, selector: { a: 'b' } };
  t.match(row('Service', { spec }), {
    Type: 'LoadBalancer',
    'Cluster-IP': '10.96.0.1',
    'External-IP': '<pending>',
    'Port(s)': '80:31001/TCP,53/UDP',
    Selector: 'a=b',
  });
  const status = { loadBalancer: { ingress: [{ ip: '192.0.2.9' }] } };
  t.match(row('Service', { spec, status }), { 'External-IP': '192.0.2.9' });
  t.match(row('Service', { spec: { type: 'ExternalName', externalName: 'a.example' } }), {
    'Cluster-IP': '<none>',
    'External-IP': 'a.example',
    'Port(s)': '<none>',
  });
});

t.test('columns: workloads show counts, images and selector', async (t) => {
  const spec = {
    replicas: 3,
    selector: { matchLabels: { app: 'web' } },
    template: {
      spec: {
        containers: [
          { name: 'a', image: 'i:1' },
          { name: 'b', image: 'j:2' },
        ],
      },
    },
  };
  const status = { replicas: 3, readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2 };
  t.match(row('Deployment', { spec, status }), {
    Ready: '2/3',
    'Up-to-date': 1,
    Available: 2,
    Containers: 'a,b',
    Images: 'i:1,j:2',
    Selector: 'app=web',
  });
  t.match(row('ReplicaSet', { spec, status }), { Desired: 3, Current: 3, Ready: 2 });
});

t.test('columns: endpoints show three addresses and count the rest', async (t) => {
  const addresses = ['1', '2', '3', '4', '5'].map((last) => ({ ip: `10.0.0.${last}` }));
  t.equal(
    row('Endpoints', { subsets: [{ addresses, ports: [{ port: 80 }] }] })['Endpoints'],
    '10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...',
  );
  t.equal(row('Endpoints', {})['Endpoints'], '<none>');
  const slice = { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [] };
  t.match(row('EndpointSlice', slice), { Ports: '<unset>', Endpoints: '10.0.0.1' });
});

t.test('columns: an event shows when, what and how often', async (t) => {
  const event = {
    involvedObject: { kind: 'Pod', name: 'web', fieldPath: 'spec.containers{web}' },
    type: 'Warning',
    reason: 'BackOff',
    message: ' restarting \n',
    source: { component: 'kubelet', host: 'n1' },
    firstTimestamp: '2026-01-01T00:50:00Z',
    lastTimestamp: '2026-01-01T00:59:50Z',
    count: 4,
  };
  t.match(row('Event', event), {
    'Last Seen': '10s',
    Object: 'pod/web',
    Subobject: 'spec.containers{web}',
    Source: 'kubelet, n1',
    Message: 'restarting',
    'First Seen': '10m',
    Count: 4,
  });
  const single = { involvedObject: {}, eventTime: '2026-01-01T00:59:00.000000Z' };
  t.match(row('Event', single), { 'Last Seen': '60s', 'First Seen': '60s', Count: 1 });
});

t.test('columns: configuration counts its keys', async (t) => {
  t.match(row('ConfigMap', { data: { a: '' }, binaryData: { b: '' } }), { Data: 2 });
  t.match(row('Secret', { type: 'Opaque', data: { a: '' } }), { Type: 'Opaque', Data: 1 });
  t.match(row('ServiceAccount', {}), { Secrets: 0 });
  t.match(row('Lease', { spec: { holderIdentity: 'n1' } }), { Holder: 'n1' });
  t.match(row('Namespace', { status: { phase: 'Active' } }), { Status: 'Active' });
});
