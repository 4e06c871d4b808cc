import type { MessageStream } from '@libp2p/interface';
import t from 'tap';
import { Uint8ArrayList } from 'uint8arraylist';
import { mergeFrames } from '../../src/mesh/frame-merger.ts';
import { atTurnEnd } from '../../src/mesh/turn-end.ts';

const DATA = 0;
const WINDOW_UPDATE = 1;
const FIN = 4;

function frame(type: number, stream: number, length: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[1] = type;
  view.setUint16(2, flags);
  view.setUint32(4, stream);
  view.setUint32(8, length);
  return bytes;
}

function connect() {
  const sent: Uint8Array[] = [];
  const connection = {
    writableNeedsDrain: false,
    send(data: Uint8Array | Uint8ArrayList) {
      sent.push(data.subarray());
      return true;
    },
    close: () => Promise.resolve(),
  };
  mergeFrames(connection as unknown as MessageStream);
  return { connection, sent };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What the window updates in `sent` grant to `stream`, and how many there are. */
function granted(sent: readonly Uint8Array[], stream: number): { frames: number; bytes: number } {
  let frames = 0;
  let bytes = 0;
  for (const chunk of sent) {
    for (let at = 0; at < chunk.length; at += 12) {
      const view = new DataView(chunk.buffer, chunk.byteOffset + at, 12);
      if (chunk[at + 1] !== WINDOW_UPDATE || view.getUint32(4) !== stream) continue;
      frames++;
      bytes += view.getUint32(8);
    }
  }
  return { frames, bytes };
}

t.test('frames: those of one turn leave as one, in order', async (t) => {
  const { connection, sent } = connect();
  atTurnEnd(() => connection.send(new Uint8ArrayList(frame(DATA, 1, 1), Buffer.from('a'))));
  atTurnEnd(() => connection.send(new Uint8ArrayList(frame(DATA, 3, 1), Buffer.from('b'))));
  t.equal(sent.length, 0);
  await turn();
  t.equal(sent.length, 1);
  t.equal(
    Buffer.from(sent[0] ?? [])
      .toString('latin1')
      .replaceAll(/[^ab]/g, ''),
    'ab',
  );
});

t.test('frames: window is granted when it is worth a packet, and none is lost', async (t) => {
  const { connection, sent } = connect();
  for (let round = 1; round <= 100; round++) {
    connection.send(frame(WINDOW_UPDATE, 1, 1000));
    await turn();
    const { bytes } = granted(sent, 1);
    t.ok(round * 1000 - bytes < 64 * 1024, 'less than a quarter of a window is withheld');
  }
  t.strictSame(granted(sent, 1), { frames: 1, bytes: 66_000 });
  connection.send(frame(WINDOW_UPDATE, 1, 100_000));
  await turn();
  t.strictSame(granted(sent, 1), { frames: 2, bytes: 200_000 });
});

t.test('frames: one that opens or ends a stream is not withheld', async (t) => {
  const { connection, sent } = connect();
  connection.send(frame(WINDOW_UPDATE, 5, 0, FIN));
  await turn();
  t.equal(sent.length, 1);
});

t.test('frames: of many streams no window is withheld for ever', async (t) => {
  const { connection, sent } = connect();
  for (let stream = 1; stream <= 300; stream++) connection.send(frame(WINDOW_UPDATE, stream, 10));
  await turn();
  t.strictSame(granted(sent, 1), { frames: 1, bytes: 10 });
  t.strictSame(granted(sent, 300), { frames: 0, bytes: 0 });
});

t.test('turn end: an action that throws does not keep the others back', async (t) => {
  const done: number[] = [];
  const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
  atTurnEnd(() => done.push(1));
  atTurnEnd(() => {
    throw new Error('a listener of a test');
  });
  atTurnEnd(() => done.push(2));
  t.match(await thrown, { message: 'a listener of a test' });
  await turn();
  t.strictSame(done, [1, 2]);
});
