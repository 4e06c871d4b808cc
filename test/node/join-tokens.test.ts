import t from 'tap';
import { VirtualClock } from '../../src/lib/clock.ts';
import { issueToken, listTokens, revokeToken, tokenSecret } from '../../src/node/join-tokens.ts';
import { createLocalStore } from '../../src/store/local-store.ts';

const SECOND = 1000;

t.test('join-tokens: a token is good until its time is over, to the millisecond', async (t) => {
  const [store, clock] = [createLocalStore(), new VirtualClock()];
  const { id, secret } = await issueToken(store, clock, 60);
  t.equal(secret.byteLength, 32);
  t.strictSame(Buffer.from(tokenSecret(store, clock, id) ?? []), Buffer.from(secret));
  clock.advance(60 * SECOND - 1);
  t.ok(tokenSecret(store, clock, id));
  clock.advance(1);
  t.equal(tokenSecret(store, clock, id), undefined);
  t.strictSame(listTokens(store, clock), []);
});

t.test('join-tokens: every token has a secret of its own', async (t) => {
  const [store, clock] = [createLocalStore(), new VirtualClock()];
  const one = await issueToken(store, clock, 60);
  const two = await issueToken(store, clock, 60);
  t.not(one.id, two.id);
  t.notOk(Buffer.from(one.secret).equals(Buffer.from(two.secret)));
  t.equal(tokenSecret(store, clock, 'unknown'), undefined);
  t.equal(tokenSecret(store, clock, '../members/p1'), undefined);
});

t.test('join-tokens: a list names what is good and shows no secret', async (t) => {
  const [store, clock] = [createLocalStore(), new VirtualClock()];
  const { id, secret } = await issueToken(store, clock, 60);
  const listed = listTokens(store, clock);
  t.strictSame(listed, [{ id, expiresAtMs: clock.nowMs() + 60 * SECOND }]);
  t.notMatch(JSON.stringify(listed), Buffer.from(secret).toString('base64url'));
});

t.test('join-tokens: a revoked token is bad at once; revoking twice says so', async (t) => {
  const [store, clock] = [createLocalStore(), new VirtualClock()];
  const { id } = await issueToken(store, clock, 60);
  t.ok(await revokeToken(store, id));
  t.equal(tokenSecret(store, clock, id), undefined);
  t.notOk(await revokeToken(store, id));
  t.notOk(await revokeToken(store, 'unknown'));
});

t.test('join-tokens: those that have ended are swept when another is issued', async (t) => {
  const [store, clock] = [createLocalStore(), new VirtualClock()];
  await issueToken(store, clock, 10);
  const { id: good } = await issueToken(store, clock, 100);
  clock.advance(11 * SECOND);
  t.equal(store.count('/skein/join-tokens/'), 2);
  const { id: next } = await issueToken(store, clock, 10);
  t.equal(store.count('/skein/join-tokens/'), 2);
  t.strictSame(
    listTokens(store, clock)
      .map(({ id }) => id)
      .sort(),
    [good, next].sort(),
  );
});
