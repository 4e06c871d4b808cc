/**
 * Durability and linearizability under faults: eight streams of writes through all hosts keep books while leaders are
 * killed, paused and cut off; afterwards every host must agree with the books and with every other, byte
 * for byte; and again after all processes were killed at the same moment.
 */

import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { ApiClient, statusOf } from '../../src/chaos/api-client.ts';
import { Follower } from '../../src/chaos/follower.ts';
import { type ConfigMap, compareWithBooks, Ledger } from '../../src/chaos/ledger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { wreakHavoc } from './support/chaos.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const STREAMS = 8;
const CHAOS_MS = 40_000;
/** SKEIN_SEED repeats the choices of a run; the timing stays its own. */
const seed = Number(process.env['SKEIN_SEED'] ?? Date.now() % 1_000_000);
const NAMESPACE = 'books';
const DEFAULT_MAPS = '/api/v1/namespaces/default/configmaps';
/** Room for the log as it is, and less than one more of its segments of 16 MiB. */
const SMALL_DISK_MB = 200;
/** Together more than two segments: one may have been made in advance. */
const LARGE_WRITES = 48;
const LARGE_BYTES = 900_000;
/** Kinds whose whole content must be the same on every host. */
const COLLECTIONS = [
  `/api/v1/namespaces/${NAMESPACE}/configmaps`,
  '/api/v1/configmaps',
  '/api/v1/namespaces',
  '/api/v1/nodes',
  '/api/v1/events',
  '/api/v1/secrets',
  '/api/v1/serviceaccounts',
  '/api/v1/services',
  '/apis/coordination.k8s.io/v1/leases',
];

const random = seededRandom(seed);
const cluster = await TestCluster.start(t, { name: 'e2e-durable', images: false });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());
await cluster.kubectl(['create', 'namespace', NAMESPACE]);

const { hosts } = cluster;
const ledgers = Array.from(
  { length: STREAMS },
  (_, stream) =>
    new Ledger(`s${stream}`, { client, hosts, namespace: NAMESPACE, random: random.fork() }),
);
const follower = new Follower({
  client,
  hosts,
  path: `/api/v1/namespaces/${NAMESPACE}/configmaps`,
  random: random.fork(),
});

const followingEnd = new AbortController();
let following = Promise.resolve();
t.teardown(() => followingEnd.abort());

const total = (what: keyof Ledger['tally']): number =>
  ledgers.reduce((sum, ledger) => sum + ledger.tally[what], 0);

type List = {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly ConfigMap[];
};

/** Every host against the books, and against each other. */
async function audit(t: Test, when: string): Promise<void> {
  await cluster.settled();
  for (const host of hosts) {
    const { items } = await client.json<List>(host, ledgers[0]?.path ?? '');
    t.strictSame(compareWithBooks(items, ledgers), [], `${when}, ${host} agrees with the books`);
  }
  const first = hosts[0] ?? '';
  for (const path of COLLECTIONS) {
    const { metadata } = await client.json<List>(first, path);
    const query = `resourceVersion=${metadata.resourceVersion}&resourceVersionMatch=Exact`;
    const answers = await Promise.all(hosts.map((host) => client.call(host, `${path}?${query}`)));
    t.strictSame(
      answers.map(({ code }) => code),
      hosts.map(() => 200),
      `${when}, every host lists ${path} at ${metadata.resourceVersion}`,
    );
    t.equal(
      new Set(answers.map(({ text }) => text)).size,
      1,
      `${when}, ${path} has the same bytes on every host`,
    );
  }
}

t.test('durability: writes under faults', async (t) => {
  t.comment(`SKEIN_SEED=${seed}`);
  const end = AbortSignal.timeout(CHAOS_MS);
  const writersEnd = new AbortController();
  await follower.begin();
  following = follower.follow(followingEnd.signal);
  const work = Promise.all(ledgers.map((ledger) => ledger.write(writersEnd.signal)));
  await wreakHavoc({ cluster, random: random.fork(), report: (line) => t.comment(line) }, end);
  writersEnd.abort();
  await work;
  const faults = ledgers.flatMap((ledger) => ledger.faults);
  t.strictSame(faults, [], 'no answer was wrong');
  t.comment(
    `acknowledged ${total('acknowledged')}, read back ${total('reads')}, refused ${total('refused')}, unknown ${total('unknown')}, not connected ${total('unreached')}`,
  );
  t.ok(total('acknowledged') > 200, 'most of the time the cluster took writes');
  const revisions = ledgers.flatMap(({ entries }) => entries.flatMap((entry) => entry.revisions));
  t.equal(new Set(revisions).size, revisions.length, 'no two writes share a resourceVersion');
});

t.test('durability: every acknowledged write is on every host, none is undone', async (t) => {
  await audit(t, 'after the faults');
});

t.test(
  'durability: a watch that moves between hosts misses nothing, repeats nothing',
  async (t) => {
    const { items } = await client.json<List>(hosts[0] ?? '', ledgers[0]?.path ?? '');
    const listed = items
      .map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`)
      .sort();
    const known = () => [...follower.known].map((pair) => pair.join(' ')).sort();
    await waitFor('the last events', async () => known().join() === listed.join(), 10_000).catch(
      () => {},
    );
    followingEnd.abort();
    await following;
    t.strictSame(known(), listed, 'the watcher knows what the list says');
    t.strictSame(follower.faults, [], 'no event was out of order');
    const { events, resumed } = follower.tally;
    t.comment(`${events} events over ${resumed} watches`);
    t.ok(resumed > 3, 'the watch did move');
  },
);

t.test('durability: SIGKILL of all processes at once loses nothing', async (t) => {
  const before = await client.json<List>(hosts[0] ?? '', ledgers[0]?.path ?? '');
  const pids = await Promise.all(hosts.map((host) => cluster.pid(host)));
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  for (const host of hosts) await cluster.startHost(host);
  await audit(t, 'after the restart');
  const after = await client.json<List>(hosts[0] ?? '', ledgers[0]?.path ?? '');
  t.strictSame(after.items, before.items, 'not a byte has changed');
  t.ok(
    Number(after.metadata.resourceVersion) >= Number(before.metadata.resourceVersion),
    'revisions do not go back',
  );
});

t.test(
  'durability: a node whose disk is full ends, the others go on, and it comes back',
  async (t) => {
    const leader = await cluster.leader();
    const host = hosts.find((one) => one !== leader) ?? '';
    const others = hosts.filter((one) => one !== host);
    const log = '/var/lib/skein/consensus';
    const small = `mount -t tmpfs -o size=${SMALL_DISK_MB}m none /mnt && cp -a ${log}/. /mnt && mount --move /mnt ${log}`;
    await cluster.stopHost(host);
    await cluster.onHost(host, ['sh', '-c', small]);
    await cluster.startHost(host);
    await cluster.settled();
    await cluster.onHost(host, ['sh', '-c', `cat /dev/zero > ${log}/filler; true`]);
    const value = 'x'.repeat(LARGE_BYTES);
    const names = Array.from({ length: LARGE_WRITES }, (_, at) => `large-${at}`);
    for (const [at, name] of names.entries()) {
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } };
      const options = { method: 'POST', body };
      const { code } = await client.call(others[at % others.length] ?? '', DEFAULT_MAPS, options);
      t.equal(code, 201, `${name} is taken by the others`);
    }
    await waitFor('the node to end', async () => (await cluster.status(host)) === undefined);
    const said = await readFile(`${cluster.directory(host)}/skein.log`, 'utf8');
    t.match(said, /ENOSPC/, 'it says why');
    await cluster.onHost(host, ['rm', `${log}/filler`]);
    await cluster.startHost(host);
    await audit(t, 'after the disk was full');
    const { items } = await client.json<List>(host, DEFAULT_MAPS);
    const there = new Set(items.map(({ metadata }) => metadata.name));
    t.strictSame(
      names.filter((name) => !there.has(name)),
      [],
      'it has what it missed',
    );
    for (const name of names) {
      await client.json(host, `${DEFAULT_MAPS}/${name}`, { method: 'DELETE' });
    }
  },
);

t.test('durability: what exists cannot be created again, what is gone stays gone', async (t) => {
  const { items } = await client.json<List>(hosts[0] ?? '', ledgers[0]?.path ?? '');
  const codes = { again: new Set<number>(), gone: new Set<number>() };
  for (const [at, { metadata }] of items.slice(-60).entries()) {
    const answer = await client.call(hosts[at % hosts.length] ?? '', ledgers[0]?.path ?? '', {
      method: 'POST',
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: metadata.name } },
    });
    codes.again.add(answer.code);
    if (answer.code === 409) t.equal(statusOf(answer).reason, 'AlreadyExists', metadata.name);
  }
  const existing = new Set(items.map(({ metadata }) => metadata.name));
  const entries = ledgers.flatMap((ledger) => ledger.entries);
  for (const { name } of entries.filter((entry) => !existing.has(entry.name)).slice(0, 100)) {
    for (const host of hosts) {
      codes.gone.add((await client.call(host, `${ledgers[0]?.path}/${name}`)).code);
    }
  }
  t.strictSame([...codes.again], [409], 'creating again is a conflict');
  t.strictSame([...codes.gone], [404], 'what was deleted is found nowhere');
});
