import t, { type Test } from 'tap';
import { createIdentity } from '../../src/mesh/identity.ts';
import { type Claim, judgeClaim, parseRefusal, type Refusal } from '../../src/mesh/introduction.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { startNode, until } from './support.ts';

const claim = (start: number, incarnation = 'x'): Claim => ({ start, incarnation });

t.test('introduction: a start that is newer than all known ones is good', (t) => {
  t.equal(judgeClaim(claim(1), undefined), undefined);
  t.equal(judgeClaim(claim(4), claim(3)), undefined);
  t.equal(judgeClaim(claim(3), claim(3)), undefined, 'the known one greets again');
  t.equal(judgeClaim(claim(0), undefined), undefined, 'a member of the first release');
  t.equal(judgeClaim(claim(0), claim(3)), undefined, 'or one that was rolled back to it');
  t.end();
});

t.test('introduction: an older start, and a second one of the same number, are copies', (t) => {
  t.match(judgeClaim(claim(2), claim(3)), { kind: 'older-copy', detail: /start 2.*start 3/ });
  t.match(judgeClaim(claim(3, 'y'), claim(3)), { kind: 'older-copy' });
  t.match(judgeClaim(claim(1), claim(3)), { kind: 'older-copy' }, 'a copy of before the count');
  t.end();
});

t.test('introduction: what is no refusal is not taken for one', (t) => {
  for (const value of [undefined, null, 'leave', 7, {}, { refused: 'because' }]) {
    t.equal(parseRefusal(value), undefined);
  }
  const long = parseRefusal({ refused: 'in-use', detail: 'x'.repeat(10_000) });
  t.equal(long?.detail.length, 512);
  t.end();
});

type Life = {
  readonly mesh: JoinableMesh;
  readonly refusals: Refusal[];
  readonly events: string[];
};

/** A node that counts its starts and judges by `known`. */
async function live(
  t: Test,
  start: number,
  options: { readonly key?: Uint8Array; readonly known?: Map<string, Claim> } = {},
): Promise<Life> {
  const identity = options.key ?? (await createIdentity()).bytes;
  const mesh = await startNode(t, { identity });
  const refusals: Refusal[] = [];
  const events: string[] = [];
  mesh.introduce({
    start,
    judge: (peer, claimed) => judgeClaim(claimed, options.known?.get(peer)),
    onRefused: (_by, refusal) => refusals.push(refusal),
  });
  mesh.onPeer(({ kind }) => events.push(kind));
  mesh.serve('echo', async (body) => body);
  return { mesh, refusals, events };
}

const knows = (life: Life, other: Life) =>
  life.mesh.admit(new Map([[other.mesh.self, other.mesh.addresses()]]));
const knowsNoAddressOf = (life: Life, other: Life) =>
  life.mesh.admit(new Map([[other.mesh.self, []]]));

for (const dialler of ['the copy', 'the member'] as const) {
  t.test(`introduction: an older copy is refused and told so, when ${dialler} dials`, async (t) => {
    const known = new Map<string, Claim>();
    const member = await live(t, 1, { known });
    const copy = await live(t, 2);
    known.set(copy.mesh.self, claim(5));
    (dialler === 'the copy' ? knows : knowsNoAddressOf)(copy, member);
    (dialler === 'the copy' ? knowsNoAddressOf : knows)(member, copy);
    await until(() => copy.refusals.length > 0);
    t.match(copy.refusals[0], { kind: 'older-copy', detail: /start 2.*start 5/ });
    t.strictSame(member.events, [], 'it never counted as connected');
    await t.rejects(member.mesh.request(copy.mesh.self, 'echo', 1, { deadlineMs: 300 }));
  });
}

t.test('introduction: of two processes with one key, the one that was there stays', async (t) => {
  const { bytes: key } = await createIdentity();
  const member = await live(t, 1);
  const original = await live(t, 3, { key });
  knows(original, member);
  knowsNoAddressOf(member, original);
  await until(() => member.mesh.peers()[0]?.connected === true);
  const copy = await live(t, 4, { key });
  knows(copy, member);
  await until(() => copy.refusals.length > 0);
  t.match(copy.refusals[0], { kind: 'in-use', detail: /lives at \/ip4\/127\.0\.0\.1/ });
  t.strictSame(original.refusals, []);
  t.strictSame(member.events, ['connected'], 'the original is not disturbed');
  t.equal(await member.mesh.request(original.mesh.self, 'echo', 1, { deadlineMs: 1000 }), 1);
  await copy.mesh.stop();
  await original.mesh.stop();
  const next = await live(t, 4, { key });
  knows(next, member);
  await until(() => member.events.length === 3);
  t.strictSame(member.events.slice(1), ['disconnected', 'connected'], 'an ordinary restart');
  t.strictSame(next.refusals, []);
});

t.test(
  'introduction: a peer that was left behind hears why, and never counts as connected',
  async (t) => {
    const survivor = await live(t, 1);
    const left = await live(t, 1);
    const unknown = await live(t, 1);
    survivor.mesh.introduce({
      start: 1,
      judge: () => undefined,
      stranger: (peer) =>
        peer === left.mesh.self ? { kind: 'superseded', detail: 'new-cluster' } : undefined,
      onRefused: () => {},
    });
    t.teardown(survivor.mesh.welcomeStrangers('/skein/join/1', () => {}));
    for (const life of [left, unknown]) knows(life, survivor);
    await until(() => left.refusals.length > 0);
    t.strictSame(left.refusals[0], { kind: 'superseded', detail: 'new-cluster' });
    await t.rejects(left.mesh.request(survivor.mesh.self, 'echo', 1, { deadlineMs: 300 }));
    await t.rejects(unknown.mesh.request(survivor.mesh.self, 'echo', 1, { deadlineMs: 300 }));
    t.strictSame([survivor.events, left.events, unknown.events], [[], [], []]);
    t.strictSame(unknown.refusals, [], 'a stranger learns nothing');
  },
);
