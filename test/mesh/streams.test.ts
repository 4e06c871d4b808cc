import t from 'tap';
import type { JoinableMesh } from '../../src/mesh/mesh.ts';
import type { MeshStream } from '../../src/mesh/types.ts';
import { startCluster, until } from './support.ts';

const within = { deadlineMs: 3000 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (frame: Uint8Array): string => new TextDecoder().decode(frame);

/** Both ends of a new stream from `a` to `b`. */
async function connect(
  a: JoinableMesh,
  b: JoinableMesh,
  options: { frameBytesMax?: number } = {},
): Promise<[MeshStream, MeshStream]> {
  const { promise, resolve } = Promise.withResolvers<MeshStream>();
  b.handle('/test/1', resolve, options);
  const near = await a.openStream(b.self, '/test/1', { ...within, ...options });
  return [near, await promise];
}

async function collect(stream: MeshStream): Promise<string[]> {
  const got: string[] = [];
  for await (const frame of stream.frames) got.push(text(frame));
  return got;
}

t.test('streams: frames arrive whole and in order, each half closes by itself', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const [near, far] = await connect(a, b);
  t.equal(far.peer, a.self);
  for (let n = 0; n < 500; n++) void near.send(bytes(`frame ${n}`));
  await near.closeWrite();
  const got = await collect(far);
  t.equal(got.length, 500);
  t.equal(got[499], 'frame 499');
  t.notOk(near.closed.aborted, 'the other half is open');
  await far.send(bytes('answer after the end'));
  await far.closeWrite();
  t.strictSame(await collect(near), ['answer after the end']);
  await until(() => near.closed.aborted && far.closed.aborted);
  await t.rejects(near.send(bytes('late')), { code: 'stream-closed' });
});

t.test(
  'streams: empty and large frames pass, too large ones are refused by both sides',
  async (t) => {
    const [a, b] = await startCluster(t, 2);
    if (!a || !b) return;
    const [near, far] = await connect(a, b);
    const large = new Uint8Array(4 * 1024 * 1024).fill(7);
    await near.send(new Uint8Array(0));
    void near.send(large);
    const reader = far.frames[Symbol.asyncIterator]();
    t.equal((await reader.next()).value?.byteLength, 0);
    const got = (await reader.next()).value;
    t.ok(got !== undefined && Buffer.compare(got, large) === 0, 'every byte of 4 MiB');
    await t.rejects(near.send(new Uint8Array(4 * 1024 * 1024 + 1)), { code: 'frame-too-large' });
    b.handle('/test/small', (stream) => void collect(stream).catch(() => {}), {
      frameBytesMax: 10,
    });
    const careless = await a.openStream(b.self, '/test/small', within);
    await careless.send(new Uint8Array(11));
    await until(() => careless.closed.aborted);
  },
);

t.test('streams: a sender waits for a slow reader, and memory stays bounded', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const [near, far] = await connect(a, b);
  const frame = new Uint8Array(64 * 1024);
  let sent = 0;
  const total = 400;
  const sending = (async () => {
    for (; sent < total; sent++) await near.send(frame);
    await near.closeWrite();
  })();
  let seen = -1;
  while (seen !== sent) {
    seen = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.ok(sent * frame.byteLength < 6 * 1024 * 1024, `stalled after ${sent} frames of 64 KiB`);
  let got = 0;
  for await (const part of far.frames) got += part.byteLength;
  await sending;
  t.equal(got, total * frame.byteLength, 'all arrives once the reader reads');
});

t.test('streams: one stalled stream does not hold up another', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const [near] = await connect(a, b);
  for (let n = 0; n < 300; n++) void near.send(new Uint8Array(64 * 1024)).catch(() => {});
  b.serve('echo', async (body) => body);
  t.equal(await a.request(b.self, 'echo', 'still here', within), 'still here');
});

t.test('streams: an abort reaches the other side as an error, never as an end', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const [near, far] = await connect(a, b);
  await near.send(bytes('one'));
  const reader = far.frames[Symbol.asyncIterator]();
  await reader.next();
  near.abort(new Error('no more interest'));
  await t.rejects(reader.next(), { code: 'stream-closed' });
  await t.rejects(collect(near), { code: 'stream-closed' });
  t.ok(far.closed.aborted && near.closed.aborted);
});

t.test('streams: a lost connection is an error, never an end', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const [near, far] = await connect(a, b);
  await far.send(bytes('one'));
  const reader = near.frames[Symbol.asyncIterator]();
  await reader.next();
  const ended = t.rejects(reader.next(), { code: 'stream-closed' });
  await b.stop();
  await ended;
});

t.test('streams: a paused reader still gets what came before an orderly end', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const [near, far] = await connect(a, b);
  await far.closeWrite();
  // More than the reader's queue takes, so that the rest waits in libp2p's own buffer.
  const frame = new Uint8Array(100 * 1024);
  for (let n = 0; n < 12; n++) void near.send(frame);
  await near.closeWrite();
  await until(() => near.closed.aborted);
  let got = 0;
  for await (const part of far.frames) got += part.byteLength;
  t.equal(got, 12 * frame.byteLength);
});

t.test('streams: an unknown protocol, a deadline and an abort are told apart', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  await t.rejects(a.openStream(b.self, '/none/1', within), { code: 'remote-failed' });
  const signal = AbortSignal.abort();
  await t.rejects(a.openStream(b.self, '/none/1', { ...within, signal }), { code: 'aborted' });
  b.handle('/test/1', () => {});
  t.throws(() => b.handle('/test/1', () => {}), /handler already/);
});
