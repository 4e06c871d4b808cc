/** Machines whose Docker runs as Debian installs it: its firewall drops what is forwarded, unless somebody admits it. */

import t from 'tap';
import type { Pod } from '../../src/resources/generated/kinds.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { httpGet } from './support/http.ts';

const cluster = await TestCluster.start(t, { name: 'docker-rules', docker: 'stock' });
const NODE_PORT = 30066;
/** The proxy looks at others' rules this often. */
const LOOK_MS = 30_000;

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: k8s-demo:latest
        imagePullPolicy: IfNotPresent
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

const rulesOn = (host: string) => cluster.onHost(host, ['iptables', '-S']);

t.test('docker: its forward policy is drop, and pods of all nodes reach each other', async (t) => {
  for (const host of cluster.hosts) {
    t.match(await rulesOn(host), /-P FORWARD DROP/, `${host} drops what nobody admits`);
    t.match(await cluster.onHost(host, ['ip', 'link']), /docker0/);
  }
  await cluster.apply(web);
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s']);
  const list = ['get', 'pods', '-l', 'app=web', '-o', 'json'];
  const { items } = JSON.parse(await cluster.kubectl(list)) as { items: Pod[] };
  t.equal(new Set(items.map(({ spec }) => spec.nodeName)).size, 3, 'a pod on each');
  for (const from of items) {
    for (const to of items) {
      const url = `http://${to.status?.podIP}:3000/`;
      const exec = ['exec', from.metadata.name, '--', 'wget', '-q', '-O-', url];
      t.match(await cluster.kubectl(exec), /hello/, `${from.spec.nodeName} to ${to.spec.nodeName}`);
    }
  }
  for (const host of cluster.hosts) {
    const answers = new Set<string>();
    for (let call = 0; call < 24; call++) {
      const url = `http://${cluster.address(host)}:${NODE_PORT}/`;
      answers.add(await httpGet(cluster, undefined, url));
    }
    t.equal(answers.size, 3, `the node port of ${host} leads to all`);
  }
});

t.test('docker: it still understands its own chains, with our rules among them', async (t) => {
  const rules = await rulesOn('node1');
  const ours = rules.split('\n').filter((line) => line.includes('skein pods'));
  t.equal(ours.length, 2);
  for (const line of ours) t.match(line, /^-A DOCKER-USER -[sd] 10\.244\.0\.0\/16 .*-j ACCEPT$/);
  const run = ['docker', 'run', '--rm', '-p', '8099:80', 'busybox:latest', 'true'];
  await cluster.onHost('node1', run);
  t.pass('a container with a published port can be made');
});

t.test('docker: rules that somebody flushes come back', async (t) => {
  await cluster.onHost('node2', ['iptables', '-F', 'DOCKER-USER']);
  await waitFor(
    'the rules to be back',
    async () => (await rulesOn('node2')).includes('skein pods'),
    LOOK_MS + 10_000,
  );
  t.pass('within the time of a look');
});
