/** The manifests of 2015 to 2017 as they stand, on real hosts: they end running and answering, or refused as they must be. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import type { Pod, Service } from '../../src/resources/generated/kinds.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { httpGet } from './support/http.ts';

const cluster = await TestCluster.start(t, { name: 'manifests' });

const manifest = (name: string): Promise<string> =>
  readFile(new URL(`../fixtures/manifests/${name}.yaml`, import.meta.url), 'utf8');

const applyManifest = async (name: string): Promise<string> => cluster.apply(await manifest(name));

/** What a server at `url` answers, once it does: without a readiness probe a pod is Ready before it listens. */
const answerOf = (url: string, host?: string): Promise<string> =>
  waitFor(`an answer at ${url}`, () => httpGet(cluster, host, url), 10_000);

const podReady = (name: string): Promise<Pod> =>
  waitFor(`pod ${name} to be ready`, async () => {
    const pod = await cluster.get<Pod>('pod', name);
    const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
    return ready && pod;
  });

const exec = (pod: string, ...command: string[]): Promise<string> =>
  cluster.kubectl(['exec', pod, '--', ...command]);

t.test('manifests: pod-redis-django runs two containers that share one network', async (t) => {
  await applyManifest('pod-redis-django');
  const pod = await podReady('redis-django');
  t.equal(pod.status?.containerStatuses?.length, 2);
  const ip = pod.status?.podIP ?? '';
  t.match(await answerOf(`http://${ip}:8080/`, 'node1'), /hello, I am django/);
  const pong = await exec('redis-django', 'sh', '-c', 'echo PING | nc -w 2 127.0.0.1 6379').catch(
    (error: Error) => error.message,
  );
  t.match(pong, 'PONG', 'the first container answers on loopback');
});

t.test(
  'manifests: restartPolicy in lower case is refused with path and supported values',
  async (t) => {
    const answer = await cluster.tryKubectl(['apply', '-f', '-'], {
      input: await manifest('deployment-webapp-extensions-v1beta1'),
    });
    t.not(answer.code, 0);
    t.match(answer.stderr, /spec\.template\.spec\.restartPolicy: Unsupported value: "always"/);
    t.match(answer.stderr, /supported values: "Always"/);
  },
);

t.test(
  'manifests: the webapp Deployment of extensions/v1beta1 runs behind its NodePort Service',
  async (t) => {
    await applyManifest('deployment-webapp');
    await applyManifest('service-webapp-nodeport');
    await cluster.kubectl(['rollout', 'status', 'deployment/webapp', '--timeout=60s']);
    const service = await cluster.get<Service>('service', 'webapp-service');
    const nodePort = service.spec?.ports?.[0]?.nodePort ?? 0;
    for (const host of ['node1', 'node2', 'node3']) {
      const url = `http://${cluster.address(host)}:${nodePort}/`;
      const text = await answerOf(url);
      t.match(text, /hello, I am django from webapp-/, `the node port of ${host}`);
    }
    const inside = await exec(
      'redis-django',
      'wget',
      '-q',
      '-O-',
      `http://${service.spec?.clusterIP}:80/`,
    );
    t.match(inside, /hello, I am django from webapp-/, 'the cluster IP, from a pod');
  },
);

t.test(
  'manifests: pod-nodeselector waits for a labelled node, with the reason, then runs there',
  async (t) => {
    await applyManifest('pod-nodeselector');
    const condition = await waitFor('the refusal', async () => {
      const pod = await cluster.get<Pod>('pod', 'nodehelloworld-selected');
      return pod.status?.conditions?.find(({ reason }) => reason === 'Unschedulable');
    });
    t.match(
      condition.message,
      /0\/3 nodes are available: 3 node\(s\) didn't match Pod's node affinity\/selector/,
    );
    await cluster.kubectl(['label', 'node', 'node2', 'hardware=high-spec']);
    const pod = await podReady('nodehelloworld-selected');
    t.equal(pod.spec.nodeName, 'node2');
  },
);

t.test('manifests: pod-liveness stays up while healthy', async (t) => {
  await applyManifest('pod-liveness');
  const pod = await podReady('nodehelloworld.example.com');
  t.match(await answerOf(`http://${pod.status?.podIP}:3000/`, 'node1'), /hello, I am k8s-demo/);
  t.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0);
});

t.test('manifests: a liveness probe that fails restarts its container', async (t) => {
  await cluster.apply(`
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  containers:
  - name: c
    image: busybox
    command: [sh, -c, 'touch /tmp/ok; sleep 2; rm /tmp/ok; sleep 1000']
    livenessProbe: {exec: {command: [cat, /tmp/ok]}, periodSeconds: 1, failureThreshold: 1}
  terminationGracePeriodSeconds: 1
`);
  const status = await waitFor('a restart', async () => {
    const pod = await cluster.get<Pod>('pod', 'sick');
    const [first] = pod.status?.containerStatuses ?? [];
    return (first?.restartCount ?? 0) > 0 && first;
  });
  t.equal(status.lastState?.terminated?.exitCode, 137);
  const events = await cluster.kubectl([
    'get',
    'events',
    '--field-selector',
    'involvedObject.name=sick',
  ]);
  t.match(events, /Liveness probe failed/);
  await cluster.kubectl(['delete', 'pod', 'sick', '--now']);
});

t.test(
  'manifests: secret-and-pod shows the secret as environment and as files in memory',
  async (t) => {
    await applyManifest('secret-and-pod');
    await podReady('secret-reader');
    t.equal(
      (await exec('secret-reader', 'sh', '-c', 'echo $SECRET_USERNAME $SECRET_PASSWORD')).trim(),
      'root password',
    );
    t.equal(await exec('secret-reader', 'cat', '/etc/creds/username'), 'root');
    t.match(await exec('secret-reader', 'mount'), /tmpfs on \/etc\/creds type tmpfs \(ro/);
  },
);

t.test(
  'manifests: configmap-pod shows the map as environment and files, and follows its changes',
  async (t) => {
    const literals = ['--from-literal=driver=jdbc', '--from-literal=database=postgres'];
    await cluster.kubectl(['create', 'configmap', 'app-config', ...literals]);
    await applyManifest('configmap-pod');
    await podReady('configmap-reader');
    t.equal(
      (await exec('configmap-reader', 'sh', '-c', 'echo $DRIVER $DATABASE')).trim(),
      'jdbc postgres',
    );
    t.equal(await exec('configmap-reader', 'cat', '/etc/config/driver'), 'jdbc');
    const patch = '{"data":{"driver":"odbc"}}';
    await cluster.kubectl(['patch', 'configmap', 'app-config', '-p', patch]);
    await waitFor('the new value in the volume', async () => {
      return (await exec('configmap-reader', 'cat', '/etc/config/driver')) === 'odbc';
    });
  },
);

t.test('manifests: a Deployment of version v1 is refused as an unknown kind', async (t) => {
  const { code, stderr } = await cluster.tryKubectl(['apply', '-f', '-'], {
    input: await manifest('deployment-helloworld-v1-as-printed'),
  });
  t.not(code, 0);
  t.match(stderr, /no matches for kind "Deployment" in version "v1"/);
});
