/**
 * One node and its command line on a host of its own: how fast it is ready, what its commands show, how it refuses what
 * is wrong (tokens, settings, a machine that lacks something, data of another node), and how it ends.
 */

import type { ChildProcess } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import type { ActorInfo } from '../../src/actors/types.ts';
import { ApiClient } from '../../src/chaos/api-client.ts';
import type { NodeStatusReport } from '../../src/cli/status-types.ts';
import { type Output, TestCluster, waitFor } from './support/cluster.ts';
import { figures, median } from './support/writes.ts';

const HOST = 'node1';
const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
const DATA_DIR = '/var/lib/skein';
/** Of a node that never comes to be. */
const JOINER_DIR = '/tmp/skein-e2e-joiner';
const FIRST_STARTS = 3;
/** What the product promises for a first start with the images at hand. */
const READY_MS_MAX = 3000;
/** A refusal at the start needs no more than the program's own start-up, and for tokens a word with the cluster. */
const REFUSAL_MS_MAX = 15_000;

const cluster = await TestCluster.start(t, { name: 'e2e-node', nodes: 1 });
const address = cluster.address(HOST);
const up = ['up', `--advertise-address=${address}`];

const skein = (...args: readonly string[]): Promise<Output> =>
  cluster.tryOnHost(HOST, [SKEIN, ...args]);

/** A `skein up` of the test's own, with what it logs and how it ends. */
type Run = { readonly process: ChildProcess; readonly exit: Promise<number>; log: string };
let running: Run | undefined;

async function start(...flags: readonly string[]): Promise<Run> {
  const process = await cluster.spawnOnHost(HOST, [SKEIN, ...up, ...flags]);
  const exit = new Promise<number>((resolve) =>
    process.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 137))),
  );
  const run: Run = { process, exit, log: '' };
  const keep = (chunk: Buffer) => {
    run.log += chunk.toString();
  };
  process.stdout?.on('data', keep);
  process.stderr?.on('data', keep);
  running = run;
  await waitFor('the node to be ready', async () => {
    if (process.exitCode !== null) throw new Error(`skein ended: ${run.log.slice(-500)}`);
    return (await cluster.status(HOST))?.members.some(({ ready }) => ready === 'True');
  });
  return run;
}

/** SIGTERM to the node; resolves with its exit code. */
async function stop(): Promise<number> {
  const run = running;
  running = undefined;
  if (run === undefined) return 0;
  await cluster.onHost(HOST, ['pkill', '-TERM', '-f', 'src/cli/main.ts up']);
  return run.exit;
}

/** Makes the host forget its cluster. */
async function forget(): Promise<void> {
  const { code, stderr } = await skein('reset', '--yes');
  if (code !== 0) throw new Error(`skein reset: ${stderr}`);
}

/** The command must fail soon, in words without a trace, and say all of `says`. */
async function refused(t: Test, what: string, args: readonly string[], ...says: RegExp[]) {
  const started = performance.now();
  const { code, stdout, stderr } = await cluster.tryOnHost(HOST, args, REFUSAL_MS_MAX);
  const ms = performance.now() - started;
  t.ok(code > 0 && code < 126, `${what}: exit code ${code} after ${ms.toFixed(0)} ms`);
  const text = stderr + stdout;
  for (const one of says) t.match(text, one, `${what}: says ${one.source}`);
  t.notMatch(text, /^\s+at .*:\d+/m, `${what}: in words, not in a trace`);
}

// Hosts share the machine's /tmp.
const SETTINGS_FILE = '/tmp/skein-e2e-node.yaml';
t.teardown(async () => {
  await rm(JOINER_DIR, { recursive: true, force: true });
  await rm(SETTINGS_FILE, { force: true });
});
await cluster.stopHost(HOST);

t.test('node: a first start is ready within three seconds', async (t) => {
  const times: number[] = [];
  for (let count = 0; count < FIRST_STARTS; count++) {
    await stop();
    await forget();
    const started = performance.now();
    await start();
    times.push(performance.now() - started);
  }
  t.comment(`from skein up to a Ready node: ${figures(times)}`);
  t.ok(median(times) < READY_MS_MAX, `the median is below ${READY_MS_MAX} ms`);
  const { stdout } = await skein('kubeconfig');
  const file = `${tmpdir()}/skein-e2e-node.kubeconfig`;
  t.teardown(() => rm(file, { force: true }));
  await writeFile(file, stdout, { mode: 0o600 });
  const node = await cluster.kubectl(['--kubeconfig', file, 'get', 'nodes', '--no-headers']);
  t.match(node, /^node1\s+Ready\s/, 'kubectl sees it, with the kubeconfig it prints');
  await cluster.kubectl(['--kubeconfig', file, 'create', 'configmap', 'kept']);
  await writeFile(cluster.kubeconfig, stdout);
});

t.test('node: its commands show what is', async (t) => {
  const text = await skein('status');
  t.equal(text.code, 0);
  t.match(text.stdout, /node1/);
  t.match(text.stdout, /leader/);
  t.match(text.stdout, new RegExp(`https://${address}:6443`));
  const status = JSON.parse((await skein('status', '-o', 'json')).stdout) as NodeStatusReport;
  t.match(status, { node: HOST, role: 'leader', quorum: true, leader: { node: HOST } });
  t.match(status.members, [{ node: HOST, role: 'voter', connected: true, ready: 'True' }]);
  t.strictSame(
    status.health.filter(({ ok }) => !ok),
    [],
    'all checks are well',
  );
  const actors = await skein('actors');
  t.match(actors.stdout, /MAILBOX/);
  t.match(actors.stdout, /garbage-collector/);
  const tree = JSON.parse((await skein('actors', '-o', 'json')).stdout) as ActorInfo;
  t.ok(tree.children.length > 0, 'the tree of actors has branches');
  const elsewhere = await skein('status', '--data-dir', '/tmp/nowhere');
  t.not(elsewhere.code, 0);
  t.match(elsewhere.stderr, /no Skein process answers at \/tmp\/nowhere\/skein.sock/);
});

t.test('node: its health and its figures', async (t) => {
  const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
  t.teardown(() => client.close());
  const [name = ''] = [...client.servers.keys()];
  for (const path of ['/livez', '/readyz', '/healthz']) {
    const answer = await client.call(name, path);
    t.match(answer, { code: 200, text: /^ok/ }, path);
  }
  const verbose = await client.call(name, '/readyz?verbose');
  t.match(verbose.text, /\[\+\]quorum ok/);
  const metrics = await client.call(name, '/metrics');
  t.equal(metrics.code, 200);
  for (const metric of ['apiserver_request_total', 'process_resident_memory_bytes']) {
    t.match(metrics.text, new RegExp(`^${metric}`, 'm'), metric);
  }
});

t.test('node: tokens let in while they are good, and only then', async (t) => {
  const list = async () => {
    const { stdout } = await skein('token', 'list');
    const lines = stdout.trim().split('\n').slice(1);
    return new Set(lines.map((line) => line.split(/\s+/)[0] ?? ''));
  };
  const create = async (...flags: readonly string[]) => {
    const before = await list();
    const token = (await skein('token', 'create', ...flags)).stdout.trim();
    const id = [...(await list())].find((one) => !before.has(one)) ?? '';
    return { token, id };
  };
  const good = await create();
  t.match(good.token, /^skein1\./);
  t.not(good.id, '', 'the list shows it');
  t.notMatch((await skein('token', 'list')).stdout, good.token, 'without its secret');
  const revoked = await create('--ttl', '1h');
  t.equal((await skein('token', 'revoke', revoked.id)).code, 0);
  t.notOk((await list()).has(revoked.id), 'a revoked token is not listed');
  const brief = await create('--ttl', '2s');
  await waitFor('it to end', async () => !(await list()).has(brief.id));

  const join = (token: string) => [
    ...[SKEIN, 'join', token, `--data-dir=${JOINER_DIR}`, '--node-name=joiner'],
    ...['--api-port=7443', '--mesh-port=8946', `--advertise-address=${address}`],
  ];
  await refused(t, 'no token', join(''), /token/);
  await refused(t, 'nonsense', join('nonsense'), /no join token/);
  await refused(t, 'another version', join('skein9.xyz'), /version 9/);
  await refused(t, 'half a token', join(good.token.slice(0, 60)), /incomplete or mistyped/);
  await refused(t, 'an expired token', join(brief.token), /does not accept this join token/);
  await refused(t, 'a revoked token', join(revoked.token), /does not accept this join token/);
  const taken = join(good.token).with(4, `--node-name=${HOST}`);
  await refused(t, 'a name that is taken', taken, /has a node "node1" already/, /--node-name/);
  await refused(t, 'a bad time to live', [SKEIN, 'token', 'create', '--ttl', 'x'], /duration/);
  await refused(t, 'an unknown id', [SKEIN, 'token', 'revoke', 'x'], /no token "x"/, /token list/);
  const nodes = await cluster.kubectl(['get', 'nodes', '-o', 'name']);
  t.equal(nodes, 'node/node1\n', 'none of them came in');
});

t.test('node: a setting that is wrong is named as it was given', async (t) => {
  const shell = (script: string) => ['sh', '-c', script];
  await refused(t, 'a flag', [SKEIN, 'up', '--api-port=70000'], /--api-port/, /65535/);
  await refused(t, 'an address', [SKEIN, 'up', '--advertise-address=x'], /--advertise-address/);
  await refused(t, 'a range', [SKEIN, 'up', '--service-cidr=10.0.0.1/16'], /--service-cidr/);
  await refused(t, 'an unknown flag', [SKEIN, 'up', '--nonsense=1'], /--nonsense/);
  const variable = shell(`SKEIN_MESH_PORT=x exec ${SKEIN} up`);
  await refused(t, 'a variable', variable, /SKEIN_MESH_PORT/);
  const file = (text: string) =>
    shell(`echo '${text}' > ${SETTINGS_FILE}; exec ${SKEIN} up --config ${SETTINGS_FILE}`);
  await refused(t, 'a key of the file', file('apiPort: x'), /apiPort/, /e2e-node.yaml/);
  await refused(t, 'an unknown key', file('nonsense: 1'), /nonsense/, /e2e-node.yaml/);
  await refused(t, 'no YAML', file('a: [b'), /e2e-node.yaml/);
  const absent = [SKEIN, 'up', '--config', '/tmp/absent.yaml'];
  await refused(t, 'no file', absent, /absent.yaml/);
});

t.test('node: what the machine lacks is told at once, with the command that helps', async (t) => {
  const elsewhere = `--data-dir=${JOINER_DIR} --api-port=7443 --mesh-port=8946`;
  const without = (mounts: string, flags = '') => [
    ...['unshare', '--mount', 'sh', '-c'],
    `${mounts}; exec ${SKEIN} up ${elsewhere} ${flags}`,
  ];
  const hide = (directory: string) => `mount -t tmpfs none ${directory}`;
  await refused(
    t,
    'no nft',
    without(hide('/usr/sbin')),
    /the program "nft"/,
    /apt-get install .*nftables/,
  );
  await refused(
    t,
    'no CNI plugins',
    without(hide('/usr/lib/cni')),
    /CNI plugin "host-local"/,
    /apt-get install .*containernetworking-plugins/,
  );
  await refused(
    t,
    'no Docker',
    without('true', '--docker-socket=/run/nowhere.sock'),
    /Docker: nothing listens at \/run\/nowhere.sock/,
  );
  await refused(
    t,
    'none of them',
    without(`${hide('/usr/lib/cni')}; ${hide('/usr/sbin')}`, '--docker-socket=/run/nowhere.sock'),
    /"nft"[\s\S]*"host-local"[\s\S]*Docker[\s\S]*apt-get install [^\n]*nftables[^\n]*containernetworking-plugins/,
  );
});

t.test('node: a second one in its place is refused', async (t) => {
  await refused(t, 'the same directory', [SKEIN, ...up], /is in use|uses this data directory/);
  const flags = [`--data-dir=${JOINER_DIR}`, '--mesh-port=8946', '--node-name=other'];
  await refused(t, 'the same port', [SKEIN, ...up, ...flags], /6443/);
});

t.test('node: data that is not its own is refused, with a remedy', async (t) => {
  t.equal(await stop(), 0);
  const on = (script: string) => cluster.onHost(HOST, ['sh', '-c', `cd ${DATA_DIR} && ${script}`]);
  await on(`mv identity.key identity.good && cp ${JOINER_DIR}/identity.key .`);
  await refused(
    t,
    "another's key",
    [SKEIN, ...up],
    /identity.key/,
    /put the key back/,
    /skein reset/,
  );
  await on('mv identity.good identity.key && mv consensus consensus.good');
  await refused(t, 'a lost log', [SKEIN, ...up], /the log .* is gone/, /skein reset .*skein join/);
  await on('rm -rf consensus && mv consensus.good consensus');
  const renamed = [SKEIN, ...up, '--node-name=other'];
  await refused(t, 'another name', renamed, /joined as "node1"/, /--node-name/);
  const ranged = [SKEIN, ...up, '--service-cidr=10.99.0.0/16'];
  await refused(t, 'another range', ranged, /serviceCidr|--service-cidr/, /10.99.0.0/);
  await on('cp cluster.json cluster.good && echo "{" > cluster.json');
  await refused(t, 'a broken file', [SKEIN, ...up], /cluster.json/);
  await on('mv cluster.good cluster.json');
  await start();
  await cluster.kubectl(['get', 'configmap', 'kept']);
  t.pass('with its own data it comes back, and has what it had');
});

t.test('node: SIGTERM ends it in good order', async (t) => {
  const run = running;
  const started = performance.now();
  t.equal(await stop(), 0, 'the exit code is 0');
  t.comment(`it took ${(performance.now() - started).toFixed(0)} ms`);
  t.notMatch(run?.log ?? '', /"level":"(error|fatal)"/, 'nothing went wrong on the way');
  const left = await cluster.tryOnHost(HOST, ['pgrep', '-f', 'src/cli/main.ts']);
  t.equal(left.stdout, '', 'no process is left');
  t.equal((await skein('status')).code, 3, 'status says that nothing runs');
  const listening = await cluster.onHost(HOST, ['ss', '-Hltn', 'sport', '=', ':6443']);
  t.equal(listening, '', 'nothing listens');
  const again = performance.now();
  await start();
  t.comment(`the next start took ${(performance.now() - again).toFixed(0)} ms`);
  await cluster.kubectl(['get', 'configmap', 'kept']);
  t.equal(await stop(), 0, 'and again');
});
