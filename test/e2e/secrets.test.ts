/** What must stay secret stays so: in logs (even at debug), in files, in metrics, in lists of processes. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { ApiClient } from '../../src/chaos/api-client.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const cluster = await TestCluster.start(t, { name: 'secrets', flags: ['--log-level=debug'] });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());

const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
const DATA_DIR = '/var/lib/skein';
const VALUE = 'correct-horse-battery-staple';
const HOST = 'node1';

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: keeper}
spec:
  containers:
  - name: main
    image: busybox:latest
    imagePullPolicy: IfNotPresent
    command: [sleep, "3600"]
    env: [{name: WORD, valueFrom: {secretKeyRef: {name: words, key: word}}}]
    volumeMounts: [{name: words, mountPath: /words}]
  volumes: [{name: words, secret: {secretName: words}}]
`;

type Secrets = ReadonlyMap<string, string>;

/** Everything that must be seen nowhere, by name. */
async function collect(): Promise<Secrets> {
  const file = await readFile(`${cluster.directory(HOST)}/root${DATA_DIR}/cluster.json`, 'utf8');
  const keys = JSON.parse(file) as { caKeyPem: string; tokenKeyPem: string };
  /** A line from the middle of a key: what is around it is the same in every key. */
  const body = (pem: string) => pem.trim().split('\n')[1] ?? '';
  const token = (await cluster.onHost(HOST, [SKEIN, 'token', 'create'])).trim();
  const account = await cluster.kubectl(['create', 'token', 'default']);
  const mounted = await cluster.kubectl([
    'exec',
    'keeper',
    '--',
    'cat',
    '/var/run/secrets/kubernetes.io/serviceaccount/token',
  ]);
  return new Map([
    ['key of the authority', body(keys.caKeyPem)],
    ['key for tokens', body(keys.tokenKeyPem)],
    ['join token', token],
    ['join token, its end', token.slice(-60)],
    ['value of a secret', VALUE],
    ['value of a secret, encoded', Buffer.from(VALUE).toString('base64')],
    ['signature of a requested token', account.trim().split('.')[2] ?? ''],
    ['signature of a mounted token', mounted.trim().split('.')[2] ?? ''],
  ]);
}

const namesIn = (text: string, secrets: Secrets): string[] =>
  [...secrets].filter(([, secret]) => text.includes(secret)).map(([name]) => name);

t.before(async () => {
  const literal = `--from-literal=word=${VALUE}`;
  await cluster.kubectl(['create', 'secret', 'generic', 'words', literal]);
  await cluster.apply(pod);
  await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/keeper', '--timeout=60s']);
});

t.test('secrets: no log of any host holds one, whatever happens', async (t) => {
  const secrets = await collect();
  for (const [name, secret] of secrets) t.ok(secret.length > 15, `${name} is known`);
  // Things that make a process talk: refusals, conflicts, a new leader, a restart, a bad token.
  await cluster.tryKubectl([
    'create',
    'secret',
    'generic',
    'words',
    `--from-literal=word=${VALUE}`,
  ]);
  await cluster.tryKubectl(['patch', 'secret', 'words', '-p', `{"data":{"word":"${VALUE}"}}`]);
  await cluster.tryKubectl(['replace', '-f', '-'], {
    input: `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"words","resourceVersion":"1"},"stringData":{"word":"${VALUE}"}}`,
  });
  const path = `/api/v1/namespaces/default/secrets?token=${secrets.get('join token')}`;
  await client.call(HOST, path);
  await cluster.tryOnHost(HOST, [
    SKEIN,
    'join',
    `${secrets.get('join token')}x`,
    '--data-dir=/tmp/skein-e2e-secrets',
    '--api-port=7443',
    '--mesh-port=7444',
  ]);
  await cluster.kill(await cluster.leader());
  for (const host of cluster.hosts) await cluster.startHost(host);
  await cluster.settled();
  for (const host of cluster.hosts) {
    const log = await readFile(`${cluster.directory(host)}/skein.log`, 'utf8');
    t.ok(log.includes('"level":"debug"'), `${host} logs what it does`);
    t.strictSame(namesIn(log, secrets), [], host);
    t.notMatch(log, /PRIVATE KEY/, host);
  }
});

t.test('secrets: what lies on disk is root’s alone', async (t) => {
  for (const host of cluster.hosts) {
    const list = [
      'find',
      DATA_DIR,
      '-xdev',
      '-not',
      '-path',
      '*/pods/pods/*',
      '-not',
      '-path',
      '*/network/ipam/*',
    ];
    const text = await cluster.onHost(host, [...list, '-printf', '%m %y %p\\n']);
    const entries = text
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    t.ok(entries.length > 10);
    t.strictSame(entries[0], ['700', 'd', DATA_DIR], 'nobody else gets in');
    const open = entries.filter(
      ([mode = '', kind]) => kind !== 'd' && kind !== 'l' && mode !== '600',
    );
    t.strictSame(open, [], `${host}: files`);
  }
  const log = await cluster.onHost(HOST, [
    'stat',
    '-c',
    '%a',
    `${cluster.directory(HOST)}/skein.log`,
  ]);
  t.equal(log.trim(), '600', 'and the log as well');
});

t.test('secrets: values of secrets are on disk only where they must be', async (t) => {
  const grep = ['grep', '-rlE', VALUE, DATA_DIR, '--include=*', '--exclude-dir=consensus'];
  for (const host of cluster.hosts) {
    const { stdout } = await cluster.tryOnHost(host, grep);
    // The memory volume, and nothing that survives the machine but the pod's checkpoint (base64).
    const places = stdout
      .trim()
      .split('\n')
      .filter((line) => line !== '');
    t.ok(
      places.every((place) => place.startsWith(`${DATA_DIR}/pods/memory/`)),
      `${host}: ${places.join(' ')}`,
    );
  }
});

t.test('secrets: metrics are for those who may see them, and name no objects', async (t) => {
  const secrets = await collect();
  for (const host of cluster.hosts) {
    const { code, text } = await client.call(host, '/metrics');
    t.equal(code, 200);
    for (const name of [
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag',
      'apiserver_request_total',
      'skein_mesh_dial_failures_total',
      'skein_raft_proposals_total',
    ]) {
      t.ok(text.includes(name), `${host}: ${name}`);
    }
    t.strictSame(namesIn(text, secrets), [], host);
    t.notMatch(text, /keeper|words/, 'no labels by user');
    const url = `https://${cluster.address(host)}:6443/metrics`;
    const wget = await cluster.tryOnHost(host, [
      'curl',
      '-sk',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      url,
    ]);
    t.match(wget.stdout, /^40[13]$/, 'strangers are refused');
  }
});

t.test('secrets: the list of processes shows none', async (t) => {
  const secrets = await collect();
  await waitFor('skein to run', async () => (await cluster.status(HOST)) !== undefined);
  for (const host of cluster.hosts) {
    const text = await cluster.onHost(host, ['ps', 'axww', '-o', 'args']);
    t.match(text, /^skein join|main\.ts up/m);
    t.strictSame(namesIn(text, secrets), [], host);
    t.notMatch(text, /main\.ts join skein1\./, 'nor the token by which a node joined');
  }
});
