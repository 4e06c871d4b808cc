/**
 * Partitions: a leader that is cut off must neither write nor show what is old, the majority must go on, and when
 * the links are back all is as if nothing had been. Then half-cut, flapping, slow and lossy links.
 */

import t, { type Test } from 'tap';
import { type Answer, ApiClient, statusOf } from '../../src/chaos/api-client.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { CONFIG_MAPS, Writes } from './support/writes.ts';

/** A refusal must come within this time: a user waits for it. */
const REFUSAL_MS_MAX = 6_000;
/** Whatever happens to a link, writes through a healthy host pause no longer than for an election. */
const PAUSE_MS_MAX = 5_000;
const FLAPS = 6;
const RACING_READS = 10;

const cluster = await TestCluster.start(t, { name: 'e2e-partit', images: false });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());
const writes = new Writes(client);

type Stored = {
  readonly metadata: { readonly resourceVersion: string; readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
};
type List = { readonly metadata: { readonly resourceVersion: string } };

const configMap = (name: string, value: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { value },
});
const put = (host: string, name: string, value: string) =>
  client.call(host, `${CONFIG_MAPS}/${name}`, { method: 'PUT', body: configMap(name, value) });
const post = (host: string, name: string, value: string) =>
  client.call(host, CONFIG_MAPS, { method: 'POST', body: configMap(name, value) });
const get = (host: string, name: string, query = '') =>
  client.call(host, `${CONFIG_MAPS}/${name}${query}`);
const valueIn = (answer: Answer) => (JSON.parse(answer.text) as Stored).data?.['value'];

/** The answer must be a prompt 503 that speaks of the quorum. */
async function refused(t: Test, what: string, call: Promise<Answer>): Promise<void> {
  const started = performance.now();
  const answer = await call;
  const ms = performance.now() - started;
  const { kind, status, reason, message = '', code } = statusOf(answer);
  t.strictSame(
    { http: answer.code, kind, status, reason, code },
    { http: 503, kind: 'Status', status: 'Failure', reason: 'ServiceUnavailable', code: 503 },
    `${what} is refused`,
  );
  t.match(message, /quorum/, `${what}: the message says why`);
  t.ok(ms < REFUSAL_MS_MAX, `${what} is refused after ${ms.toFixed(0)} ms`);
}

/** Everybody at the same revision, with the same bytes, and every host at work. */
async function converged(t: Test): Promise<void> {
  await cluster.settled();
  const { metadata } = await client.json<List>(cluster.hosts[0] ?? '', CONFIG_MAPS);
  const query = `resourceVersion=${metadata.resourceVersion}&resourceVersionMatch=Exact`;
  const lists = await Promise.all(
    cluster.hosts.map((host) => client.call(host, `${CONFIG_MAPS}?${query}`)),
  );
  t.strictSame(new Set(lists.map(({ code }) => code)), new Set([200]), 'every host lists');
  t.equal(new Set(lists.map(({ text }) => text)).size, 1, 'all hosts hold the same bytes');
  for (const host of cluster.hosts) {
    t.strictSame(await writes.missingAt(host), [], `${host} has every acknowledged write`);
  }
}

const othersOf = (host: string): [string, string] => {
  const [a = '', b = ''] = cluster.hosts.filter((other) => other !== host);
  return [a, b];
};

/** The host answers, and knows of no leader. */
async function leaderless(host: string): Promise<boolean> {
  const status = await cluster.status(host);
  return status !== undefined && status.leader === undefined;
}

/** The host answers, and does not follow `leader` any more; whoever has taken its place. */
async function left(host: string, leader: string): Promise<boolean> {
  const status = await cluster.status(host);
  if (status !== undefined && status.leader?.node !== leader) return true;
  throw new Error(`${host} follows ${status?.leader?.node} in term ${status?.term}`);
}

/** Collects the values of one ConfigMap as a watch at `host` tells them. */
async function watchValues(t: Test, host: string, name: string, from: string) {
  const end = new AbortController();
  t.teardown(() => end.abort());
  const query = `watch=true&fieldSelector=metadata.name%3D${name}&resourceVersion=${from}`;
  const response = await client.stream(host, `${CONFIG_MAPS}?${query}`, end.signal);
  const seen = { values: [] as (string | undefined)[], ended: false };
  const finish = () => {
    seen.ended = true;
  };
  response.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString('utf8').trim().split('\n')) {
      const { type, object } = JSON.parse(line) as { type: string; object: Stored };
      if (type === 'ADDED' || type === 'MODIFIED') seen.values.push(object.data?.['value']);
    }
  });
  response.on('end', finish).on('error', finish);
  return seen;
}

t.test('partition: a leader cut off refuses, the majority goes on', async (t) => {
  await cluster.settled();
  const old = await cluster.leader();
  const [a, b] = othersOf(old);
  const created = await post(old, 'shared', 'before');
  t.equal(created.code, 201);
  const { resourceVersion } = (JSON.parse(created.text) as Stored).metadata;
  const seen = await watchValues(t, old, 'shared', resourceVersion);

  await cluster.isolate(old);
  // It does not know yet: such a write may end as unknown, but never as done.
  const early = post(old, 'early', 'x');
  const ms = await writes.until(a, 'majority');
  t.comment(`the majority took a write ${ms.toFixed(0)} ms after the cut`);
  t.ok(ms < PAUSE_MS_MAX, 'the majority goes on');
  t.equal((await put(a, 'shared', 'after')).code, 200, 'and changes what the minority knows');
  // The old leader may still believe that it leads: it must ask before it answers.
  const racing = Promise.all(Array.from({ length: RACING_READS }, () => get(old, 'shared')));
  t.not(await cluster.leader(), old, 'another leads');
  await waitFor('the old leader to step down', async () => {
    const status = await cluster.status(old);
    return status !== undefined && status.role !== 'leader';
  });

  await Promise.all([
    refused(t, 'a create', post(old, 'late', 'x')),
    refused(t, 'an update', put(old, 'shared', 'minority')),
    refused(t, 'a delete', client.call(old, `${CONFIG_MAPS}/shared`, { method: 'DELETE' })),
    refused(t, 'a read', get(old, 'shared')),
    refused(t, 'a list', client.call(old, CONFIG_MAPS)),
  ]);
  const racingCodes = (await racing).map(({ code }) => code);
  t.strictSame(new Set(racingCodes), new Set([503]), 'no read showed what was overwritten');
  const stale = await get(old, 'shared', '?resourceVersion=0');
  t.equal(stale.code, 200, 'a read of any revision is answered');
  t.equal(valueIn(stale), 'before', 'with what the minority has');
  for (const host of [a, b]) t.equal(valueIn(await get(host, 'shared')), 'after', `${host} is new`);

  const earlyAnswer = await early;
  t.ok([503, 504].includes(earlyAnswer.code), `the early write ended with ${earlyAnswer.code}`);
  const started = performance.now();
  const kubectl = await cluster.tryKubectl(['create', 'configmap', 'by-kubectl'], { host: old });
  t.not(kubectl.code, 0, 'kubectl fails');
  t.match(kubectl.stderr, /quorum/, 'kubectl says why');
  t.ok(performance.now() - started < 2 * REFUSAL_MS_MAX, 'kubectl does not hang');
  t.equal((await client.call(old, '/livez')).code, 200, 'the process is alive');
  t.equal((await client.call(old, '/readyz')).code, 500, 'but not ready');
  t.strictSame(seen, { values: [], ended: false }, 'the watch goes on without events');

  await cluster.heal();
  await converged(t);
  await waitFor('the watch to go on', async () => seen.values.length > 0);
  t.strictSame(seen, { values: ['after'], ended: false }, 'the watch brings what it missed, once');
  t.equal(valueIn(await get(old, 'shared')), 'after', 'the old leader reads anew');
  t.equal((await put(old, 'shared', 'healed')).code, 200, 'and writes');
  await cluster.kubectl(['create', 'configmap', 'by-kubectl'], { host: old });
  for (const name of ['late', 'minority']) {
    const codes = await Promise.all(
      cluster.hosts.map(async (host) => (await get(host, name)).code),
    );
    t.equal(new Set(codes).size, 1, `all agree about ${name}`);
  }
  t.equal((await get(a, 'late')).code, 404, 'what was refused was not done');
  const earlyCodes = await Promise.all(
    cluster.hosts.map(async (host) => (await get(host, 'early')).code),
  );
  t.equal(new Set(earlyCodes).size, 1, 'all agree about the write of unknown outcome');
});

t.test('partition: a follower cut off disturbs nobody, also when it returns', async (t) => {
  const [before] = await cluster.settled();
  const leader = await cluster.leader();
  const [away, other] = othersOf(leader);
  const slowest = await writes.slowestWhile(other, 'follower-cut', async () => {
    await cluster.isolate(away);
    await waitFor('the follower to notice', () => leaderless(away));
    await refused(t, 'a create at the follower', post(away, 'follower-late', 'x'));
    await cluster.heal();
    await cluster.settled();
  });
  t.comment(`the slowest write meanwhile took ${slowest.toFixed(0)} ms`);
  t.ok(slowest < PAUSE_MS_MAX, 'writes went on');
  const [after] = await cluster.settled();
  t.equal(after?.term, before?.term, 'no election was held');
  await converged(t);
});

t.test('partition: without any majority nobody writes, and nothing is lost', async (t) => {
  await cluster.settled();
  for (const host of cluster.hosts) await cluster.isolate(host);
  await waitFor('nobody to lead', async () => {
    const all = await Promise.all(cluster.hosts.map(leaderless));
    return all.every((without) => without);
  });
  await Promise.all(
    cluster.hosts.map((host) => refused(t, `a create at ${host}`, post(host, 'nowhere', 'x'))),
  );
  await cluster.heal();
  t.ok(
    (await writes.until(cluster.hosts[0] ?? '', 'together')) < PAUSE_MS_MAX,
    'it goes on at once',
  );
  await converged(t);
  t.equal((await get(cluster.hosts[0] ?? '', 'nowhere')).code, 404);
});

t.test('partition: a triangle with one side cut keeps its leader', async (t) => {
  const [before] = await cluster.settled();
  const leader = await cluster.leader();
  const [cutOff, between] = othersOf(leader);
  const slowest = await writes.slowestWhile(between, 'triangle', async () => {
    await cluster.cut(leader, cutOff);
    await waitFor('the one cut off to notice', () => leaderless(cutOff));
    // Several election timeouts: it asks for votes, and who hears the leader refuses them.
    await writes.slowestWhile(leader, 'triangle-leader', async () => {
      await refused(t, 'a create at the one cut off', post(cutOff, 'triangle-late', 'x'));
    });
  });
  t.comment(`the slowest write meanwhile took ${slowest.toFixed(0)} ms`);
  t.ok(slowest < PAUSE_MS_MAX, 'writes went on');
  t.equal(await cluster.leader(), leader, 'the leader stays');
  t.equal((await cluster.status(leader))?.term, before?.term, 'no election was held');
  await cluster.heal();
  await converged(t);

  const [one, two] = othersOf(await cluster.leader());
  await cluster.cut(one, two);
  for (const host of [one, two]) {
    t.ok(await writes.write(host, `followers-cut-${host}`), `${host} does not need the other`);
  }
  await cluster.heal();
  await converged(t);
});

t.test('partition: a link that comes and goes does not stop the cluster', async (t) => {
  await cluster.settled();
  const leader = await cluster.leader();
  const [flapping, other] = othersOf(leader);
  const slowest = await writes.slowestWhile(other, 'flapping', async () => {
    for (let flap = 0; flap < FLAPS; flap++) {
      await cluster.cut(leader, flapping);
      await writes.until(other, `flap-cut-${flap}`);
      // Every other time the cut lasts until it is noticed.
      if (flap % 2 === 1) await waitFor('the cut to be noticed', () => left(flapping, leader));
      await cluster.heal();
      await writes.until(other, `flap-healed-${flap}`);
    }
  });
  t.comment(`the slowest write meanwhile took ${slowest.toFixed(0)} ms`);
  t.ok(slowest < PAUSE_MS_MAX, 'writes went on');
  await converged(t);
});

t.test('partition: slow and lossy links slow the cluster down, no more', async (t) => {
  await cluster.settled();
  const leader = await cluster.leader();
  const [slow, lossy] = othersOf(leader);
  await cluster.delay(leader, slow, 80, 2);
  await cluster.delay(leader, lossy, 20, 10);
  await cluster.delay(slow, lossy, 150, 5);
  const times: number[] = [];
  for (let round = 0; round < 12; round++) {
    for (const host of cluster.hosts) times.push(await writes.until(host, `slow-${round}-${host}`));
  }
  t.comment(`writes took ${times.map((ms) => ms.toFixed(0)).join(' ')} ms`);
  t.ok(Math.max(...times) < PAUSE_MS_MAX, 'every write was acknowledged in time');
  await cluster.heal();
  await converged(t);
});
