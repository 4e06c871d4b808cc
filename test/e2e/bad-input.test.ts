/**
 * Bad input: whatever is sent, the answer is the right Status or a closed connection, and the process goes on as if
 * nothing had been: the same pid, no more descriptors, no more memory.
 */

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeJwt, importPKCS8, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { createAuthority, issueClient, issueServing } from '../../src/api/auth/pki.ts';
import { type Answer, ApiClient, statusOf } from '../../src/chaos/api-client.ts';
import type { ClusterFile } from '../../src/node/data-dir.ts';
import { BAD_BODIES, BAD_PATCHES, BAD_REQUESTS, type Case } from './support/bad-requests.ts';
import { TestCluster, waitFor } from './support/cluster.ts';
import { processFacts } from './support/process-facts.ts';
import { exchange, type Held, hold, type Target } from './support/sockets.ts';
import { CONFIG_MAPS } from './support/writes.ts';

const HOST = 'node1';
const MESH_PORT = 7946;
/** Connections of each kind of misbehaviour. */
const STRANGERS = 200;
/** Longest that a connection which says nothing, or too little, may last: 20 s for a head, and 5 s between looks. */
/** Random bytes may look like the beginning of a handshake: then it must end within this time. */
const HANDSHAKE_MS_MAX = 13_000;
const SLOW_MS_MAX = 35_000;
/** A vanished peer is given up after 15 s of silence and ten probes a second apart. */
const VANISHED_MS_MAX = 40_000;
const DESCRIPTORS_SLACK = 12;
const MEMORY_SLACK_MB = 150;

const cluster = await TestCluster.start(t, { name: 'e2e-badin', images: false });
const client = await ApiClient.fromKubeconfig(cluster.kubeconfig);
t.teardown(() => client.close());
const address = cluster.address(HOST);
const api: Target = { host: address, port: 6443, tls: true };
const apiTcp: Target = { ...api, tls: false };
const mesh: Target = { host: address, port: MESH_PORT, tls: false };
const clusterFile = JSON.parse(
  await readFile(`${cluster.directory(HOST)}/root/var/lib/skein/cluster.json`, 'utf8'),
) as ClusterFile;
const authority = {
  certificatePem: clusterFile.caCertificatePem,
  keyPem: clusterFile.caKeyPem,
};

const facts = async () =>
  Promise.all(cluster.hosts.map(async (host) => processFacts(await cluster.pid(host))));
await client.json(HOST, CONFIG_MAPS);
const before = await facts();

/** The answer is a failure Status of this code and reason, and says it the same in both places. */
function isStatus(t: Test, what: string, answer: Answer, code: number, reason: string): void {
  const status = statusOf(answer);
  const seen = {
    http: answer.code,
    kind: status.kind,
    status: status.status,
    code: status.code,
    reason: status.reason,
  };
  const expected = { http: code, kind: 'Status', status: 'Failure', code, reason };
  t.strictSame(seen, expected, `${what}: ${status.message?.slice(0, 100)}`);
}

async function table(t: Test, cases: readonly Case[]): Promise<void> {
  for (const { what, path, code, reason, ...call } of cases) {
    isStatus(t, what, await client.call(HOST, path, call), code, reason);
  }
}

/** Slow ones are begun first and looked at last: they take their time. */
const slow: Held[] = [];
t.teardown(() => {
  for (const { socket } of slow) socket.destroy();
});
const slowSince = performance.now();
for (let count = 0; count < 40; count++) {
  slow.push(await hold(apiTcp), await hold(api));
  slow.push(await hold(api, `GET ${CONFIG_MAPS} HTTP/1.1\r\nhost: x\r\nx-slow: `));
}
const dripping = setInterval(() => {
  for (const { socket, ended } of slow) if (!ended && 'encrypted' in socket) socket.write('a');
}, 1000);
t.teardown(() => clearInterval(dripping));

t.test('bad input: bodies', async (t) => {
  await table(t, BAD_BODIES);
  const list = await client.json<{ items: { metadata: { name: string } }[] }>(HOST, CONFIG_MAPS);
  t.strictSame(
    list.items.map(({ metadata }) => metadata.name),
    ['kube-root-ca.crt'],
    'none of them made anything',
  );
});

t.test('bad input: parameters, paths, methods and types', async (t) => {
  await table(t, BAD_REQUESTS);
});

t.test('bad input: patches, updates and deletions', async (t) => {
  const seed = {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { name: 'seed' },
    data: { a: 'b' },
  };
  const path = `${CONFIG_MAPS}/seed`;
  const created = await client.call(HOST, CONFIG_MAPS, { method: 'POST', body: seed });
  t.equal(created.code, 201);
  await table(t, BAD_PATCHES);
  t.equal((await client.call(HOST, path)).text, created.text, 'not a byte has changed');
});

t.test('bad input: nobody, strangers, and users without rights', async (t) => {
  const call = async (user: ApiClient, headers: Record<string, string> = {}) => {
    try {
      return await user.call(HOST, CONFIG_MAPS, { headers });
    } finally {
      user.close();
    }
  };
  const bearer = (token: string) => call(client.as({}), { authorization: `Bearer ${token}` });
  const certificate = ({ certificatePem, keyPem }: { certificatePem: string; keyPem: string }) =>
    call(client.as({ cert: certificatePem, key: keyPem }));
  const admin = { name: 'admin', groups: ['system:masters'] };

  isStatus(t, 'no credentials', await call(client.as({})), 401, 'Unauthorized');
  for (const token of ['', 'x', 'a.b.c', 'x'.repeat(30_000)]) {
    isStatus(t, `token ${token.slice(0, 9)}`, await bearer(token), 401, 'Unauthorized');
  }
  for (const authorization of ['Basic YTpi', 'Negotiate', 'nonsense']) {
    const answer = await call(client.as({}), { authorization });
    isStatus(t, authorization, answer, 401, 'Unauthorized');
  }
  const foreign = await issueClient(await createAuthority(), admin);
  isStatus(t, "a stranger's certificate", await certificate(foreign), 401, 'Unauthorized');
  const expired = await issueClient(authority, admin, { lifetimeMs: -60_000 });
  isStatus(t, 'an expired certificate', await certificate(expired), 401, 'Unauthorized');
  const serving = await issueServing(authority, { nodeName: 'node1', addresses: [] });
  isStatus(t, 'a serving certificate', await certificate(serving), 401, 'Unauthorized');
  const powerless = await issueClient(authority, { name: 'nobody', groups: [] });
  isStatus(t, 'a user without rights', await certificate(powerless), 403, 'Forbidden');

  await cluster.kubectl(['create', 'serviceaccount', 'robot']);
  const token = (await cluster.kubectl(['create', 'token', 'robot'])).trim();
  const refused = await bearer(token);
  isStatus(t, 'a service account without rights', refused, 403, 'Forbidden');
  t.match(statusOf(refused).message, /system:serviceaccount:default:robot/, 'it is named');
  const { exp: _, ...claims } = decodeJwt(token);
  const sign = async (exp: string, keyPem: string) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
      .setExpirationTime(exp)
      .sign(await importPKCS8(keyPem, 'ES256'));
  const { tokenKeyPem } = clusterFile;
  isStatus(t, 'a like token', await bearer(await sign('1h', tokenKeyPem)), 403, 'Forbidden');
  isStatus(t, 'expired', await bearer(await sign('-1h', tokenKeyPem)), 401, 'Unauthorized');
  isStatus(t, 'forged', await bearer(await sign('1h', authority.keyPem)), 401, 'Unauthorized');
  const [head, body] = token.split('.');
  isStatus(t, 'unsigned', await bearer(`${head}.${body}.`), 401, 'Unauthorized');
  await cluster.kubectl(['delete', 'serviceaccount', 'robot']);
  isStatus(t, 'a token of who is gone', await bearer(token), 401, 'Unauthorized');
});

t.test('bad input: bytes that are no requests', async (t) => {
  const malformed = [
    'GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
    `GET /${'z'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(20_000)}\r\n`,
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n',
    '\0\0\0\0\r\n\r\n',
  ];
  for (const bytes of malformed) {
    const { received, ended } = await exchange(api, bytes);
    const what = JSON.stringify(bytes.slice(0, 50));
    t.ok(ended, `the connection is closed after ${what}`);
    t.match(received, /^$|^HTTP\/1\.1 4\d\d /, `with a 4xx, or nothing: ${received.slice(0, 30)}`);
  }
  const plain = await exchange(apiTcp, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  t.ok(plain.ended, 'HTTP without TLS is closed');
  for (const [name, target] of Object.entries({ api: apiTcp, tls: api, mesh })) {
    let ended = 0;
    for (let round = 0; round < STRANGERS / 20; round++) {
      const random = Array.from({ length: 20 }, () =>
        exchange(target, randomBytes(2000), HANDSHAKE_MS_MAX),
      );
      ended += (await Promise.all(random)).filter((outcome) => outcome.ended).length;
    }
    t.equal(ended, STRANGERS, `random bytes at ${name}: every connection is closed`);
  }
  for (const bytes of [
    'GET / HTTP/1.1\r\n\r\n',
    '\x13/multistream/1.0.0\n',
    Buffer.alloc(1 << 20),
  ]) {
    const { ended } = await exchange(mesh, bytes, 10_000);
    t.ok(ended, `the mesh closes on ${JSON.stringify(bytes.slice(0, 20).toString())}`);
  }
});

t.test('bad input: clients that come and go leave nothing', async (t) => {
  const end = new AbortController();
  const watch = `${CONFIG_MAPS}?watch=true`;
  const watches = Array.from({ length: STRANGERS }, () => client.stream(HOST, watch, end.signal));
  for (const response of await Promise.all(watches)) response.on('error', () => {}).resume();
  end.abort();
  const silent = await Promise.all(
    Array.from({ length: STRANGERS }, () => hold(mesh).catch(() => undefined)),
  );
  await waitFor('the mesh to close silent strangers', async () =>
    silent.every((held) => held === undefined || held.ended),
  );
  await waitFor('the watches to be forgotten', async () => {
    const { text } = await client.call(HOST, '/metrics');
    const inflight = /^apiserver_current_inflight_requests (\d+)/m.exec(text)?.[1];
    return Number(inflight) <= 1;
  });
  t.pass('watches and silent strangers are gone');
});

t.test('bad input: a client that vanishes is given up', async (t) => {
  const peer = cluster.address('node3');
  const connections = async () =>
    (
      await cluster.onHost(HOST, [
        'ss',
        '-Htno',
        'state',
        'established',
        'sport',
        '=',
        ':6443',
        'dst',
        peer,
      ])
    ).trim();
  const kubectl = `KUBECONFIG=${cluster.kubeconfig} kubectl --context ${HOST} get configmaps -w`;
  const pid = await cluster.onHost('node3', ['sh', '-c', `${kubectl} >/dev/null 2>&1 & echo $!`]);
  await waitFor('its watch', async () => (await connections()) !== '');
  await cluster.cut(HOST, 'node3');
  await cluster.onHost('node3', ['sh', '-c', `kill -9 ${pid.trim()} $(pidof kubectl); true`]);
  const given = await waitFor(
    'the connection to be given up',
    async () => {
      const left = await connections();
      if (left === '') return true;
      throw new Error(left);
    },
    VANISHED_MS_MAX,
  ).catch((error: Error) => error.message);
  await cluster.heal();
  t.equal(given, true, 'its connection is closed');
});

t.test('bad input: slow connections are closed', async (t) => {
  const left = () => slow.filter(({ ended }) => !ended).length;
  await waitFor('all of them to be closed', async () => left() === 0, SLOW_MS_MAX);
  const seconds = (performance.now() - slowSince) / 1000;
  t.equal(
    left(),
    0,
    `silent, half shaken and dripping ones are gone after ${seconds.toFixed(0)} s`,
  );
});

t.test('bad input: afterwards every process is as before', async (t) => {
  client.close();
  await cluster.settled();
  const after = await waitFor('descriptors to be given back', async () => {
    const now = await facts();
    const grown = now.some(({ descriptors }, at) => {
      return descriptors > (before[at]?.descriptors ?? 0) + DESCRIPTORS_SLACK;
    });
    return grown ? undefined : now;
  }).catch(() => facts());
  for (const [at, was] of before.entries()) {
    const is = after[at] ?? was;
    const host = cluster.hosts[at] ?? '';
    t.comment(
      `${host}: ${was.descriptors} -> ${is.descriptors} descriptors, ${was.residentMb} -> ${is.residentMb} MB`,
    );
    t.equal(`${is.pid} ${is.startTime}`, `${was.pid} ${was.startTime}`, `${host} did not crash`);
    t.ok(is.descriptors <= was.descriptors + DESCRIPTORS_SLACK, `${host} leaks no descriptors`);
    t.ok(is.residentMb <= was.residentMb + MEMORY_SLACK_MB, `${host} leaks no memory`);
    const log = await readFile(`${cluster.directory(host)}/skein.log`, 'utf8');
    const errors = log.split('\n').filter((line) => line.includes('"level":"error"'));
    t.strictSame(errors, [], `${host} logged no error`);
  }
});
