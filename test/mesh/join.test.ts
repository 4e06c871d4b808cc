import { randomBytes } from 'node:crypto';
import t from 'tap';
import { SkeinError } from '../../src/lib/errors.ts';
import { createIdentity } from '../../src/mesh/identity.ts';
import { requestJoin, serveJoin } from '../../src/mesh/join.ts';
import { encodeToken, type JoinToken, parseToken } from '../../src/mesh/join-token.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { startNode, until } from './support.ts';

const within = { deadlineMs: 3000 };

const tokenFor = (nodes: readonly JoinableMesh[], changes: Partial<JoinToken> = {}): JoinToken => ({
  id: 'abc123',
  caHash: randomBytes(32),
  secret: randomBytes(32),
  addresses: nodes.flatMap((node) => node.addresses()),
  ...changes,
});

t.test('join token: it survives its text', async (t) => {
  const token = tokenFor([await startNode(t)]);
  const text = encodeToken(token);
  t.match(text, /^skein1\.[A-Za-z0-9_-]+$/);
  const parsed = parseToken(`  ${text}\n`);
  t.equal(parsed.id, token.id);
  t.strictSame(parsed.addresses, token.addresses);
  t.equal(Buffer.compare(parsed.secret, token.secret), 0);
  t.equal(Buffer.compare(parsed.caHash, token.caHash), 0);
});

t.test('join token: what is wrong with it is said precisely', async (t) => {
  const text = encodeToken(tokenFor([await startNode(t)]));
  const invalid = (given: string, message: RegExp) =>
    t.throws(() => parseToken(given), { code: 'config-invalid', message });
  invalid('', /empty/);
  invalid('K10abc::server:xyz', /no join token: a join token begins with skein1\./);
  invalid(text.replace('skein1', 'skein7'), /version 7/);
  invalid(text.slice(0, -5), /incomplete or mistyped/);
  invalid(`${text.slice(0, 40)} ${text.slice(40)}`, /contains " "/);
  invalid(text.replace(/.(.)$/, 'A$1'), /incomplete or mistyped/);
  t.throws(() => encodeToken(tokenFor([])), /no address/);
  const bare = tokenFor([], { addresses: ['/ip4/10.0.0.1/tcp/7946'] });
  t.throws(() => encodeToken(bare), /lacks the peer id/);
});

t.test('join: the newcomer gets the grant and becomes a member', async (t) => {
  const [member, newcomer] = await Promise.all([startNode(t), startNode(t)]);
  const token = tokenFor([member]);
  serveJoin(member, {
    verify: (id) => (id === token.id ? token.secret : undefined),
    accept: async (request, from) => {
      t.equal(from, newcomer.self);
      const { addresses } = request as { addresses: string[] };
      member.admit(new Map([[from, addresses]]));
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { caCertificate: 'PEM', bytes: new Uint8Array([1]), members: [member.self] };
    },
  });
  const request = { name: 'n2', addresses: newcomer.addresses() };
  const grant = await requestJoin(newcomer, token, request, within);
  t.match(grant, { caCertificate: 'PEM', members: [member.self] });
  newcomer.admit(new Map([[member.self, member.addresses()]]));
  await until(() => [member, newcomer].every((node) => node.peers()[0]?.connected === true));
});

t.test('join: a wrong token is refused in clear words, on either side', async (t) => {
  const [member, newcomer] = await Promise.all([startNode(t), startNode(t)]);
  const token = tokenFor([member]);
  let accepted = 0;
  serveJoin(member, {
    verify: (id) => (id === token.id ? token.secret : undefined),
    accept: async () => accepted++,
  });
  const join = (changes: Partial<JoinToken>) =>
    requestJoin(newcomer, { ...token, ...changes }, {}, within);
  await t.rejects(join({ id: 'other' }), {
    code: 'not-admitted',
    message: /does not accept this join token: it is unknown, wrong, or has expired/,
  });
  await t.rejects(join({ secret: randomBytes(32) }), {
    code: 'not-admitted',
    message: /does not know the secret of the token/,
  });
  t.equal(accepted, 0);
});

t.test('join: a newcomer without the secret is refused even if it skips the check', async (t) => {
  const [member, newcomer] = await Promise.all([startNode(t), startNode(t)]);
  const token = tokenFor([member]);
  let accepted = 0;
  serveJoin(member, { verify: () => token.secret, accept: async () => accepted++ });
  const stream = await newcomer.approach(member.self, member.addresses(), '/skein/join/1', within);
  const frames = stream.frames[Symbol.asyncIterator]();
  const nonce = randomBytes(32).toString('base64url');
  await stream.send(Buffer.from(JSON.stringify({ tokenId: token.id, nonce })));
  const challenge = JSON.parse(Buffer.from((await frames.next()).value ?? '').toString());
  // Sends the member's own proof back.
  await stream.send(Buffer.from(JSON.stringify({ proof: challenge.proof })));
  await stream.send(new Uint8Array([0x80]));
  const answer = Buffer.from((await frames.next()).value ?? '').toString();
  t.match(answer, /refused/);
  t.equal(accepted, 0);
});

t.test('join: a false cluster gets nothing of the request', async (t) => {
  const [impostor, newcomer] = await Promise.all([startNode(t), startNode(t)]);
  const got: string[] = [];
  impostor.welcomeStrangers('/skein/join/1', async (stream) => {
    for await (const frame of stream.frames) {
      got.push(Buffer.from(frame).toString());
      const proof = randomBytes(32).toString('base64url');
      await stream.send(Buffer.from(JSON.stringify({ nonce: proof, proof })));
    }
  });
  const token = tokenFor([impostor]);
  const joining = requestJoin(newcomer, token, { secretName: 'n2' }, within);
  await t.rejects(joining, { code: 'not-admitted', message: /does not know the secret/ });
  t.equal(got.length, 1);
  t.notMatch(got.join(), /secretName/);
  t.notMatch(got.join(), Buffer.from(token.secret).toString('base64url'));
});

t.test('join: members that do not answer are passed over', async (t) => {
  const [member, newcomer] = await Promise.all([startNode(t), startNode(t)]);
  const gone = `/ip4/127.0.0.1/tcp/1/p2p/${(await createIdentity()).id}`;
  const token = tokenFor([member], { addresses: [gone, ...member.addresses()] });
  serveJoin(member, { verify: () => token.secret, accept: async () => 'welcome' });
  t.equal(await requestJoin(newcomer, token, {}, within), 'welcome');
  const nobody = requestJoin(newcomer, { ...token, addresses: [gone] }, {}, within);
  await t.rejects(nobody, { code: 'peer-unreachable', message: /no member of the cluster/ });
});

t.test('join: what accept refuses reaches the newcomer', async (t) => {
  const [member, newcomer] = await Promise.all([startNode(t), startNode(t)]);
  const token = tokenFor([member]);
  serveJoin(member, {
    verify: () => token.secret,
    accept: async () => {
      throw new SkeinError('no-leader', 'no quorum of voters is in reach', { retryable: true });
    },
  });
  await t.rejects(requestJoin(newcomer, token, {}, within), {
    code: 'no-leader',
    message: 'no quorum of voters is in reach',
    retryable: true,
  });
});
