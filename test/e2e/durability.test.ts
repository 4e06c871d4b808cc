/**
 * Durability: processes killed together under load, power cuts with what they leave of a log, full disks. Clients keep books
 * all the time; after each, every host must agree with the books and with every other, byte for byte. (Faults at random: see
 * chaos.test.ts; disks and clocks that go wrong while a node runs: disk.test.ts.)
 */

import { readFile, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { ApiClient, statusOf } from '../../src/chaos/api-client.ts';
import { audit } from '../../src/chaos/audit.ts';
import { Clients } from '../../src/chaos/clients.ts';
import { Harm } from '../../src/chaos/harm.ts';
import { Leaders } from '../../src/chaos/leaders.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { DamagedCopy, sweepLog, sweepSnapshot } from '../support/power-loss.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const ROUNDS = 3;
/** Of load before all processes are killed. */
const LOAD_MS = 3_000;
/** SKEIN_SEED repeats the choices of a run; the timing stays its own. */
const seed = Number(process.env['SKEIN_SEED'] ?? Date.now() % 1_000_000);
const NAMESPACE = 'books';
const BOOKS = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
const DEFAULT_MAPS = '/api/v1/namespaces/default/configmaps';
const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
/** Room for the log as it is, and less than one more of its segments of 16 MiB. */
const SMALL_DISK_MB = 200;
/** Together more than any number of segments that may have been made in advance. */
const LARGE_WRITES_MAX = 150;
const LARGE_BYTES = 900_000;
/** Every byte is tried offline in test/consensus/power-loss.test.ts; here every so many, of what a cluster wrote. */
const STRIDE = 13;
const SNAPSHOT_STRIDE = 41;

const cluster = await TestCluster.start(t, { name: 'e2e-durable', images: false });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());
await cluster.kubectl(['create', 'namespace', NAMESPACE]);

const { hosts } = cluster;
const harm = new Harm();
const clients = new Clients({
  client,
  hosts,
  namespace: NAMESPACE,
  random: seededRandom(seed),
  onAcknowledged: () => {},
  excused: (host, sinceMs) => harm.excused(host, sinceMs),
});
const clientsEnd = new AbortController();
const working = clients.run(clientsEnd.signal);
t.teardown(async () => {
  clientsEnd.abort();
  await working;
  await clients.end();
});
t.comment(`SKEIN_SEED=${seed}`);

type List = {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly { readonly metadata: { readonly name: string } }[];
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const killAll = async () => {
  const pids = await Promise.all(hosts.map((host) => cluster.pid(host)));
  for (const pid of pids) process.kill(pid, 'SIGKILL');
};
const logDirectory = (host: string) => `${cluster.directory(host)}/root/var/lib/skein/consensus`;

/** Every host against the books, and against each other. */
async function agree(t: Test, when: string): Promise<void> {
  await cluster.settled();
  const { lost, wrong } = await audit({ cluster, client, clients, namespace: NAMESPACE });
  t.strictSame(lost, [], `${when}, no acknowledged write is missing`);
  t.strictSame(wrong, [], `${when}, all hosts agree, and the watcher with them`);
}

t.test('durability: SIGKILL of all processes under load, again and again', async (t) => {
  for (let round = 1; round <= ROUNDS; round++) {
    await cluster.leader();
    const before = clients.tally.writes;
    await pause(LOAD_MS);
    t.ok(clients.tally.writes > before + 20, `round ${round}: writes are under way`);
    const over = harm.begin(hosts);
    await killAll();
    for (const host of hosts) await cluster.startHost(host);
    over();
  }
  await cluster.leader();
  await pause(LOAD_MS);
  clientsEnd.abort();
  await working;
  await agree(t, 'after all were killed');
  t.strictSame(clients.wrongAnswers, [], 'no answer was wrong');
  t.strictSame(clients.checkHistories(), [], 'every history is linearizable');
  const leaders = new Leaders();
  for (const host of hosts) await leaders.readLog(`${cluster.directory(host)}/skein.log`);
  t.strictSame(leaders.duplicates, [], 'no term had two leaders');
  const { writes, reads, events, unknown } = clients.tally;
  t.comment(`${writes} writes, ${reads} reads, ${events} events, ${unknown} outcomes unknown`);
});

t.test('durability: SIGKILL of all processes at once changes not a byte', async (t) => {
  const before = await client.json<List>(hosts[0] ?? '', BOOKS);
  await killAll();
  for (const host of hosts) await cluster.startHost(host);
  await agree(t, 'after the restart');
  const after = await client.json<List>(hosts[0] ?? '', BOOKS);
  t.strictSame(after.items, before.items);
  t.ok(
    Number(after.metadata.resourceVersion) >= Number(before.metadata.resourceVersion),
    'revisions do not go back',
  );
});

t.test('durability: what a power cut leaves of a log is opened as far as it goes', async (t) => {
  await killAll();
  for (const host of hosts) {
    const copy = await DamagedCopy.of(logDirectory(host));
    try {
      for (const [what, sweep, stride] of [
        ['log', sweepLog, STRIDE],
        ['snapshot', sweepSnapshot, SNAPSHOT_STRIDE],
      ] as const) {
        const { tried, opened, refused, wrong } = await sweep(copy, { stride, middleBytes: 1500 });
        t.comment(`${host}, ${what}: ${tried} damages, ${opened} opened, ${refused} refused`);
        t.strictSame(wrong, [], `${host}: the ${what} is opened as it was, or refused`);
      }
    } finally {
      await copy.dispose();
    }
  }
  for (const host of hosts) await cluster.startHost(host);
  await agree(t, 'after the processes were started again');
});

/** A follower that does not run, and the place of its last log segment. */
async function killFollower() {
  const leader = await cluster.leader();
  const host = hosts.find((one) => one !== leader) ?? '';
  await cluster.kill(host);
  const copy = await DamagedCopy.of(logDirectory(host));
  await copy.dispose();
  const path = copy.log.replace(copy.directory, logDirectory(host));
  const change = async (work: (bytes: Buffer) => void) => {
    const bytes = await readFile(path);
    work(bytes);
    await writeFile(path, bytes);
  };
  return { leader, host, copy, change };
}

/** Makes a machine whose data is of no use a new member, as the message tells its owner to. */
async function joinAnew(leader: string, host: string): Promise<void> {
  await waitFor('the removal', () => cluster.onHost(leader, [SKEIN, 'remove', host]));
  await cluster.onHost(host, [SKEIN, 'reset', '--yes']);
  await cluster.startHost(host);
  await waitFor('three voters', async () => {
    const members = (await cluster.status(leader))?.members ?? [];
    return members.filter(({ role }) => role === 'voter').length === hosts.length;
  });
}

const saidBy = (host: string) => readFile(`${cluster.directory(host)}/skein.log`, 'utf8');

t.test('durability: a follower whose last write was torn by a power cut comes back', async (t) => {
  const { host, copy, change } = await killFollower();
  // The beginning of a group that was never acknowledged.
  const torn = copy.whole.subarray(copy.lastGroup, copy.lastGroup + 40);
  await change((bytes) => void bytes.set(torn, copy.end));
  await cluster.startHost(host);
  await agree(t, 'after the torn write');
});

t.test(
  'durability: a follower that lost what it had acknowledged notices, and says so',
  async (t) => {
    await cluster.kubectl(['create', 'configmap', 'to-be-forgotten']);
    const { leader, host, copy, change } = await killFollower();
    await change((bytes) => void bytes.fill(0, copy.lastEntries, copy.end));
    await cluster.startHost(host).catch(() => {});
    await waitFor('the node to end', async () => (await cluster.status(host)) === undefined);
    await waitFor('the log to tell', async () =>
      /has acknowledged log entries up to \d+.*skein reset --yes/.test(await saidBy(host)),
    );
    await joinAnew(leader, host);
    await agree(t, 'after it joined anew');
  },
);

t.test('durability: a damaged log is refused with the way out, which works', async (t) => {
  const { leader, host, copy, change } = await killFollower();
  const [place = 0] = copy.offsets.slice(0, -1).filter((offset) => offset < copy.lastGroup);
  await change((bytes) => void bytes.writeUInt8(bytes.readUInt8(place + 26) ^ 0x10, place + 26));
  await t.rejects(
    cluster.startHost(host),
    new RegExp(`is damaged at byte ${place}.*[Rr]emove the member from the cluster`, 's'),
    'it names the place and the remedy',
  );
  const others = await cluster.tryKubectl(['get', 'nodes'], { host: leader });
  t.equal(others.code, 0, 'the others go on');
  await joinAnew(leader, host);
  await agree(t, 'after it joined anew');
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
    const why = /the disk is full; free some space.*ENOSPC.*the node cannot go on/;
    const before = (await saidBy(host)).length;
    const names: string[] = [];
    // How many it takes depends on what the log has made in advance.
    while (names.length < LARGE_WRITES_MAX && !why.test((await saidBy(host)).slice(before))) {
      const name = `large-${names.length}`;
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } };
      const through = others[names.length % others.length] ?? '';
      const { code } = await client.call(through, DEFAULT_MAPS, { method: 'POST', body });
      t.equal(code, 201, `${name} is taken by the others`);
      names.push(name);
    }
    await waitFor('the log to say why', async () => why.test((await saidBy(host)).slice(before)));
    await waitFor('the node to end', async () => (await cluster.status(host)) === undefined);
    await cluster.onHost(host, ['rm', `${log}/filler`]);
    await cluster.startHost(host);
    await agree(t, 'after the disk was full');
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

t.test('durability: a data directory that cannot be written is refused in one line', async (t) => {
  const leader = await cluster.leader();
  const host = hosts.find((one) => one !== leader) ?? '';
  await cluster.stopHost(host);
  await cluster.onHost(host, ['mount', '-o', 'remount,bind,ro', '/var/lib/skein']);
  const message = await cluster.startHost(host).then(
    () => 'started',
    (error: Error) => error.message,
  );
  t.match(message, /skein: .*(EROFS|read-only)/, 'it says why');
  t.notMatch(message, /^\s+at /m, 'in words, not in a trace');
  await cluster.onHost(host, ['mount', '-o', 'remount,bind,rw', '/var/lib/skein']);
  await cluster.startHost(host);
  await agree(t, 'when it can be written again');
});

t.test('durability: what exists cannot be created again, what is gone stays gone', async (t) => {
  const { items } = await client.json<List>(hosts[0] ?? '', BOOKS);
  const codes = { again: new Set<number>(), gone: new Set<number>() };
  for (const [at, { metadata }] of items.slice(-60).entries()) {
    const answer = await client.call(hosts[at % hosts.length] ?? '', BOOKS, {
      method: 'POST',
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: metadata.name } },
    });
    codes.again.add(answer.code);
    if (answer.code === 409) t.equal(statusOf(answer).reason, 'AlreadyExists', metadata.name);
  }
  const existing = new Set(items.map(({ metadata }) => metadata.name));
  const entries = clients.ledgers.flatMap((ledger) => ledger.entries);
  for (const { name } of entries.filter((entry) => !existing.has(entry.name)).slice(0, 100)) {
    for (const host of hosts) codes.gone.add((await client.call(host, `${BOOKS}/${name}`)).code);
  }
  t.strictSame([...codes.again], [409], 'creating again is a conflict');
  t.strictSame([...codes.gone], [404], 'what was deleted is found nowhere');
});
