/**
 * Disks, clocks and processes that go wrong while the node runs, and links that work in one direction: with clients
 * that read, write and watch all the time and keep books. What each trouble may cost is asserted, and that the log says
 * in plain words what happened; in the end nothing acknowledged is missing and no read was stale.
 */

import { readFile, stat } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { ApiClient, statusOf } from '../../src/chaos/api-client.ts';
import { audit } from '../../src/chaos/audit.ts';
import { Availability } from '../../src/chaos/availability.ts';
import { Clients } from '../../src/chaos/clients.ts';
import { Harm } from '../../src/chaos/harm.ts';
import { Leaders } from '../../src/chaos/leaders.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { TestCluster, waitFor } from './support/cluster.ts';

const NAMESPACE = 'books';
const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;
/** A pause that an election explains, on a machine that is busy with other things. */
const ELECTION_MS_MAX = 5_000;
/** When a leader takes its disk for hung, by the product's own default. */
const STALL_MS = 5_000;
const FREEZE_MS = 10_000;
const HOUR_MS = 3_600_000;

const cluster = await TestCluster.start(t, { name: 'e2e-disk', images: false, faults: true });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());
await cluster.kubectl(['create', 'namespace', NAMESPACE]);

const { hosts } = cluster;
const harm = new Harm();
const availability = new Availability(performance.now());
const clients = new Clients({
  client,
  hosts,
  namespace: NAMESPACE,
  random: seededRandom(Date.now()),
  onAcknowledged: () => availability.acknowledged(performance.now()),
  excused: (host, sinceMs) => harm.excused(host, sinceMs),
});
const clientsEnd = new AbortController();
const working = clients.run(clientsEnd.signal);
t.teardown(async () => {
  clientsEnd.abort();
  await working;
  await clients.end();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const othersOf = (host: string) => hosts.filter((other) => other !== host);
const logOf = (host: string) => `${cluster.directory(host)}/skein.log`;

/** Everybody answers, and follows one leader; resolves with it and its term. */
function agreed(): Promise<{ leader: string; term: number }> {
  return waitFor('all hosts to follow one leader', async () => {
    const all = await Promise.all(hosts.map((host) => cluster.status(host)));
    const first = all[0];
    const views = all.map((status) => `${status?.leader?.node} ${status?.term} ${status?.quorum}`);
    if (new Set(views).size > 1 || !first?.leader || !first.quorum)
      throw new Error(views.join(', '));
    return { leader: first.leader.node, term: first.term };
  });
}

/** What a host's log says from now on. */
async function listen(host: string): Promise<() => Promise<string>> {
  const from = await stat(logOf(host)).then(({ size }) => size);
  return async () => (await readFile(logOf(host))).subarray(from).toString('utf8');
}

/** Does `work` to a host; answers how long nobody could write, until all is well again. */
async function pauseWhile(host: string, work: () => Promise<void>): Promise<number> {
  const fromMs = performance.now();
  const over = harm.begin([host]);
  await work();
  over();
  await agreed();
  await pause(500);
  return availability.longest(fromMs, performance.now());
}

/** The process of a host ends by itself. */
const ended = (host: string) =>
  waitFor(`skein on ${host} to end`, async () => (await cluster.status(host)) === undefined);

t.test('disk: a leader whose syncs take 300 ms leads on, and nobody is elected', async (t) => {
  const before = await agreed();
  const pauseMs = await pauseWhile(before.leader, async () => {
    await cluster.disk(before.leader, { name: 'slow', delayMs: 300 });
    await pause(8_000);
    t.strictSame(await agreed(), before, 'no election was held while it was slow');
    await cluster.heal();
  });
  t.strictSame(await agreed(), before, 'nor when it was well again');
  t.comment(`the longest pause of writes: ${pauseMs.toFixed(0)} ms`);
  t.ok(pauseMs < ELECTION_MS_MAX, 'writes went on');
  t.ok((await cluster.diskFaultsMet(before.leader)) > 5, 'its disk was slow indeed');
});

t.test('disk: syncs of 2 s are borne or handed over, but leadership does not flap', async (t) => {
  const before = await agreed();
  const pauseMs = await pauseWhile(before.leader, async () => {
    await cluster.disk(before.leader, { name: 'slow', delayMs: 2_000 });
    await pause(12_000);
    await cluster.heal();
  });
  const after = await agreed();
  t.comment(`terms ${before.term} to ${after.term}; longest pause ${pauseMs.toFixed(0)} ms`);
  t.ok(after.term - before.term <= 1, 'one change of leaders at most');
  t.ok(pauseMs < STALL_MS + ELECTION_MS_MAX, 'writes went on');
});

t.test(
  'disk: a leader whose disk hangs hands over once, and follows when it is well',
  async (t) => {
    const before = await agreed();
    const said = await listen(before.leader);
    const pauseMs = await pauseWhile(before.leader, async () => {
      await cluster.disk(before.leader, { name: 'hung' });
      await waitFor('another leader', async () => {
        const now = await cluster.leaderNow();
        return now !== undefined && now !== before.leader;
      });
      await pause(3_000);
      await cluster.heal();
    });
    const after = await agreed();
    t.not(after.leader, before.leader, 'another leads');
    t.equal(after.term, before.term + 1, 'after one election');
    t.comment(`the longest pause of writes: ${pauseMs.toFixed(0)} ms`);
    t.ok(pauseMs < STALL_MS + ELECTION_MS_MAX, 'writes go on soon after the disk was given up');
    t.match(await said(), /"level":"error".*the disk does not answer/, 'the log says why');
    t.match(await said(), /handing leadership over/, 'and what it does');
    t.match(await said(), /writes and the state machine go on/, 'and when it is well again');
  },
);

t.test('disk: a follower whose disk hangs holds nobody up', async (t) => {
  const before = await agreed();
  const [follower = ''] = othersOf(before.leader);
  const said = await listen(follower);
  const pauseMs = await pauseWhile(follower, async () => {
    await cluster.disk(follower, { name: 'hung' });
    await waitFor('the log to tell', async () => /the disk does not answer/.test(await said()));
    await cluster.heal();
  });
  t.strictSame(await agreed(), before, 'no election was held');
  t.comment(`the longest pause of writes: ${pauseMs.toFixed(0)} ms`);
  t.ok(pauseMs < ELECTION_MS_MAX, 'writes went on');
});

for (const [condition, error, words] of [
  ['failing', /EIO/, /the disk fails/],
  ['read-only', /EROFS/, /the file system is read-only/],
] as const) {
  t.test(
    `disk: a leader whose disk is ${condition} ends and says why; it comes back`,
    async (t) => {
      const before = await agreed();
      const said = await listen(before.leader);
      const pauseMs = await pauseWhile(before.leader, async () => {
        await cluster.disk(before.leader, { name: condition });
        await ended(before.leader);
        await cluster.leader();
        const last = await waitFor('the last word', async () => {
          const line = (await said()).trim().split('\n').at(-1) ?? '';
          return /the node cannot go on/.test(line) && line;
        });
        t.match(last, error, 'the last line of the log names the error');
        t.match(last, words, 'and says what it means');
        t.match(last, /"level":"error".*the node cannot go on/, 'as an error');
        const refusal = await cluster.startHost(before.leader).then(
          () => undefined,
          (reason: Error) => reason.message,
        );
        t.match(refusal, words, 'it does not start on such a disk, and says why');
        t.notMatch(refusal, /^\s+at /m, 'in words, not in a trace');
        await cluster.heal();
        await cluster.startHost(before.leader);
      });
      t.comment(`the longest pause of writes: ${pauseMs.toFixed(0)} ms`);
      t.ok(pauseMs < ELECTION_MS_MAX, 'the others went on');
      t.not((await agreed()).leader, before.leader, 'one of them leads');
    },
  );
}

t.test('frozen: a leader that wakes after ten seconds shows nothing old', async (t) => {
  const { leader } = await agreed();
  const [other = ''] = othersOf(leader);
  const path = `/api/v1/namespaces/${NAMESPACE}-fresh/configmaps`;
  await cluster.kubectl(['create', 'namespace', `${NAMESPACE}-fresh`]);
  const write = (host: string, value: string) =>
    client.json(host, `${path}/fresh`, {
      method: 'PUT',
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'fresh' }, data: { value } },
    });
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'fresh' } };
  await client.json(other, path, { method: 'POST', body });
  await write(other, 'old');
  const reads: Promise<string>[] = [];
  const read = async () => {
    const answer = await client.call(leader, `${path}/fresh`, { deadlineMs: 20_000 });
    if (answer.code === 200)
      return (JSON.parse(answer.text) as { data: { value: string } }).data.value;
    return `${answer.code} ${statusOf(answer).reason}`;
  };
  const pauseMs = await pauseWhile(leader, async () => {
    await cluster.pause(leader, true);
    const wake = performance.now() + FREEZE_MS;
    await waitFor('another leader', async () => {
      const now = await cluster.leaderNow();
      return now !== undefined && now !== leader;
    });
    await write(other, 'new');
    // Asked while it sleeps, of one that believes to lead: only the answer counts, and that comes when it wakes.
    while (performance.now() < wake) {
      reads.push(read());
      await pause(500);
    }
    await cluster.pause(leader, false);
    for (let more = 0; more < 20; more++) reads.push(read());
  });
  const answers = new Set(await Promise.all(reads));
  t.comment(
    `${reads.length} reads: ${[...answers].join(', ')}; longest pause ${pauseMs.toFixed(0)} ms`,
  );
  t.ok(answers.has('new'), 'it answers');
  for (const answer of answers) t.match(answer, /^(new|503 ServiceUnavailable)$/, 'nothing old');
  t.ok(pauseMs < ELECTION_MS_MAX, 'the others went on');
});

t.test(
  'clock: an hour ahead, behind and apart: nobody is elected, nobody is refused',
  async (t) => {
    const before = await agreed();
    const [ahead = '', behind = ''] = [before.leader, ...othersOf(before.leader)];
    const podsBefore = await cluster.kubectl(['get', 'nodes', '-o', 'name']);
    const pauseMs = await pauseWhile(before.leader, async () => {
      await cluster.clock(ahead, HOUR_MS);
      await cluster.clock(behind, -HOUR_MS);
      await pause(5_000);
      for (const host of hosts) {
        // A new connection each: its certificates are checked by the clock that is wrong.
        const { code, stderr } = await cluster.tryKubectl(
          ['create', 'configmap', `clock-${host}`],
          { host },
        );
        t.equal(code, 0, `${host} takes a write: ${stderr.trim()}`);
      }
      const members = (await cluster.status(before.leader))?.members ?? [];
      t.strictSame(
        members.map(({ ready }) => ready),
        hosts.map(() => 'True'),
        'every node is ready by everybody’s clock',
      );
      await cluster.heal();
    });
    t.strictSame(await agreed(), before, 'no election was held');
    t.equal(await cluster.kubectl(['get', 'nodes', '-o', 'name']), podsBefore);
    t.ok(pauseMs < ELECTION_MS_MAX, 'writes went on');
  },
);

t.test('clock: a node starts, and joins in, an hour behind', async (t) => {
  const { leader } = await agreed();
  const [host = ''] = othersOf(leader);
  const over = harm.begin([host]);
  await cluster.clock(host, -HOUR_MS);
  await cluster.kill(host);
  await cluster.startHost(host);
  over();
  await agreed();
  const { code, stderr } = await cluster.tryKubectl(['get', 'nodes'], { host });
  t.equal(code, 0, `it serves: ${stderr.trim()}`);
  await cluster.heal();
});

t.test('links: a leader that nobody hears, or that hears nobody, is replaced', async (t) => {
  for (const way of ['mute', 'deaf'] as const) {
    const { leader } = await agreed();
    const pauseMs = await pauseWhile(leader, async () => {
      for (const other of othersOf(leader)) {
        if (way === 'mute') await cluster.cutOneWay(leader, other);
        else await cluster.cutOneWay(other, leader);
      }
      await waitFor('another leader', async () => {
        const now = await cluster.leaderNow();
        return now !== undefined && now !== leader;
      });
      await cluster.heal();
    });
    t.comment(`${way}: the longest pause of writes: ${pauseMs.toFixed(0)} ms`);
    t.ok(pauseMs < ELECTION_MS_MAX, `${way}: writes go on`);
  }
});

/** Fails with every line of `found`. */
const none = (t: Test, found: readonly string[], what: string) => t.strictSame(found, [], what);

t.test(
  'afterwards: nothing acknowledged is missing, no read was stale, one led per term',
  async (t) => {
    clientsEnd.abort();
    await working;
    await cluster.settled();
    const { lost, wrong } = await audit({ cluster, client, clients, namespace: NAMESPACE });
    none(t, lost, 'no acknowledged write is lost');
    none(t, wrong, 'every host has the same, and the watcher knows it');
    none(t, clients.wrongAnswers, 'no answer was wrong');
    none(
      t,
      clients.checkHistories().map(({ text }) => text),
      'every history is linearizable',
    );
    const leaders = new Leaders();
    for (const host of hosts) await leaders.readLog(logOf(host));
    none(t, leaders.duplicates, 'no term had two leaders');
    const { writes, reads, events } = clients.tally;
    t.comment(`${writes} writes, ${reads} reads, ${events} events, ${leaders.terms} terms`);
    t.ok(writes > 500 && reads > 300 && events > 500, 'much was tried');
    t.match(await cluster.onHost(hosts[0] ?? '', [SKEIN, 'status']), /node1/, 'and all is well');
  },
);
