/** Addresses are hints: nodes that get others come back by themselves, one at a time or all at once. */

import t from 'tap';
import { labKubeconfig } from '../../src/lab/index.ts';
import type { Node, Pod } from '../../src/resources/generated/kinds.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { httpGet } from './support/http.ts';

const cluster = await TestCluster.start(t, { name: 'addresses' });
const SERVICE_IP = '10.96.5.5';

const web = (host: string) => `
apiVersion: v1
kind: Pod
metadata: {name: web-${host}, labels: {app: web}}
spec:
  nodeSelector: {kubernetes.io/hostname: ${host}}
  tolerations: [{operator: Exists}]
  containers:
  - name: web
    image: k8s-demo:latest
    imagePullPolicy: IfNotPresent
    readinessProbe: {httpGet: {path: /, port: 3000}, periodSeconds: 1}
---
`;
const service = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: ${SERVICE_IP}
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`;

const internalIp = async (host: string, by: string) => {
  const { status } = await cluster.get<Node>('node', host, { host: by });
  return status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
};

/** Waits until every host answers with all members in reach, and all nodes are ready. */
async function whole(): Promise<void> {
  await cluster.settled();
  await waitFor('everybody to reach everybody', async () => {
    for (const host of cluster.hosts) {
      const members = (await cluster.status(host))?.members ?? [];
      const lost = members.filter(({ connected, ready }) => !connected || ready !== 'True');
      if (lost.length > 0) throw new Error(`${host}: ${lost.map(({ node }) => node).join(' ')}`);
    }
    return true;
  });
}

/** Every host reaches the pods of every host, through the service. */
async function served(): Promise<void> {
  for (const host of cluster.hosts) {
    await waitFor(`all pods to answer ${host}`, async () => {
      const answers = new Set<string>();
      for (let call = 0; call < 24; call++) {
        answers.add(await httpGet(cluster, host, `http://${SERVICE_IP}/`));
      }
      if (answers.size < cluster.hosts.length) throw new Error([...answers].join(' '));
      return true;
    });
  }
}

t.before(async () => {
  await cluster.apply(cluster.hosts.map(web).join('') + service);
  await served();
});

/** An address of the lab's subnet. */
const sibling = (address: string, last: number): string => address.replace(/\d+$/, String(last));

t.test('addresses: a node with a new address says so, and is found again', async (t) => {
  const pods = await Promise.all(cluster.hosts.map((host) => cluster.containers(host)));
  for (const [index, host] of cluster.hosts.entries()) {
    const address = sibling(cluster.address(host), 101 + index);
    await cluster.readdress(host, address);
    await cluster.stopHost(host);
    await cluster.startHost(host);
    const other = cluster.hosts.find((candidate) => candidate !== host) ?? '';
    await waitFor('the others to know', async () => {
      const record = (await cluster.status(other))?.members.find(({ node }) => node === host);
      return record?.connected && record.addresses[0]?.includes(address);
    });
    await waitFor('the Node to say so', async () => {
      // The machine's kubeconfig knows the old addresses: ask on the host itself.
      const text = await cluster.onHost(other, [
        'kubectl',
        '--kubeconfig=/var/lib/skein/admin.kubeconfig',
        'get',
        'node',
        host,
        '-o',
        'json',
      ]);
      const { status } = JSON.parse(text) as Node;
      return status?.addresses?.some((one) => one.address === address);
    });
  }
  await whole();
  await served();
  t.strictSame(
    await Promise.all(cluster.hosts.map((host) => cluster.containers(host))),
    pods,
    'no container was touched',
  );
});

/** Stops all hosts, gives them new addresses from `last` on, and starts them with `flags`. */
async function moveAll(last: number, flags: (addresses: readonly string[]) => readonly string[]) {
  const addresses = cluster.hosts.map((host, index) =>
    sibling(cluster.address(host), last + index),
  );
  for (const host of cluster.hosts) await cluster.stopHost(host);
  for (const [index, host] of cluster.hosts.entries()) {
    await cluster.readdress(host, addresses[index] ?? '');
  }
  for (const host of cluster.hosts) await cluster.startHost(host, flags(addresses));
  const started = performance.now();
  await whole();
  t.comment(`together ${((performance.now() - started) / 1000).toFixed(1)} s after the last start`);
  return addresses;
}

t.test('addresses: all at once, they find each other by themselves', async () => {
  await moveAll(131, () => []);
  await served();
});

t.test('addresses: where nobody can be called, one address leads to all', async (t) => {
  // Everybody has to find the leader, whoever that will be; all are told of the first only.
  const addresses = await moveAll(151, ([first]) => [`--peers=${first}`, '--local-discovery=off']);
  await labKubeconfig(cluster.name); // The file of before names the old addresses.
  for (const [index, host] of cluster.hosts.entries()) {
    await waitFor(
      `the Node ${host} to show its address`,
      async () => (await internalIp(host, host)) === addresses[index],
    );
  }
  await served();
  const pods = JSON.parse(await cluster.kubectl(['get', 'pods', '-o', 'json'])) as { items: Pod[] };
  for (const { metadata, status } of pods.items) {
    t.equal(status?.containerStatuses?.[0]?.restartCount, 0, metadata.name);
  }
  // From now on the records are true again, and no word is needed.
  for (const host of cluster.hosts) await cluster.stopHost(host);
  for (const host of cluster.hosts) await cluster.startHost(host, ['--local-discovery=off']);
  await whole();
  t.pass('without the flag');
});
