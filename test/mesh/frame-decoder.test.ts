import fc from 'fast-check';
import t from 'tap';
import { hasCode } from '../../src/lib/errors.ts';
import { FrameDecoder } from '../../src/mesh/frame-decoder.ts';

const framed = (frames: readonly Uint8Array[]): Uint8Array =>
  Buffer.concat(
    frames.flatMap((frame) => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(frame.byteLength);
      return [header, frame];
    }),
  );

t.test('frames: however the bytes are split, the same frames come out', async () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  const cuts = fc.array(fc.integer({ min: 1, max: 13 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(frames, cuts, (sent, sizes) => {
      const bytes = framed(sent);
      const decoder = new FrameDecoder(64);
      const got: string[] = [];
      let offset = 0;
      for (let step = 0; offset < bytes.byteLength; step++) {
        const size = sizes[step % sizes.length] ?? 1;
        decoder.push(bytes.subarray(offset, offset + size), (frame) => {
          got.push(Buffer.from(frame).toString('hex'));
        });
        offset += size;
      }
      const wanted = sent.map((frame) => Buffer.from(frame).toString('hex'));
      return decoder.atBoundary && got.join() === wanted.join();
    }),
  );
});

t.test('frames: the stream may end between frames only', async (t) => {
  const decoder = new FrameDecoder(64);
  const bytes = framed([new Uint8Array(10)]);
  decoder.push(bytes.subarray(0, 2), () => {});
  t.notOk(decoder.atBoundary, 'half a header');
  decoder.push(bytes.subarray(2, 8), () => {});
  t.notOk(decoder.atBoundary, 'half a frame');
  decoder.push(bytes.subarray(8), () => {});
  t.ok(decoder.atBoundary);
});

t.test(
  'frames: an announced length above the limit is refused before the bytes come',
  async (t) => {
    const decoder = new FrameDecoder(64);
    try {
      decoder.push(Buffer.from([0, 0, 0, 65]), () => t.fail('no frame'));
      t.fail('must throw');
    } catch (error) {
      t.ok(hasCode(error, 'frame-too-large'));
    }
  },
);

t.test('frames: a small frame kept by its reader does not pin the network buffer', async (t) => {
  const decoder = new FrameDecoder(64);
  const network = new Uint8Array(64 * 1024);
  network.set(framed([new Uint8Array([1, 2, 3])]));
  const kept: Uint8Array[] = [];
  decoder.push(network.subarray(0, 7), (frame) => kept.push(frame));
  t.equal(kept[0]?.buffer.byteLength, 3);
});
