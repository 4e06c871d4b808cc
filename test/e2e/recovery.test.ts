/**
 * The drills of docs/operations.md, on real hosts: a backup under load, a majority lost for good, data that is looked at
 * offline, and a cluster that begins anew from its backup.
 */

import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import t from 'tap';
import { ApiClient } from '../../src/chaos/api-client.ts';
import type { BackupReport } from '../../src/node/recovery/backup-file.ts';
import type { DataDirReport } from '../../src/node/recovery/verify.ts';
import type { Pod } from '../../src/resources/generated/kinds.ts';
import { type Output, TestCluster, waitFor } from './support/cluster.ts';
import { CONFIG_MAPS, Writes } from './support/writes.ts';

const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
const DATA_DIR = '/var/lib/skein';
/** On every host the same directory of the machine: a share, as it were. */
const SHARE = '/tmp/skein-recovery-drill';
const PASSPHRASE = `${SHARE}/passphrase`;
const BACKUP = `${SHARE}/monday.backup`;

await rm(SHARE, { recursive: true, force: true });
await mkdir(SHARE, { mode: 0o700 });
t.teardown(() => rm(SHARE, { recursive: true, force: true }));
await writeFile(PASSPHRASE, 'correct horse battery staple\n', { mode: 0o600 });

const cluster = await TestCluster.start(t, { name: 'recovery' });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());
const writes = new Writes(client);

/** The skein command on a host. */
const skein = (host: string, ...args: string[]): Promise<Output> =>
  cluster.tryOnHost(host, [SKEIN, ...args]);

async function succeeds(host: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await skein(host, ...args);
  if (code !== 0) throw new Error(`skein ${args.join(' ')}: exit ${code}: ${stderr}${stdout}`);
  t.comment(`${host}# skein ${args.join(' ')}\n${stderr}${stdout}`);
  return stdout;
}

const others = (host: string) => cluster.hosts.filter((candidate) => candidate !== host);

/** Waits until the Skein process of a host is no more. */
async function ended(host: string): Promise<void> {
  const pid = await cluster.pid(host);
  await waitFor(`skein on ${host} to end`, async () => {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    return text === undefined || text.includes(') Z ');
  });
}

/** Writes through `host` until the signal fires; what is acknowledged is in the books. */
async function load(host: string, prefix: string, signal: AbortSignal): Promise<void> {
  for (let n = 0; !signal.aborted; n++) await writes.write(host, `${prefix}-${n}`);
}

type Item = { readonly metadata: { readonly name: string; readonly namespace?: string } };

/** Everything of a resource, at a revision or now, as text by name. */
async function listed(host: string, path: string, revision?: number): Promise<Map<string, string>> {
  const query = revision ? `?resourceVersion=${revision}&resourceVersionMatch=Exact` : '';
  const { items } = await client.json<{ items: Item[] }>(host, `${path}${query}`);
  return new Map(
    items.map((item) => [`${item.metadata.namespace}/${item.metadata.name}`, JSON.stringify(item)]),
  );
}

/** Resources that no controller touches while nothing happens. */
const STABLE = ['configmaps', 'secrets', 'serviceaccounts', 'namespaces'];
const kept = new Map<string, Map<string, string>>();

const patient = (key: string) =>
  `{key: node.kubernetes.io/${key}, operator: Exists, effect: NoExecute, tolerationSeconds: 3600}`;
const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [${patient('not-ready')}, ${patient('unreachable')}]
      containers:
      - {name: web, image: "k8s-demo:latest", imagePullPolicy: IfNotPresent}
---
apiVersion: v1
kind: Secret
metadata: {name: drill}
stringData: {password: a-secret-that-must-not-show}
`;

const podsOn = async (host: string, node: string): Promise<readonly string[]> => {
  const text = await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'json'], { host });
  return (JSON.parse(text) as { items: Pod[] }).items
    .filter(({ spec }) => spec.nodeName === node)
    .map(({ metadata }) => metadata.uid ?? '')
    .sort();
};

t.test('backup: under load, from any node, it holds one revision whole', async (t) => {
  await cluster.apply(web);
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'], {
    deadlineMs: 100_000,
  });
  const stop = new AbortController();
  const loads = cluster.hosts.map((host) => load(host, `load-${host}`, stop.signal));
  await waitFor('a hundred writes', async () => writes.acknowledged.length >= 100);
  const before = [...writes.acknowledged];
  const host = others(await cluster.leader())[0] ?? '';
  await succeeds(host, 'backup', BACKUP, '--passphrase-file', PASSPHRASE);
  stop.abort();
  await Promise.all(loads);
  const { header, content } = JSON.parse(
    await succeeds(host, 'verify', BACKUP, '-o', 'json'),
  ) as BackupReport;
  t.equal(content.revision, header.revision);
  t.strictSame([...header.members].sort(), ['node1', 'node2', 'node3']);
  t.equal((await stat(BACKUP)).mode & 0o777, 0o600);
  t.notOk((await readFile(BACKUP)).includes('a-secret-that-must-not-show'));
  for (const resource of STABLE) {
    kept.set(resource, await listed(host, `/api/v1/${resource}`, header.revision));
  }
  const inBackup = [...(kept.get('configmaps')?.keys() ?? [])];
  const missing = before.filter((name) => !inBackup.includes(`default/${name}`));
  t.strictSame(missing, [], 'what was acknowledged before it began is in it');
  t.ok(inBackup.length < writes.acknowledged.length + 10, 'and what came after it is not');
});

t.test('backup: to standard output; cut short and bent files are refused', async (t) => {
  const host = cluster.hosts[0] ?? '';
  const piped = `${SKEIN} backup - --without-keys > ${SHARE}/piped`;
  const { code, stderr } = await cluster.tryOnHost(host, ['sh', '-c', piped]);
  t.equal(code, 0);
  t.match(stderr, /to restore it: this file and cluster key [0-9a-f]+/);
  t.equal((await skein(host, 'verify', `${SHARE}/piped`)).code, 0);
  const whole = await readFile(BACKUP);
  const bent = Buffer.from(whole);
  bent.writeUInt8((bent[whole.length >> 1] as number) ^ 4, whole.length >> 1);
  await writeFile(`${SHARE}/bent`, bent);
  await writeFile(`${SHARE}/short`, whole.subarray(0, whole.length - 100));
  for (const name of ['bent', 'short']) {
    for (const args of [
      ['verify', `${SHARE}/${name}`],
      [
        'restore',
        `${SHARE}/${name}`,
        '--passphrase-file',
        PASSPHRASE,
        '--data-dir',
        `${SHARE}/new`,
      ],
    ]) {
      const refused = await skein(host, ...args);
      t.equal(refused.code, 1);
      t.match(refused.stderr, /is no intact backup: .*take another one/);
    }
  }
});

let survivor = '';
let dead = '';
let away = '';

t.test(
  'recover: a majority that answers is not lost, and a node that runs is left alone',
  async (t) => {
    survivor = await cluster.leader();
    [dead = '', away = ''] = others(survivor);
    const running = await skein(survivor, 'recover', '--yes');
    t.equal(running.code, 1);
    t.match(running.stderr, /is in use: process \d+ runs a node there; stop it first/);
    await cluster.stopHost(survivor);
    const answered = await skein(survivor, 'recover', '--yes');
    t.equal(answered.code, 1);
    t.match(answered.stderr, /answered: with this node that is a majority of the 3 voters/);
    await cluster.startHost(survivor);
    await cluster.settled();
  },
);

t.test(
  'recover: a survivor goes on alone, with its pods and every acknowledged write',
  async (t) => {
    // Whoever leads has everything that was acknowledged.
    survivor = await cluster.leader();
    [dead = '', away = ''] = others(survivor);
    const stop = new AbortController();
    const loads = load(survivor, 'last', stop.signal);
    await waitFor('some writes', async () =>
      writes.acknowledged.some((name) => name === 'last-20'),
    );
    await cluster.kill(dead, true);
    await cluster.kill(away);
    stop.abort();
    await loads;
    const containers = await cluster.containers(survivor);
    t.notOk(await writes.write(survivor, 'without-a-majority'));
    await cluster.stopHost(survivor);
    t.match(await succeeds(survivor, 'recover', '--dry-run'), /newest +term \d+, index \d+/);
    const asked = await skein(survivor, 'recover');
    t.equal(asked.code, 1);
    t.match(asked.stderr, /nothing was changed.*repeat with --yes/);
    await succeeds(survivor, 'recover', '--yes');
    await cluster.startHost(survivor);
    await writes.until(survivor, 'after-the-recovery');
    t.strictSame(await writes.missingAt(survivor), [], 'all acknowledged writes are there');
    t.strictSame(await cluster.containers(survivor), containers, 'its containers went on');
    const status = await cluster.status(survivor);
    t.strictSame(
      status?.members.map(({ node }) => node),
      [survivor],
    );
    const revision = Number(
      await cluster.kubectl(
        ['get', 'configmap', 'after-the-recovery', '-o', 'jsonpath={.metadata.resourceVersion}'],
        { host: survivor },
      ),
    );
    t.ok(revision > 1_000_000_000, 'no revision means two things');
  },
);

t.test('verify: good, torn and damaged directories are told apart', async (t) => {
  const inUse = await skein(survivor, 'verify', DATA_DIR);
  t.equal(inUse.code, 1);
  t.match(inUse.stderr, /is in use: process \d+ runs a node there; stop it first/);
  // Of a process that was killed in the middle of its work. What is bent here is a copy.
  await succeeds(away, 'verify', DATA_DIR);
  const copy = `${SHARE}/copy`;
  await cluster.onHost(away, ['cp', '-a', DATA_DIR, copy]);
  const verify = async () => {
    const { code, stdout } = await skein(away, 'verify', copy, '-o', 'json');
    return { code, report: JSON.parse(stdout) as DataDirReport };
  };
  const good = await verify();
  t.match(good, { code: 0, report: { intact: true, node: away } });
  t.ok((good.report.state?.objects ?? 0) > 100);
  const { file: path = '', end = 0 } = good.report.log.segments.at(-1) ?? {};
  const file = await open(path, 'r+');
  t.teardown(() => file.close());
  await file.write(Buffer.from('half a record'), 0, 13, end);
  t.match(await verify(), { code: 0, report: { findings: [{ kind: 'torn', offset: end }] } });
  t.match((await skein(away, 'verify', copy)).stdout, /^torn .*the next start overwrites them$/m);
  const middle = 4096 + ((end - 4096) >> 1);
  await file.write(Buffer.from('bent'), 0, 4, middle);
  const damaged = await verify();
  t.match(damaged, { code: 1, report: { intact: false, findings: [{ kind: 'damaged' }] } });
  const offset = damaged.report.findings[0]?.offset ?? 0;
  t.ok(offset >= 4096 && offset <= middle, `byte ${offset}`);
  const { stdout } = await skein(away, 'verify', copy);
  t.match(stdout, /^DAMAGED .*byte \d+/m);
  t.comment(stdout);
});

t.test('recover: old members that come back are refused, and told what to do', async (t) => {
  const before = await cluster.status(survivor);
  const containers = await cluster.containers(away);
  // Both at once: together they were a majority of the old cluster.
  await Promise.all([dead, away].map((host) => cluster.startHost(host).catch(() => {})));
  for (const host of [dead, away]) {
    await ended(host);
    await t.rejects(
      cluster.startHost(host),
      /was left behind when its cluster was recovered elsewhere.*skein reset --yes --keep-pods/,
      `${host} does not come back`,
    );
  }
  const after = await cluster.status(survivor);
  t.equal(after?.term, before?.term, 'nor do they disturb the survivor');
  t.strictSame(await cluster.containers(away), containers, 'their containers go on');
});

t.test('recover: they join anew under their names, and their pods go on', async (t) => {
  const containers = await cluster.containers(away);
  const uids = await podsOn(survivor, away);
  t.ok(uids.length > 0 && containers.length > 0);
  await succeeds(away, 'reset', '--yes', '--keep-pods');
  await succeeds(dead, 'reset', '--yes');
  await cluster.startHost(away);
  await cluster.startHost(dead);
  await cluster.settled();
  await waitFor('three voters', async () => {
    const members = (await cluster.status(survivor))?.members ?? [];
    return members.filter(({ role, ready }) => role === 'voter' && ready === 'True').length === 3;
  });
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'], {
    host: survivor,
    deadlineMs: 100_000,
  });
  t.strictSame(await podsOn(survivor, away), uids);
  t.strictSame(await cluster.containers(away), containers, 'not one was started anew');
  for (const host of cluster.hosts) t.strictSame(await writes.missingAt(host), [], host);
  await cluster.kill(survivor);
  await writes.until(away, 'without-the-survivor');
});

t.test('restore: from its backup the cluster begins anew, every object as it was', async (t) => {
  const [first = '', ...rest] = cluster.hosts;
  for (const host of cluster.hosts) await cluster.kill(host).catch(() => {});
  for (const host of cluster.hosts) await succeeds(host, 'reset', '--yes');
  await succeeds(
    first,
    'restore',
    BACKUP,
    '--passphrase-file',
    PASSPHRASE,
    '--advertise-address',
    cluster.address(first),
  );
  const again = await skein(first, 'restore', BACKUP, '--passphrase-file', PASSPHRASE);
  t.equal(again.code, 1);
  t.match(again.stderr, /is not empty/);
  t.equal((await skein(first, 'verify', DATA_DIR)).code, 0);
  await cluster.startHost(first);
  for (const host of rest) await cluster.startHost(host);
  await cluster.settled();
  for (const resource of STABLE) {
    const now = await listed(first, `/api/v1/${resource}`);
    for (const [name, text] of kept.get(resource) ?? []) {
      if (now.get(name) !== text) t.equal(now.get(name), text, `${resource} ${name}`);
    }
    t.ok(now.size >= (kept.get(resource)?.size ?? 0), `${now.size} ${resource}`);
  }
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'], {
    host: first,
    deadlineMs: 100_000,
  });
  t.pass('what a controller owns runs again, and the old kubeconfig is good');
  const { text } = await client.call(first, `${CONFIG_MAPS}?watch=true&resourceVersion=1000`);
  t.match(text, /"type":"ERROR".*"code":410/, 'watches of the old cluster are sent to list anew');
});
