import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { AddressBook } from '../../src/mesh/address-book.ts';
import {
  isSigned as isGenuine,
  readAddresses,
  sealAddresses,
} from '../../src/mesh/address-record.ts';
import { createIdentity, type Identity } from '../../src/mesh/identity.ts';
import { LocalDiscovery, type OpenBeacon } from '../../src/mesh/local-discovery.ts';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import { startNode, until } from './support.ts';

const HERE = ['/ip4/10.0.0.1/tcp/7946'];
const THERE = ['/ip4/10.0.0.2/tcp/7946'];

t.test('address records: they survive the way, and a changed one is noticed', async (t) => {
  const identity = await createIdentity();
  const record = await sealAddresses(identity, [`${HERE[0]}/p2p/${identity.id}`], 7);
  t.match(record, { peer: identity.id, addresses: HERE, sequence: 7 });
  const read = readAddresses(record.envelope);
  t.strictSame(read, record);
  t.ok(read && (await isGenuine(read)));
  for (let at = 0; at < record.envelope.length; at++) {
    const changed = Uint8Array.from(record.envelope);
    changed[at] = (changed[at] ?? 0) ^ 1;
    const forged = readAddresses(changed);
    if (!forged || !(await isGenuine(forged))) continue;
    // Framing of fields may be written in more than one way.
    t.strictSame({ ...forged, envelope: record.envelope }, record, `byte ${at} changes nothing`);
  }
  t.equal(readAddresses(Buffer.from('nonsense')), undefined);
  t.equal(readAddresses(Buffer.alloc(5000)), undefined);
});

/** A book of `identity`, whose file is at `path`. */
async function bookOf(
  identity: Identity,
  options: { path?: string; members?: Set<string>; nowMs?: number; addresses?: string[] } = {},
) {
  const { path, members = new Set<string>(), nowMs = 1000, addresses = HERE } = options;
  const clock = new VirtualClock(nowMs);
  const isMember = (peer: string) => members.has(peer);
  const book = new AddressBook({ identity, clock, log: silentLogger, isMember }, path);
  await book.open(addresses);
  return { book, clock };
}

t.test('address book: the newest record of a member counts, whoever brings it', async (t) => {
  const [self, peer, stranger] = await Promise.all([1, 2, 3].map(() => createIdentity()));
  if (!self || !peer || !stranger) return;
  const { book } = await bookOf(self, { members: new Set([peer.id]) });
  const [older, newer] = [await sealAddresses(peer, HERE, 5), await sealAddresses(peer, THERE, 6)];
  t.strictSame(await book.learn([newer.envelope]), [newer]);
  t.strictSame(await book.learn([older.envelope, newer.envelope]), [], 'no news');
  t.strictSame(book.addressesOf(peer.id), THERE);
  const foreign = await sealAddresses(stranger, THERE, 9);
  const own = await sealAddresses(self, THERE, Number.MAX_SAFE_INTEGER);
  t.strictSame(await book.learn([foreign.envelope, own.envelope]), [], 'of others, and of us');
  t.strictSame(await book.follow(new Set()), []);
  t.strictSame(book.addressesOf(peer.id), [], 'who left is forgotten');
});

t.test('address book: what it knew is there after a restart, for members only', async (t) => {
  const directory = await mkdtemp(`${tmpdir()}/skein-addresses-`);
  t.teardown(() => rm(directory, { recursive: true }));
  const path = `${directory}/addresses`;
  const [self, peer, former] = await Promise.all([1, 2, 3].map(() => createIdentity()));
  if (!self || !peer || !former) return;
  const members = new Set([peer.id, former.id]);
  const first = await bookOf(self, { path, members });
  await first.book.learn([(await sealAddresses(peer, THERE, 5)).envelope]);
  await first.book.learn([(await sealAddresses(former, THERE, 5)).envelope]);
  await first.book.close();
  const second = await bookOf(self, { path, members: new Set([peer.id]), nowMs: 500 });
  const envelopes = [first, second].map(({ book }) => Buffer.from(book.own?.envelope ?? []));
  t.ok(envelopes[0]?.equals(envelopes[1] ?? Buffer.alloc(0)), 'our own record still holds');
  t.equal((await second.book.follow(new Set([peer.id]))).length, 1);
  t.strictSame(second.book.addressesOf(peer.id), THERE);
  t.strictSame(second.book.addressesOf(former.id), []);
  await second.book.close();
  const third = await bookOf(self, { path, nowMs: 10, addresses: THERE });
  const { sequence = 0 } = third.book.own ?? {};
  t.ok(sequence > (first.book.own?.sequence ?? 0), 'a clock that was set back makes nobody older');
  await third.book.close();
  const text = await readFile(path, 'utf8');
  await writeFile(path, `nonsense\n\n${text.slice(0, 100)}\n`);
  const fourth = await bookOf(self, { path, members });
  t.strictSame(await fourth.book.follow(members), [], 'a damaged file is no failure');
  await fourth.book.close();
});

/** Everybody is connected with everybody else. */
const whole = (nodes: readonly JoinableMesh[]) => () =>
  nodes.every((node) => {
    const peers = node.peers();
    return peers.length === nodes.length - 1 && peers.every(({ connected }) => connected);
  });

/** Admits all to each other, with no addresses but those in `hints`. */
function admit(nodes: readonly JoinableMesh[], hints: ReadonlyMap<string, readonly string[]>) {
  for (const node of nodes) {
    node.admit(new Map(nodes.map(({ self }) => [self, hints.get(self) ?? []])));
  }
}

t.test('addresses: who reaches one member is led to all others', async (t) => {
  const nodes = await Promise.all([1, 2, 3, 4].map(() => startNode(t)));
  const [known] = nodes;
  if (!known) return;
  admit(nodes, new Map([[known.self, known.addresses()]]));
  await until(whole(nodes));
  t.pass('everybody found everybody, though all knew of one only');
});

t.test('addresses: they outlive a restart of everybody', async (t) => {
  const directory = await mkdtemp(`${tmpdir()}/skein-addresses-`);
  t.teardown(() => rm(directory, { recursive: true }));
  const keys = await Promise.all([1, 2, 3].map(() => createIdentity()));
  const start = (listen: ReadonlyMap<string, readonly string[]>) =>
    Promise.all(
      keys.map(({ bytes: identity, id }) => {
        const addressBook = `${directory}/${id}`;
        return startNode(t, { identity, addressBook, listen: listen.get(id) ?? ANY });
      }),
    );
  const first = await start(new Map());
  const addresses = new Map(first.map((node) => [node.self, node.addresses()]));
  admit(first, addresses);
  // Signed ones do not name the peer; the hints above do.
  const isSigned = (address: string) => !address.includes('/p2p/');
  await until(() =>
    first.every((node) => node.peers().every(({ addresses }) => addresses.some(isSigned))),
  );
  await Promise.all(first.map((node) => node.stop()));
  const bare = [...addresses].map(([id, [at = '']]) => [id, [at.replace(/\/p2p.*/, '')]] as const);
  const second = await start(new Map(bare));
  admit(second, new Map());
  await until(whole(second));
  t.pass('no address was given');
});

const ANY = ['/ip4/127.0.0.1/tcp/0'];

/** A link on which everybody hears everybody, as themselves. */
function link(): { readonly open: OpenBeacon; readonly packets: Uint8Array[] } {
  const ears = new Set<(packet: Uint8Array) => void>();
  const packets: Uint8Array[] = [];
  const open: OpenBeacon = async (onPacket) => {
    ears.add(onPacket);
    return {
      send: (packet) => {
        packets.push(packet);
        for (const hear of ears) hear(packet);
      },
      close: () => void ears.delete(onPacket),
    };
  };
  return { open, packets };
}

t.test('discovery: members without any address find each other on the link', async (t) => {
  const { open, packets } = link();
  const discovery = { open, patienceMs: 0 };
  const nodes = await Promise.all([1, 2, 3].map(() => startNode(t, { discovery })));
  const stranger = await startNode(t, { discovery });
  admit(nodes, new Map());
  stranger.admit(new Map(nodes.map(({ self }) => [self, []])));
  await until(whole(nodes));
  t.ok(
    stranger.peers().every(({ connected }) => !connected),
    'and nobody who is none of them',
  );
  t.ok(packets.every((packet) => packet.length < 1200));
});

/** The discovery of one node, and what it sees. */
async function caller(t: Test, members: number) {
  const identity = await createIdentity();
  const own = await sealAddresses(identity, HERE, 1);
  const clock = new VirtualClock();
  const { open, packets } = link();
  const reach = { members, connected: 0 };
  const calls: string[] = [];
  const known = new Set<string>();
  const discovery = new LocalDiscovery({
    clock,
    log: silentLogger,
    open,
    own: () => own,
    reach: () => reach,
    isMember: (peer) => known.has(peer),
    onCall: ({ peer }) => calls.push(peer),
  });
  await discovery.start();
  t.teardown(() => discovery.stop());
  const socket = await open(() => {});
  return { clock, packets, reach, calls, known, socket };
}

t.test('discovery: only who misses a majority calls, soon, and in time seldom', async (t) => {
  const { clock, packets, reach } = await caller(t, 4);
  clock.advance(2500);
  t.equal(packets.length, 0, 'a restart of the others is waited for');
  clock.advance(2500);
  t.ok(packets.length >= 1);
  clock.advance(60_000);
  const minute = packets.length;
  t.ok(minute >= 10 && minute <= 20, `${minute} calls in the first minute`);
  reach.connected = 2;
  clock.advance(60_000);
  t.equal(packets.length, minute, 'a majority needs no call, though two are missing');
  reach.connected = 1;
  clock.advance(5000);
  t.ok(packets.length > minute);
});

t.test('discovery: a node that is alone by design calls nobody', async (t) => {
  const { clock, packets } = await caller(t, 0);
  clock.advance(60_000);
  t.equal(packets.length, 0);
});

t.test('discovery: noise and strangers are passed over, floods cut off', async (t) => {
  const { clock, calls, known, socket } = await caller(t, 2);
  const member = await createIdentity();
  const { envelope } = await sealAddresses(member, THERE, 1);
  const call = Buffer.concat([Buffer.from('skein-call-1\n'), envelope]);
  for (const packet of [Buffer.alloc(0), Buffer.from('skein-call-1\n'), Buffer.alloc(60_000)]) {
    socket.send(packet);
  }
  socket.send(call);
  t.strictSame(calls, [], 'of a stranger');
  known.add(member.id);
  for (let at = 0; at < 1000; at++) socket.send(call);
  t.ok(calls.length > 0 && calls.length < 100, `${calls.length} of 1000 were looked at`);
  clock.advance(1000);
  const before = calls.length;
  socket.send(call);
  t.equal(calls.length, before + 1, 'and then again');
});
