/**
 * A node that is cut off from the cluster goes on by itself: across a crash of its process, across a loss of power, and without
 * a needless restart when the others are back.
 */

import t from 'tap';
import type { Pod } from '../../src/resources/generated/kinds.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { httpGet } from './support/http.ts';

const cluster = await TestCluster.start(t, { name: 'autonomy' });
const SERVICE_IP = '10.96.7.7';
const HOST_PORT = 8088;
const NODE_PORT = 30077;
/** Longer than a node needs to be given up and its pods evicted, had they not said that they stay. */
const GIVEN_UP_LIMIT_MS = 20_000;

/** A server that is bound to one node for good, and says its name. */
const server = (name: string, host: string, hostPort = 0) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${host}}}
spec:
  nodeSelector: {kubernetes.io/hostname: ${host}}
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers:
  - name: web
    image: k8s-demo:latest
    imagePullPolicy: IfNotPresent
    ports: [{containerPort: 3000${hostPort > 0 ? `, hostPort: ${hostPort}` : ''}}]
    envFrom: [{secretRef: {name: settings}}]
    volumeMounts: [{name: settings, mountPath: /settings}]
    readinessProbe: {httpGet: {path: /, port: 3000}, periodSeconds: 1}
  volumes: [{name: settings, secret: {secretName: settings}}]
---
`;

const service = (host: string) => `
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  type: NodePort
  clusterIP: ${SERVICE_IP}
  selector: {app: ${host}}
  ports: [{port: 80, targetPort: 3000, nodePort: ${NODE_PORT}}]
`;

const podOn = (name: string, host?: string) =>
  cluster.get<Pod>('pod', name, host === undefined ? {} : { host });

async function until(what: string, name: string, phase: (pod: Pod) => boolean, host?: string) {
  return waitFor(what, async () => {
    const pod = await podOn(name, host);
    return phase(pod) ? pod : undefined;
  });
}

const ready = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;

/** Asks an address from the host itself. */
const ask = (host: string, address: string) => httpGet(cluster, host, `http://${address}/`);

type Life = { readonly pod: string; readonly id: string; readonly startedAt: string };

/** The running containers of pods, sandboxes left out, in the order of pods. */
async function running(host: string): Promise<readonly Life[]> {
  const ids = (await cluster.onHost(host, ['docker', 'ps', '-q', '--no-trunc'])).trim();
  if (ids === '') return [];
  const text = await cluster.onHost(host, ['docker', 'inspect', ...ids.split('\n')]);
  const found = JSON.parse(text) as {
    Id: string;
    Config: { Labels: Readonly<Record<string, string>> };
    State: { StartedAt: string };
  }[];
  return found
    .filter(({ Config }) => Config.Labels['io.kubernetes.container.name'] !== undefined)
    .map(({ Id, Config, State }) => ({
      pod: Config.Labels['io.kubernetes.pod.name'] ?? '',
      id: Id,
      startedAt: State.StartedAt,
    }))
    .sort((one, other) => (one.pod < other.pod ? -1 : 1));
}

const podsIn = (containers: readonly Life[]): string[] => containers.map(({ pod }) => pod);

const givenUp = async (host: string, by: string) =>
  waitFor(
    `${by} to give ${host} up`,
    async () => {
      const status = await cluster.status(by);
      return status?.members.find(({ node }) => node === host)?.ready === 'Unknown';
    },
    GIVEN_UP_LIMIT_MS,
  );

async function healed(host: string): Promise<void> {
  await cluster.heal();
  await waitFor('the node to be ready again', async () => {
    const status = await cluster.status(host);
    return status?.quorum && status.members.every((member) => member.ready === 'True');
  });
}

t.before(async () => {
  await cluster.kubectl(['create', 'secret', 'generic', 'settings', '--from-literal=word=flock']);
});

t.test(
  'autonomy: a process that dies and starts while cut off adopts its pods and serves',
  async (t) => {
    const host = 'node3';
    await cluster.apply(server('stays', host, HOST_PORT) + server('falls', host) + service(host));
    const stays = await until('the first pod', 'stays', ready);
    await until('the second pod', 'falls', ready);
    await waitFor('the service', () => ask(host, SERVICE_IP));
    const before = await running(host);

    await cluster.isolate(host);
    await givenUp(host, 'node1');
    await cluster.kill(host);
    t.match(await ask(host, SERVICE_IP), /hello/, 'no process: the service goes on');
    t.match(await ask(host, `127.0.0.1:${HOST_PORT}`).catch(() => 'refused'), /refused/);
    t.match(await ask(host, `${cluster.address(host)}:${HOST_PORT}`), /hello/, 'and the host port');
    await cluster.startHost(host);
    t.strictSame(await running(host), before, 'adopted: nothing is restarted');
    t.notOk((await cluster.status(host))?.quorum, 'still cut off');
    // What ends is started again, by what the node has on disk.
    const old = before.find(({ pod }) => pod === 'falls');
    await cluster.onHost(host, ['docker', 'kill', old?.id ?? '']);
    const again = await waitFor('the container to be started again', async () => {
      const now = await running(host);
      const fresh = now.find(({ pod, id }) => pod === 'falls' && id !== old?.id);
      return fresh && now.length === before.length ? now : undefined;
    });
    await waitFor('both to answer', async () => {
      const answers = new Set<string>();
      for (let call = 0; call < 12; call++) answers.add(await ask(host, SERVICE_IP));
      return answers.size === 2;
    });
    t.match(await ask(host, `${cluster.address(host)}:${NODE_PORT}`), /hello/, 'the node port');

    await healed(host);
    const after = await until('the first pod to be ready', 'stays', ready);
    t.equal(after.metadata.uid, stays.metadata.uid);
    t.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    t.equal(after.status?.podIP, stays.status?.podIP);
    const fell = await until('the second pod to be ready', 'falls', ready);
    t.equal(fell.status?.containerStatuses?.[0]?.restartCount, 1, 'the restart is told afterwards');
    t.strictSame(await running(host), again, 'healing restarts nothing');
  },
);

t.test(
  'autonomy: a host that reboots while cut off brings its pods and services back',
  async (t) => {
    const host = 'node2';
    await cluster.kubectl(['delete', 'service', 'local']);
    await cluster.apply(server('returns', host, HOST_PORT) + service(host));
    const pod = await until('the pod', 'returns', ready);
    await waitFor('the service', () => ask(host, SERVICE_IP));

    await cluster.isolate(host);
    await givenUp(host, 'node1');
    await cluster.kill(host, true);
    await cluster.startHost(host);
    t.notOk((await cluster.status(host))?.quorum, 'still cut off');
    const back = await waitFor('the pod to run again', async () => {
      const now = await running(host);
      return now.length > 0 ? now : undefined;
    });
    t.match(await waitFor('the service', () => ask(host, SERVICE_IP)), /hello/);
    t.match(await ask(host, `${cluster.address(host)}:${NODE_PORT}`), /hello/, 'the node port');
    t.match(await ask(host, `${cluster.address(host)}:${HOST_PORT}`), /hello/, 'the host port');
    const exec = ['docker', 'exec', back[0]?.id ?? '', 'sh', '-c'];
    t.equal(
      await cluster.onHost(host, [...exec, 'echo $word; cat /settings/word']),
      'flock\nflock',
    );

    await healed(host);
    const after = await until('the pod to be ready', 'returns', ready);
    t.equal(after.metadata.uid, pod.metadata.uid, 'the same pod');
    t.equal(after.status?.podIP, pod.status?.podIP, 'at the same address');
    t.equal(after.status?.containerStatuses?.[0]?.restartCount, 1);
    t.strictSame(await running(host), back, 'healing restarts nothing');
    t.match(await ask('node1', SERVICE_IP), /hello/, 'others reach it again');
  },
);

t.test('autonomy: what the cluster decided meanwhile is done when the node is back', async (t) => {
  const host = 'node3';
  await cluster.isolate(host);
  await givenUp(host, 'node1');
  await cluster.kill(host);
  const force = ['--grace-period=0', '--force'];
  await cluster.kubectl(['delete', 'pod', 'falls', ...force], { host: 'node1' });
  await cluster.startHost(host);
  const before = await running(host);
  t.strictSame(podsIn(before), ['falls', 'stays'], 'it cannot know yet');
  await healed(host);
  await waitFor('the deleted pod to be ended', async () => {
    const now = await running(host);
    return !podsIn(now).includes('falls');
  });
  t.strictSame(
    await running(host),
    before.filter(({ pod }) => pod === 'stays'),
    'and only that',
  );
});
