/** The SPDY/3.1 codec, frame by frame, against a client made of the same frames. */

import { Duplex } from 'node:stream';
import { constants, createDeflate, inflateSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { SpdyConnection, type SpdyStream } from '../../../src/api/streams/spdy/connection.ts';
import { SPDY_DICTIONARY } from '../../../src/api/streams/spdy/dictionary.ts';
import {
  CONTROL,
  dataFrame,
  FRAME_HEAD_BYTES,
  pingFrame,
  readHead,
  rstStreamFrame,
} from '../../../src/api/streams/spdy/frames.ts';
import { HeaderCodec } from '../../../src/api/streams/spdy/headers.ts';
import { systemClock } from '../../../src/lib/clock.ts';

/** Two ends of a byte pipe. */
function pipe(): [Duplex, Duplex] {
  const make = (other: () => Duplex) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        other().push(chunk);
        done();
      },
      final(done) {
        other().push(null);
        done();
      },
    });
  const ends: [Duplex, Duplex] = [make(() => ends[1]), make(() => ends[0])];
  return ends;
}

class Client {
  readonly #deflate = createDeflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH });
  readonly end: Duplex;
  readonly frames: { head: ReturnType<typeof readHead>; body: Buffer }[] = [];
  #held = Buffer.alloc(0);

  constructor(end: Duplex) {
    this.end = end;
    end.on('error', () => undefined);
    end.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      for (;;) {
        if (this.#held.length < FRAME_HEAD_BYTES) return;
        const head = readHead(this.#held);
        if (this.#held.length < FRAME_HEAD_BYTES + head.length) return;
        const body = this.#held.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + head.length);
        this.frames.push({ head, body });
        this.#held = this.#held.subarray(FRAME_HEAD_BYTES + head.length);
      }
    });
  }

  async synStream(id: number, headers: Record<string, string>, fin = false): Promise<Buffer> {
    const entries = Object.entries(headers);
    const word = (value: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    };
    const pairs = entries.flat().flatMap((text) => [word(text.length), Buffer.from(text)]);
    const block = await new Promise<Buffer>((resolve) => {
      this.#deflate.write(Buffer.concat([word(entries.length), ...pairs]), () =>
        resolve(this.#deflate.read() as Buffer),
      );
    });
    const frame = Buffer.concat([Buffer.alloc(18), block]);
    frame.writeUInt16BE(0x8003, 0);
    frame.writeUInt16BE(CONTROL.synStream, 2);
    frame.writeUInt32BE((fin ? 0x0100_0000 : 0) | (10 + block.length), 4);
    frame.writeUInt32BE(id, 8);
    return frame;
  }
}

function start(t: Test, options: { streamsMax?: number } = {}) {
  const [serverEnd, clientEnd] = pipe();
  const streams: SpdyStream[] = [];
  const connection = new SpdyConnection(
    serverEnd,
    { clock: systemClock, onStream: (stream) => streams.push(stream) },
    options,
  );
  const over = connection.run();
  t.teardown(() => connection.abort());
  return { client: new Client(clientEnd), streams, over, serverEnd };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 3000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('did not happen in time');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

t.test('spdy: the dictionary is the one of the draft', async (t) => {
  t.equal(SPDY_DICTIONARY.length, 1423);
  const deflate = createDeflate({ dictionary: SPDY_DICTIONARY });
  deflate.end('x');
  const chunks: Buffer[] = [];
  for await (const chunk of deflate) chunks.push(chunk as Buffer);
  // A zlib head with a preset dictionary carries the dictionary's checksum.
  t.equal(Buffer.concat(chunks).subarray(2, 6).toString('hex'), 'e3c6a7c2');
  t.equal(inflateSync(Buffer.concat(chunks), { dictionary: SPDY_DICTIONARY }).toString(), 'x');
});

t.test('spdy: header blocks share one compression context', async (t) => {
  const encoder = new HeaderCodec();
  const decoder = new HeaderCodec();
  t.teardown(() => [encoder, decoder].map((codec) => codec.close()));
  const headers = new Map([
    ['streamtype', 'stdin'],
    ['port', '80'],
  ]);
  const sizes: number[] = [];
  for (let round = 0; round < 3; round++) {
    const block = await encoder.encode(headers);
    sizes.push(block.length);
    t.same([...(await decoder.decode(block))], [...headers]);
  }
  t.ok((sizes[1] ?? 0) < (sizes[0] ?? 0), 'the second block refers to the first');
  await t.rejects(decoder.decode(Buffer.from('not zlib')), { code: 'stream-closed' });
});

t.test('spdy: a header block that inflates without bound is refused', async (t) => {
  const bomb = createDeflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH });
  const block = await new Promise<Buffer>((resolve) => {
    bomb.write(Buffer.alloc(10_000_000), () => resolve(bomb.read() as Buffer));
  });
  const decoder = new HeaderCodec();
  t.teardown(() => decoder.close());
  await t.rejects(decoder.decode(block), /too large/);
});

t.test('spdy: a stream opens, carries data both ways in any pieces, and ends', async (t) => {
  const { client, streams } = start(t);
  const bytes = Buffer.concat([
    await client.synStream(1, { streamType: 'stdin' }),
    dataFrame(1, Buffer.from('hello '), false),
    dataFrame(1, Buffer.from('world'), true),
  ]);
  for (const byte of bytes) client.end.write(Buffer.of(byte));
  await until(() => streams.length === 1);
  const [stream] = streams;
  t.equal(stream?.headers.get('streamtype'), 'stdin');
  await stream?.reply();
  let got = '';
  for await (const chunk of stream?.input ?? []) got += Buffer.from(chunk).toString();
  t.equal(got, 'hello world');
  await stream?.write(Buffer.from('answer'));
  stream?.end();
  await until(() => client.frames.length === 3);
  t.match(client.frames, [
    { head: { kind: 'control', type: CONTROL.synReply } },
    { head: { kind: 'data', streamId: 1, fin: false }, body: Buffer.from('answer') },
    { head: { kind: 'data', streamId: 1, fin: true, length: 0 } },
  ]);
});

t.test('spdy: pings are answered, resets heard, too many streams refused', async (t) => {
  const { client, streams } = start(t, { streamsMax: 1 });
  client.end.write(pingFrame(7));
  client.end.write(await client.synStream(1, { streamType: 'a' }));
  client.end.write(await client.synStream(3, { streamType: 'b' }));
  await until(() => client.frames.length === 2);
  t.match(client.frames[0], { head: { type: CONTROL.ping } });
  t.equal(client.frames[0]?.body.readUInt32BE(0), 7);
  t.match(client.frames[1], { head: { type: CONTROL.rstStream } });
  client.end.write(rstStreamFrame(1, 5));
  const [stream] = streams;
  await t.rejects(
    async () => {
      for await (const _chunk of stream?.input ?? []);
    },
    { code: 'stream-closed' },
    'the reader learns of the reset',
  );
  await t.rejects(stream?.write(Buffer.from('x')) ?? Promise.resolve(), { code: 'stream-closed' });
});

t.test('spdy: a slow reader stops the connection from being read', async (t) => {
  const { client, streams } = start(t);
  client.end.write(await client.synStream(1, {}));
  await until(() => streams.length === 1);
  for (let n = 0; n < 64; n++) client.end.write(dataFrame(1, Buffer.alloc(64 * 1024), n === 63));
  client.end.write(pingFrame(9));
  for (let n = 0; n < 50; n++) await new Promise((resolve) => setImmediate(resolve));
  const pings = () =>
    client.frames.filter(({ head }) => head.kind === 'control' && head.type === 6);
  t.equal(pings().length, 0, 'the ping behind the data has not been read');
  let size = 0;
  for await (const chunk of streams[0]?.input ?? []) size += chunk.length;
  t.equal(size, 64 * 64 * 1024);
  await until(() => pings().length === 1);
  const updates = client.frames.filter(
    ({ head }) => head.kind === 'control' && head.type === CONTROL.windowUpdate,
  );
  t.ok(updates.length > 0, 'clients that count are told what was taken');
});

t.test('spdy: nonsense ends the connection', async (t) => {
  for (const nonsense of [
    Buffer.from([0x80, 0x02, 0, 1, 0, 0, 0, 0]),
    Buffer.from([0x80, 0x03, 0, 1, 0, 0xff, 0xff, 0xff]),
    Buffer.from([0x80, 0x03, 0, 1, 0, 0, 0, 2, 0, 0]),
    Buffer.from([0x80, 0x03, 0, 99, 0, 0, 0, 0]),
  ]) {
    const { client, over, serverEnd } = start(t);
    client.end.write(nonsense);
    await over;
    t.ok(serverEnd.destroyed, nonsense.toString('hex'));
  }
});
