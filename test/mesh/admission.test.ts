import { connect, type Socket } from 'node:net';
import t from 'tap';
import { createIdentity } from '../../src/mesh/identity.ts';
import { admitAll, portOf, startCluster, startNode, until } from './support.ts';

const within = { deadlineMs: 2000 };

t.test('admission: who was not admitted gets no connection, whoever dials', async (t) => {
  const [a, b] = await Promise.all([startNode(t), startNode(t)]);
  a.serve('secret', async () => 'told');
  b.admit(new Map([[a.self, a.addresses()]]));
  await t.rejects(b.request(a.self, 'secret', 0, within), { code: 'peer-unreachable' });
  t.strictSame(a.peers(), []);
  t.equal(b.peers()[0]?.connected, false);
});

t.test('admission: once both sides admit each other they connect by themselves', async (t) => {
  const [a, b] = await Promise.all([startNode(t), startNode(t)]);
  a.serve('echo', async (body) => body);
  b.admit(new Map([[a.self, a.addresses()]]));
  await t.rejects(b.request(a.self, 'echo', 0, within), { code: 'peer-unreachable' });
  a.admit(new Map([[b.self, []]]));
  await until(() => b.peers()[0]?.connected === true && a.peers()[0]?.connected === true);
  t.equal(await b.request(a.self, 'echo', 'hello', within), 'hello');
});

t.test('admission: removal cuts streams and requests at once, on both sides', async (t) => {
  const [a, b, c] = await startCluster(t, 3);
  if (!a || !b || !c) return;
  a.handle('/test/1', () => {});
  const stream = await b.openStream(a.self, '/test/1', within);
  const events: string[] = [];
  a.onPeer((event) => events.push(`${event.kind} ${event.peer === b.self ? 'b' : 'c'}`));
  a.admit(new Map([[c.self, c.addresses()]]));
  t.strictSame(events, ['disconnected b'], 'before admit returns');
  await until(() => stream.closed.aborted);
  await until(() => b.peers().find((peer) => peer.peer === a.self)?.connected === false);
  await t.rejects(b.request(a.self, 'any', 0, within), { code: 'peer-unreachable' });
  t.equal(a.peers()[0]?.connected, true, 'others stay');
});

t.test('admission: a stranger may open the join protocol and nothing else', async (t) => {
  const [a, stranger] = await Promise.all([startNode(t), startNode(t)]);
  a.serve('secret', async () => 'told');
  a.handle('/test/1', (stream) => void stream.send(new Uint8Array(1)));
  a.subscribe('news', () => {});
  const end = a.welcomeStrangers('/skein/join/1', (stream) => void stream.send(new Uint8Array(3)));
  const door = await stranger.approach(a.self, a.addresses(), '/skein/join/1', within);
  t.equal((await door.frames[Symbol.asyncIterator]().next()).value?.byteLength, 3);
  for (const protocol of ['/test/1', '/skein/rpc/1', '/skein/control/1', '/meshsub/1.1.0']) {
    const stream = await stranger.approach(a.self, a.addresses(), protocol, within);
    const first = stream.frames[Symbol.asyncIterator]().next();
    await t.rejects(first, { code: 'stream-closed' }, protocol);
  }
  await end();
  await t.rejects(stranger.approach(a.self, a.addresses(), '/skein/join/1', within), {
    code: 'peer-unreachable',
  });
});

t.test('admission: strangers are few, and leave after their time', async (t) => {
  const limits = { strangersMax: 2, strangerStayMs: 300 };
  const a = await startNode(t, { limits });
  a.welcomeStrangers('/skein/join/1', () => {});
  const strangers = await Promise.all([startNode(t), startNode(t), startNode(t)]);
  const doors = await Promise.allSettled(
    strangers.map((node) => node.approach(a.self, a.addresses(), '/skein/join/1', within)),
  );
  const open = doors.flatMap((door) => (door.status === 'fulfilled' ? [door.value] : []));
  t.equal(open.length, 2);
  await until(() => open.every((stream) => stream.closed.aborted), 2000);
  const later = strangers[2]?.approach(a.self, a.addresses(), '/skein/join/1', within);
  await t.resolves(later ?? Promise.reject(), 'room again');
});

t.test('admission: noise on the port harms nobody', async (t) => {
  const limits = { handshakeMs: 300, handshakesMax: 8 };
  const [a, b] = await startCluster(t, 2, { limits });
  if (!a || !b) return;
  a.serve('echo', async (body) => body);
  const open: Socket[] = [];
  const knock = (data: Uint8Array | undefined): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(portOf(a), '127.0.0.1', () => {
        if (data !== undefined) socket.write(data);
      });
      open.push(socket);
      socket.on('error', () => {});
      socket.on('close', () => resolve());
    });
  t.teardown(() => {
    for (const socket of open) socket.destroy();
  });
  const random = crypto.getRandomValues(new Uint8Array(5000));
  const hello = new TextEncoder().encode('\u0013/multistream/1.0.0\n\u0007/noise\n');
  const garbage = [random, new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'), hello];
  const half = new Uint8Array([...hello, 0, 200, 1, 2, 3]);
  const knocks = [undefined, undefined, ...garbage, half, ...Array(20).fill(undefined)].map(knock);
  t.equal(await b.request(a.self, 'echo', 'during', within), 'during');
  await Promise.all(knocks);
  t.pass('every connection that never finished its handshake was closed');
  t.equal(await b.request(a.self, 'echo', 'after', within), 'after');
  const c = await startNode(t, { limits });
  admitAll([a, b, c]);
  await until(() => c.peers().every((peer) => peer.connected));
});

t.test('admission: a peer cannot pose as a member', async (t) => {
  const [a, imposter] = await Promise.all([startNode(t), startNode(t)]);
  const member = await createIdentity();
  // We dial the member's address, but someone else listens there.
  a.admit(new Map([[member.id, imposter.addresses()]]));
  imposter.admit(new Map([[a.self, []]]));
  await t.rejects(a.request(member.id, 'x', 0, within), { code: 'peer-unreachable' });
});
