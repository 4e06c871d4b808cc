/** Workloads and Services under change and under fire: roll-outs, dead leaders, dead hosts, restarts of the process. */

import { createConnection } from 'node:net';
import t from 'tap';
import type { EndpointSlice, Pod } from '../../src/resources/generated/kinds.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { ConstantRequests } from './support/http.ts';

const cluster = await TestCluster.start(t, { name: 'workloads' });
const { hosts } = cluster;
const NODE_PORT = 30080;
/** Limits of the lab setting. */
const HOST_DEATH_LIMIT_MS = 10_000;
/** Outlasts a Skein process that is killed and started again, however slow the machine. */
const PATIENT_SECONDS = 60;
/** The lab's own default. */
const IMPATIENT_SECONDS = 2;

/** `patienceSeconds`: how long pods stay bound to a node that is silent. */
const web = (image: string, replicas: number, patienceSeconds: number) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 10
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: ${patienceSeconds}}
      containers:
      - name: web
        image: ${image}
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 3000}]
        readinessProbe: {httpGet: {path: /, port: 3000}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000, nodePort: ${NODE_PORT}}]
`;

const url = (host: string): string => `http://${cluster.address(host)}:${NODE_PORT}/`;
const rolledOut = () =>
  cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'], {
    deadlineMs: 100_000,
  });

const pods = async (host?: string): Promise<readonly Pod[]> => {
  const text = await cluster.kubectl(
    ['get', 'pods', '-l', 'app=web', '-o', 'json'],
    host ? { host } : {},
  );
  return (JSON.parse(text) as { items: Pod[] }).items;
};

t.test('workloads: a roll-out and its undo lose no request', async (t) => {
  await cluster.apply(web('k8s-demo:latest', 4, PATIENT_SECONDS));
  await rolledOut();
  const load = new ConstantRequests(url('node1'));
  await waitFor('requests to be under way', async () => load.count > 50);
  await cluster.kubectl(['set', 'image', 'deployment/web', 'web=k8s-demo:v2']);
  await rolledOut();
  await waitFor('answers of version 2', async () =>
    [...load.answers.keys()].some((text) => text.includes('version 2')),
  );
  await cluster.kubectl(['rollout', 'undo', 'deployment/web']);
  await rolledOut();
  await waitFor('old pods to be gone', async () => (await pods()).length === 4);
  await load.stop();
  t.comment(`${load.count} requests answered`);
  t.strictSame(load.failures, []);
  t.ok(load.count > 200, 'there was load');
});

t.test('workloads: the death of the leader touches no container and no connection', async (t) => {
  const before = await Promise.all(hosts.map((host) => cluster.containers(host)));
  const [pod] = await pods();
  const podName = pod?.metadata.name ?? '';
  // A connection through the Service stays open across the death.
  const leader = await cluster.leader();
  const other = hosts.find((host) => host !== leader) ?? '';
  const load = new ConstantRequests(url(leader));
  const open = createConnection({ host: cluster.address(leader), port: NODE_PORT });
  await new Promise((resolve) => open.once('connect', resolve));
  await cluster.kill(leader);
  await cluster.kubectl(['create', 'configmap', 'after-leader'], { host: other });
  open.write('GET / HTTP/1.0\r\n\r\n');
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    open.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    open.once('end', () => resolve(text));
    open.once('error', reject);
  });
  t.match(
    answer,
    /200 OK[\s\S]*hello, I am k8s-demo/,
    'the open connection still leads to its pod',
  );
  await cluster.startHost(leader);
  await waitFor('the node to be ready again', async () => {
    const statuses = await cluster.status(leader);
    return statuses?.members.every(({ ready }) => ready === 'True');
  });
  await load.stop();
  t.strictSame(load.failures, [], 'no request through the dead leader’s host failed');
  t.strictSame(await Promise.all(hosts.map((host) => cluster.containers(host))), before);
  const same = (await pods()).find(({ metadata }) => metadata.name === podName);
  t.equal(same?.status?.containerStatuses?.[0]?.restartCount, 0);
});

t.test(
  'workloads: SIGTERM leaves containers running, and the next process adopts them',
  async (t) => {
    const before = await cluster.containers('node2');
    await cluster.stopHost('node2');
    t.strictSame(await cluster.containers('node2'), before, 'while no process runs');
    await cluster.startHost('node2');
    await waitFor('node2 to be ready', async () => {
      const status = await cluster.status('node2');
      return status?.members.find(({ node }) => node === 'node2')?.ready === 'True';
    });
    t.strictSame(await cluster.containers('node2'), before, 'after the restart');
    const exec = ['exec', 'deployment/web', '--', 'hostname'];
    t.match(await cluster.kubectl(exec), /^web-/, 'adopted containers can be entered');
  },
);

t.test(
  'workloads: the pods of a dead host run elsewhere, and the Service forgets it, in time',
  async (t) => {
    await cluster.apply(web('k8s-demo:latest', 4, IMPATIENT_SECONDS));
    await rolledOut();
    await waitFor('old pods to be gone', async () => (await pods()).length === 4);
    const leader = await cluster.leader();
    const survivors = hosts.filter((host) => host !== leader);
    const [first = ''] = survivors;
    const victims = (await pods()).filter(({ spec }) => spec.nodeName === leader);
    t.ok(victims.length > 0, 'the leader’s host runs pods');
    const victimIps = new Set(victims.map(({ status }) => status?.podIP));
    await cluster.kill(leader, true);
    const killed = performance.now();
    const slices = async () => {
      const list = ['get', 'endpointslices', '-l', 'kubernetes.io/service-name=web', '-o', 'json'];
      return (
        JSON.parse(await cluster.kubectl(list, { host: first })) as { items: EndpointSlice[] }
      ).items;
    };
    await waitFor('the Service to forget the dead', async () => {
      const ready = (await slices())
        .flatMap(({ endpoints }) => endpoints ?? [])
        .filter(({ conditions }) => conditions?.ready);
      return ready.every(({ addresses }) => !victimIps.has(addresses[0] ?? ''));
    });
    const forgottenMs = performance.now() - killed;
    await waitFor('four ready pods on the survivors', async () => {
      const alive = (await pods(first)).filter(
        ({ spec, status, metadata }) =>
          survivors.includes(spec.nodeName ?? '') &&
          metadata.deletionTimestamp === undefined &&
          status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
      );
      return alive.length === 4;
    });
    const replacedMs = performance.now() - killed;
    t.comment(
      `forgotten after ${forgottenMs.toFixed(0)} ms, replaced after ${replacedMs.toFixed(0)} ms`,
    );
    t.ok(forgottenMs < HOST_DEATH_LIMIT_MS, 'endpoints');
    t.ok(replacedMs < HOST_DEATH_LIMIT_MS, 'pods');
    const load = new ConstantRequests(url(first));
    await waitFor('forty answers', async () => load.count >= 40);
    await load.stop();
    t.strictSame(load.failures, [], 'every request finds a living pod');
    await cluster.startHost(leader);
    await waitFor('the host to be back', async () => {
      const status = await cluster.status(leader);
      return status?.members.find(({ node }) => node === leader)?.ready === 'True';
    });
    await waitFor('the old pods to be gone everywhere', async () => (await pods()).length === 4);
  },
);
