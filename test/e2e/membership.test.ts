/** Who belongs to the cluster: nodes are removed, alive and dead, refused afterwards, and replaced under their names. */

import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { Node, Pod } from '../../src/resources/generated/kinds.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
const NODES = 5;
/** A removed node must be gone from Services and its pods replaced without any timeout of liveness. */
const REPLACED_MS_MAX = 20_000;

const cluster = await TestCluster.start(t, { name: 'membership', nodes: NODES });

/** The skein command on a host. Rejects with what it says when it fails. */
const skein = (host: string, ...args: string[]): Promise<string> =>
  cluster.onHost(host, [SKEIN, ...args]);

const members = async (host: string) => (await cluster.status(host))?.members ?? [];
const namesAt = async (host: string) => (await members(host)).map(({ node }) => node).sort();
const peerOf = async (host: string, node: string) =>
  (await members(host)).find((member) => member.node === node)?.peer ?? '';

/** Waits until `host` sees this many voters, all of them connected. */
async function voters(host: string, count: number): Promise<void> {
  await waitFor(`${count} voters`, async () => {
    const voting = (await members(host)).filter(({ role }) => role === 'voter');
    if (voting.length !== count) throw new Error(voting.map(({ node }) => node).join(' '));
    return voting.every(({ connected }) => connected);
  });
}

/** Waits until the Skein process of a host is no more. */
async function ended(host: string): Promise<void> {
  const pid = await cluster.pid(host);
  await waitFor(`skein on ${host} to end`, async () => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    return stat === undefined || stat.includes(') Z ');
  });
}

async function writes(t: Test, host: string, name: string): Promise<void> {
  await cluster.kubectl(['create', 'configmap', name], { host });
  t.pass(`${host} takes writes`);
}

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 10
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: k8s-demo:latest
        imagePullPolicy: IfNotPresent
        readinessProbe: {httpGet: {path: /, port: 3000}, periodSeconds: 1}
`;

const pods = async (): Promise<readonly Pod[]> => {
  const text = await cluster.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'json'], {
    host: 'node1',
  });
  return (JSON.parse(text) as { items: Pod[] }).items;
};

t.test('membership: of five members five vote', async (t) => {
  await voters('node1', NODES);
  await cluster.apply(web);
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'], {
    deadlineMs: 100_000,
  });
  t.equal(new Set((await pods()).map(({ spec }) => spec.nodeName)).size, NODES);
});

t.test('membership: what the others cannot spare is refused, with the reason', async (t) => {
  await cluster.kill('node4');
  await cluster.kill('node5');
  await waitFor('the deaths to be noticed', async () => {
    const known = await members('node1');
    return known.filter(({ connected }) => !connected).length === 2;
  });
  await waitFor('the leader to know that they are gone', async () => {
    const refusal = await skein('node1', 'remove', 'node3').then(
      () => 'removed',
      (error: Error) => error.message,
    );
    if (refusal === 'removed') throw new Error('node3 was removed');
    return /node3 cannot be removed: only 2 of the remaining 4 voters can be reached/.test(refusal);
  });
  await t.rejects(skein('node1', 'remove', 'node1'), /run this command on another node/);
  await t.rejects(skein('node1', 'remove', 'node9'), /there is no node "node9"; nodes are node1/);
  t.strictSame(await namesAt('node1'), ['node1', 'node2', 'node3', 'node4', 'node5']);
  await cluster.startHost('node4');
  await cluster.startHost('node5');
  await cluster.settled();
  await voters('node1', NODES);
});

t.test('membership: a node that is removed ends, and its pods are replaced at once', async (t) => {
  const peer = await peerOf('node1', 'node5');
  const started = performance.now();
  t.match(await skein('node1', 'remove', 'node5'), /node node5 is no member any more\n$/);
  await waitFor('ten ready pods on the others', async () => {
    const ready = (await pods()).filter(
      ({ spec, status }) =>
        spec.nodeName !== 'node5' &&
        status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
    return ready.length === 10;
  });
  const replacedMs = performance.now() - started;
  t.comment(`replaced after ${replacedMs.toFixed(0)} ms`);
  t.ok(replacedMs < REPLACED_MS_MAX);
  await ended('node5');
  t.strictSame(await cluster.containers('node5'), [], 'its process has ended, and its containers');
  t.notMatch(await cluster.onHost('node5', ['nft', 'list', 'tables']), /skein/, 'and its rules');
  for (const host of ['node1', 'node4']) {
    t.strictSame(await namesAt(host), ['node1', 'node2', 'node3', 'node4'], host);
  }
  t.match(await cluster.tryKubectl(['get', 'node', 'node5'], { host: 'node1' }), { code: 1 });
  await voters('node1', 3);
  await writes(t, 'node1', 'without-node5');
  await t.rejects(
    cluster.startHost('node5'),
    /was removed from cluster .* skein reset --yes/,
    'it does not come back by itself',
  );
  t.not(await peerOf('node1', 'node5'), peer);
});

t.test('membership: a node that was removed behind its back is refused by everybody', async (t) => {
  await cluster.isolate('node4');
  await waitFor('node4 to be missed', async () => {
    return (await members('node1')).some(({ node, connected }) => node === 'node4' && !connected);
  });
  const said = await waitFor('the removal', () =>
    skein('node1', 'remove', 'node4').catch(() => ''),
  );
  t.match(said, /it could not be told.*goes on until it is\s+stopped/s);
  await voters('node1', 3);
  await cluster.heal();
  const { term } = (await cluster.status('node1')) ?? { term: 0 };
  // Long enough for many dials and elections, were they possible.
  const until = performance.now() + 5000;
  await waitFor('five seconds to pass', async () => {
    const known = await members('node1');
    t.notOk(known.some(({ node }) => node === 'node4') || undefined);
    return performance.now() > until;
  });
  const status = await cluster.status('node4');
  t.ok(status, 'it runs');
  t.notOk(status?.quorum, 'and finds nobody');
  t.ok(
    status?.members.every(({ node, connected }) => node === 'node4' || !connected),
    'no connection stands',
  );
  t.equal((await cluster.status('node1'))?.term, term, 'nor does it disturb the others');
  const write = await cluster.tryKubectl(['create', 'configmap', 'by-node4'], { host: 'node4' });
  t.not(write.code, 0, 'and it takes no writes');
  await writes(t, 'node1', 'without-node4');
});

t.test('membership: machines return as new nodes under their old names', async (t) => {
  const { uid } = (await cluster.get<Node>('node', 'node1')).metadata;
  t.ok(uid);
  await t.rejects(skein('node4', 'reset', '--yes'), /is in use: process \d+ runs a node there/);
  await cluster.stopHost('node4');
  for (const host of ['node4', 'node5']) {
    t.match(
      await skein(host, 'reset', '--yes'),
      /is gone; skein join makes this machine a new node/,
    );
    t.strictSame(await cluster.containers(host), []);
    await cluster.startHost(host);
  }
  await cluster.settled();
  t.strictSame(await namesAt('node1'), ['node1', 'node2', 'node3', 'node4', 'node5']);
  await voters('node1', NODES);
  await waitFor('all nodes to be ready', async () =>
    (await members('node1')).every(({ ready }) => ready === 'True'),
  );
  await writes(t, 'node4', 'by-the-new-node4');
  // They work as the old ones did.
  await cluster.kubectl(['scale', 'deployment/web', '--replicas=15']);
  await cluster.kubectl(['rollout', 'status', 'deployment/web', '--timeout=90s'], {
    deadlineMs: 100_000,
  });
  const nodes = new Set((await pods()).map(({ spec }) => spec.nodeName));
  t.ok(nodes.has('node4') && nodes.has('node5'), [...nodes].join(' '));
});

t.test('membership: a node removes whoever leads, and the group goes on', async (t) => {
  const leader = await cluster.leader();
  const other = cluster.hosts.find((host) => host !== leader) ?? '';
  await skein(other, 'remove', leader);
  const next = await waitFor('another leader', async () => {
    const now = await cluster.leaderNow();
    return now !== leader && now;
  });
  t.ok(next);
  await writes(t, other, 'without-the-leader');
  t.notOk((await namesAt(other)).includes(leader));
});
