/** What must stay secret stays so: in logs (even at debug), in files, in metrics, in lists of processes. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { ApiClient } from '../../src/chaos/api-client.ts';
import type { SecretsStatus } from '../../src/cli/status-types.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const cluster = await TestCluster.start(t, { name: 'secrets', flags: ['--log-level=debug'] });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());

const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
const DATA_DIR = '/var/lib/skein';
const VALUE = 'correct-horse-battery-staple';
const HOST = 'node1';
/** Leaves, and joins anew. */
const JOINER = 'node3';
/** Said by a Secret that is created, changed and deleted. */
const CANARIES = ['yellow-canary-in-its-cage', 'yellow-canary-flown-away'];
/** In plain, and as they stand in objects. The last letters of the encoded form depend on what follows. */
const WORDS = [VALUE, ...CANARIES].flatMap((word) => [
  word,
  Buffer.from(word).toString('base64').slice(0, -4),
]);

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: keeper}
spec:
  # Its node may be down for a while: eviction is tested elsewhere.
  tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute}
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
  const keys = JSON.parse(file) as Record<'caKeyPem' | 'tokenKeyPem' | 'secretsKey', string>;
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
    ['cluster key', keys.secretsKey],
    ['join token', token],
    ['join token, its end', token.slice(-60)],
    ['value of a secret', VALUE],
    ['value of a secret, encoded', Buffer.from(VALUE).toString('base64')],
    ['signature of a requested token', account.trim().split('.')[2] ?? ''],
    ['signature of a mounted token', mounted.trim().split('.')[2] ?? ''],
  ]);
}

/** Files of a host's data directory that hold one of `words`; the memory volumes of pods are no files. */
async function filesWith(host: string, words: readonly string[]): Promise<readonly string[]> {
  const patterns = words.flatMap((word) => ['-e', word]);
  const grep = ['grep', '-rlaF', ...patterns, DATA_DIR, `--exclude-dir=memory`];
  const { code, stdout, stderr } = await cluster.tryOnHost(host, grep);
  // Files come and go meanwhile; anything else that cannot be read would hide something.
  const unread = stderr.split('\n').filter((line) => !/^$|No such (file|device)/.test(line));
  if (code > 1 && unread.length > 0) throw new Error(unread.join('\n'));
  return stdout.split('\n').filter((line) => line !== '');
}

const atRest = async (host: string): Promise<SecretsStatus> =>
  JSON.parse(await cluster.onHost(host, [SKEIN, 'secrets', 'status', '-o', 'json']));

/** What the kept Secret says, by the API of `host`. */
async function wordAt(host: string): Promise<string> {
  const path = 'jsonpath={.data.word}';
  const text = await cluster.kubectl(['get', 'secret', 'words', '-o', path], { host });
  return Buffer.from(text, 'base64').toString();
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

t.test('secrets: what a Secret says, or ever said, is in no file', async (t) => {
  for (const [at, word] of CANARIES.entries()) {
    const literal = `--from-literal=word=${word}`;
    if (at > 0) await cluster.kubectl(['delete', 'secret', 'canary']);
    await cluster.kubectl(['create', 'secret', 'generic', 'canary', literal]);
    await cluster.kubectl(['annotate', 'secret', 'canary', `words=${word}`]);
  }
  await cluster.kubectl(['delete', 'secret', 'canary']);
  await cluster.settled();
  for (const host of cluster.hosts) {
    t.strictSame(await filesWith(host, WORDS), [], host);
    const limits = await readFile(`/proc/${await cluster.pid(host)}/limits`, 'utf8');
    t.match(limits, /Max core file size +0 /, 'a crash would leave no core file');
  }
  const { dataKey = 'none' } = await atRest(HOST);
  t.ok((await filesWith(HOST, [dataKey])).length > 0, 'a search finds what is there');
});

t.test(
  'secrets: a change of key outlives its leader, and leaves nothing under the former one',
  async (t) => {
    const before = await atRest(HOST);
    t.match(before, { encrypted: true, kinds: ['secrets'], complete: true });
    const leader = await cluster.leader();
    const other = cluster.hosts.find((host) => host !== leader) ?? HOST;
    await cluster.onHost(leader, [SKEIN, 'secrets', 'rotate', '--no-wait']);
    await cluster.kill(leader);
    const without = await cluster.tryOnHost(other, [SKEIN, 'secrets', 'rotate', '--timeout=3s']);
    t.not(without.code, 0, 'a node that is down is waited for');
    t.match(without.stderr + without.stdout, new RegExp(`${leader} +unreachable`));
    await cluster.startHost(leader);
    const after = await waitFor('every node to be done', async () => {
      const status = await atRest(other);
      if (!status.complete) throw new Error(JSON.stringify(status.nodes));
      return status;
    });
    t.not(after.dataKey, before.dataKey);
    t.equal(after.clusterKey, before.clusterKey);
    for (const host of cluster.hosts) {
      t.strictSame(await filesWith(host, [before.dataKey ?? '', ...WORDS]), [], host);
    }
    t.match(await wordAt(other), VALUE, 'Secrets are what they were');
  },
);

t.test('secrets: neither does a backup say them', async (t) => {
  const file = `${cluster.directory(HOST)}/canary.backup`;
  await cluster.onHost(HOST, [SKEIN, 'backup', file, '--without-keys']);
  const bytes = await readFile(file, 'latin1');
  t.ok(bytes.length > 10_000);
  t.notOk(WORDS.some((word) => bytes.includes(word)));
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

t.test('secrets: a node that joins afterwards reads them, and keeps them sealed', async (t) => {
  await cluster.onHost(HOST, [SKEIN, 'remove', JOINER]);
  const reset = await waitFor('the removed node to end', async () => {
    const outcome = await cluster.tryOnHost(JOINER, [SKEIN, 'reset', '--yes']);
    if (outcome.code !== 0) throw new Error(outcome.stderr);
    return outcome;
  });
  t.match(reset.stdout, /is gone/);
  await cluster.startHost(JOINER);
  await cluster.settled();
  t.match(await wordAt(JOINER), VALUE);
  t.strictSame(await filesWith(JOINER, WORDS), []);
  const status = await waitFor('the new node to count', async () => {
    const seen = await atRest(HOST);
    return seen.complete && seen.nodes.length === cluster.hosts.length && seen;
  });
  t.ok(status.nodes.some(({ node }) => node === JOINER));
});
