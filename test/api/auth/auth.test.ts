/** Who is let in, as whom, and to what. */

import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import t from 'tap';
import { createAuthenticator } from '../../../src/api/auth/authenticator.ts';
import {
  createAuthority,
  expiresAtMs,
  issueClient,
  issueServing,
} from '../../../src/api/auth/pki.ts';
import {
  createServiceAccountTokens,
  createTokenKey,
} from '../../../src/api/auth/service-account-tokens.ts';
import { hashToken, newToken, tokenTable } from '../../../src/api/auth/static-tokens.ts';
import { systemClock, VirtualClock } from '../../../src/lib/clock.ts';
import { startServer } from '../http/harness.ts';

const DAY_MS = 86_400_000;
const PODS = '/api/v1/namespaces/default/pods';

t.test('pki: certificates chain to the authority and say what they are for', async (t) => {
  const clock = new VirtualClock();
  const authority = await createAuthority({ clock });
  const serving = await issueServing(
    authority,
    { nodeName: 'n1', addresses: ['10.1.2.3', 'n1.lab'], serviceIp: '10.96.0.1' },
    { clock },
  );
  const ca = new X509Certificate(authority.certificatePem);
  const leaf = new X509Certificate(serving.certificatePem);
  t.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca));
  for (const name of ['n1', 'n1.lab', 'kubernetes.default.svc', 'localhost']) {
    t.ok(leaf.checkHost(name), name);
  }
  for (const address of ['10.1.2.3', '10.96.0.1', '127.0.0.1'])
    t.ok(leaf.checkIP(address), address);
  t.equal(Date.parse(leaf.validFrom), clock.nowMs() - DAY_MS, 'back-dated');
  t.equal(expiresAtMs(serving.certificatePem), clock.nowMs() + 365 * DAY_MS);
  clock.advance(3500 * DAY_MS);
  const late = await issueClient(authority, { name: 'x', groups: [] }, { clock });
  t.equal(
    expiresAtMs(late.certificatePem),
    expiresAtMs(authority.certificatePem),
    'a leaf never outlives its authority',
  );
  clock.advance(200 * DAY_MS);
  await t.rejects(issueClient(authority, { name: 'x', groups: [] }, { clock }), {
    code: 'config-invalid',
  });
});

t.test('auth: a fresh certificate is valid by a clock that is hours behind', async (t) => {
  const clock = new VirtualClock();
  const authority = await createAuthority({ clock });
  const leaf = await issueClient(authority, { name: 'x', groups: [] }, { clock });
  for (const { certificatePem } of [authority, leaf]) {
    const from = Date.parse(new X509Certificate(certificatePem).validFrom);
    t.ok(from <= clock.nowMs() - 12 * 3_600_000);
  }
});

t.test('certificates: user and groups; strangers and wrong purposes are refused', async (t) => {
  const server = await startServer(t);
  const whoami = async (as: Parameters<typeof server.ask>[1]) =>
    server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
      method: 'POST',
      body: {},
      ...as,
    });
  const ann = await whoami({ as: await server.user('ann', ['dev', 'a,b=c']) });
  t.match(ann, {
    code: 201,
    body: { status: { userInfo: { username: 'ann' } } },
  });
  t.same(ann.body.status.userInfo.groups, ['dev', 'a,b=c', 'system:authenticated']);
  const stranger = await issueClient(await createAuthority(), {
    name: 'admin',
    groups: ['system:masters'],
  });
  t.equal((await whoami({ as: stranger })).code, 401, 'signed by another authority');
  const purpose = await issueServing(server.authority, { nodeName: 'n', addresses: [] });
  t.equal((await whoami({ as: purpose })).code, 401, 'not a client certificate');
  const old = await issueClient(
    server.authority,
    { name: 'ann', groups: [] },
    { clock: new VirtualClock(), lifetimeMs: 1000 },
  );
  t.equal((await whoami({ as: old })).code, 401, 'expired');
});

t.test('certificates: a resumed TLS session keeps its user', async (t) => {
  const server = await startServer(t);
  const options = {
    port: server.port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: server.authority.certificatePem,
    cert: server.admin.certificatePem,
    key: server.admin.keyPem,
  };
  const get = 'GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  const session = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect(options, () => socket.write(get));
    socket.on('session', resolve);
    socket.on('error', reject);
    socket.resume();
  });
  const { cert, key, ...bare } = options;
  t.ok(cert && key);
  const status = await new Promise<string>((resolve, reject) => {
    const socket = connect({ ...bare, session }, () => socket.write(get));
    socket.on('data', (data) =>
      resolve(`${socket.isSessionReused()} ${data.toString().slice(9, 12)}`),
    );
    socket.on('error', reject);
  });
  t.equal(status, 'true 200');
});

t.test('tokens: good until expiry, revocation, or the end of their account', async (t) => {
  const clock = new VirtualClock();
  const uids = new Map([
    ['ServiceAccount default/robot', 'u1'],
    ['Pod default/p', 'p1'],
  ]);
  const live = {
    uidOf: (kind: string, namespace: string, name: string) =>
      uids.get(`${kind} ${namespace}/${name}`),
  };
  const keyPem = await createTokenKey();
  const tokens = await createServiceAccountTokens({ clock, live }, { keyPem });
  const request = {
    namespace: 'default',
    serviceAccount: 'robot',
    serviceAccountUid: 'u1',
    audiences: [],
    expirationSeconds: 3600,
  };
  const { token } = await tokens.issue(request);
  t.match(await tokens.verify(token), {
    user: {
      name: 'system:serviceaccount:default:robot',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
    },
  });
  const bound = await tokens.issue({
    ...request,
    boundObject: { kind: 'Pod', name: 'p', uid: 'p1' },
  });
  t.match(await tokens.verify(bound.token), {
    user: { extra: { 'authentication.kubernetes.io/pod-name': ['p'] } },
  });
  uids.set('Pod default/p', 'p2');
  t.equal(await tokens.verify(bound.token), undefined, 'the pod was replaced');
  const foreign = await tokens.issue({ ...request, audiences: ['vault'] });
  t.equal(await tokens.verify(foreign.token), undefined, 'meant for somebody else');
  t.ok(await tokens.verify(foreign.token, ['vault']));
  t.equal(await tokens.verify(`${token.slice(0, -4)}AAAA`), undefined, 'tampered with');
  const other = await createServiceAccountTokens(
    { clock, live },
    { keyPem: await createTokenKey() },
  );
  t.equal(await other.verify(token), undefined, 'another cluster');
  const rotated = await createServiceAccountTokens(
    { clock, live },
    { keyPem: await createTokenKey(), acceptedKeyPems: [keyPem] },
  );
  t.ok(await rotated.verify(token), 'an earlier key is still accepted');
  clock.advance(3_600_000);
  t.equal(await tokens.verify(token), undefined, 'expired, although it was verified before');
  const fresh = await tokens.issue(request);
  uids.delete('ServiceAccount default/robot');
  t.equal(await tokens.verify(fresh.token), undefined, 'the account is gone');
});

t.test('tokens: kept as hashes, and sent as bearer or as WebSocket subprotocol', async (t) => {
  const token = newToken();
  const live = { uidOf: () => undefined };
  const serviceAccounts = await createServiceAccountTokens(
    { clock: systemClock, live },
    { keyPem: await createTokenKey() },
  );
  const hashedTokens = tokenTable(new Map([[hashToken(token), { name: 'bot', groups: ['g'] }]]));
  const authenticator = createAuthenticator(
    { clock: systemClock, serviceAccounts, hashedTokens },
    { authorityPems: [] },
  );
  const request = (headers: object) =>
    ({ headers, socket: {} }) as Parameters<typeof authenticator.authenticate>[0];
  const user = { name: 'bot', groups: ['g', 'system:authenticated'] };
  t.match(await authenticator.authenticate(request({ authorization: `Bearer ${token}` })), user);
  const encoded = Buffer.from(token).toString('base64url');
  const protocol = `v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.${encoded}`;
  t.match(await authenticator.authenticate(request({ 'sec-websocket-protocol': protocol })), user);
  t.equal(await authenticator.authenticate(request({ authorization: 'Bearer wrong' })), undefined);
  t.equal(
    await authenticator.authenticate(request({ authorization: `Basic ${token}` })),
    undefined,
  );
});

t.test(
  'tokens: a service account gets in with its token, and no further than allowed',
  async (t) => {
    const server = await startServer(t);
    await server.createNamespace();
    const accounts = '/api/v1/namespaces/default/serviceaccounts';
    const answer = await server.ask(`${accounts}/default/token`, {
      method: 'POST',
      body: { spec: { expirationSeconds: 600 } },
    });
    t.equal(answer.code, 201, answer.text);
    const headers = { authorization: `Bearer ${answer.body.status.token}` };
    const ask = (path: string) => server.ask(path, { as: 'nobody', headers });
    t.equal((await ask('/api')).code, 200, 'discovery is open to everybody known');
    t.match(await ask(PODS), {
      code: 403,
      body: {
        reason: 'Forbidden',
        message:
          'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group "" in the namespace "default"',
        details: { kind: 'pods' },
      },
    });
    t.match(await ask('/metrics'), { code: 403, body: { message: /cannot get path "\/metrics"/ } });
    await server.ask(`${accounts}/default`, { method: 'DELETE' });
    t.equal((await ask('/api')).code, 401, 'the account is gone, and its token with it');
  },
);

t.test('impersonation: for administrators only', async (t) => {
  const server = await startServer(t);
  const headers = { 'Impersonate-User': 'bob', 'Impersonate-Group': ['a', 'b,c'] };
  const review = {
    method: 'POST',
    body: {},
    headers: { ...headers, 'Impersonate-Extra-acme.com%2Fproject': 'x' },
  };
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const asAdmin = await server.ask(path, review);
  t.same(asAdmin.body.status.userInfo, {
    username: 'bob',
    groups: ['a', 'b,c', 'system:authenticated'],
    extra: { 'acme.com/project': ['x'] },
  });
  const ann = await server.user('ann');
  t.match(await server.ask(path, { ...review, as: ann }), {
    code: 403,
    body: { message: /User "ann" cannot impersonate resource "users"/ },
  });
  t.match(await server.ask('/api', { headers: { 'Impersonate-Group': 'x' } }), { code: 400 });
});

t.test('reviews: questions about oneself and others', async (t) => {
  const server = await startServer(t);
  const authorization = '/apis/authorization.k8s.io/v1';
  const ask = (path: string, spec: object, more: object = {}) =>
    server.ask(path, { method: 'POST', body: { spec }, ...more });
  const get = { resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'default' } };
  const ann = await server.user('ann');
  const mine = await ask(`${authorization}/selfsubjectaccessreviews`, get, { as: ann });
  t.match(mine, { code: 201, body: { status: { allowed: false } } });
  const theirs = await ask(`${authorization}/subjectaccessreviews`, {
    ...get,
    user: 'x',
    groups: ['system:masters'],
  });
  t.match(theirs, { code: 201, body: { status: { allowed: true } } });
  const refused = await ask(`${authorization}/subjectaccessreviews`, get, { as: ann });
  t.equal(refused.code, 403);
  const local = `${authorization}/namespaces/default/localsubjectaccessreviews`;
  t.match(await ask(local, { ...get, user: 'x' }), { body: { status: { allowed: false } } });
  const rules = await ask(`${authorization}/selfsubjectrulesreviews`, { namespace: 'default' });
  t.match(rules.body.status.resourceRules, [{ verbs: ['*'] }]);
  const empty = await ask(`${authorization}/selfsubjectaccessreviews`, {});
  t.equal(empty.code, 400);
  const token = await ask('/apis/authentication.k8s.io/v1/tokenreviews', { token: 'nonsense' });
  t.match(token, { code: 201, body: { status: { error: String } } });
  t.equal((await server.ask(`${authorization}/subjectaccessreviews`)).code, 405);
});
