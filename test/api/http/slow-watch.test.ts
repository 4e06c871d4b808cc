/** Watching clients that do not read: over real sockets, on virtual time. */

import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { FrameCache } from '../../../src/api/http/frame-cache.ts';
import { SendBacklog, type SendBacklogOptions } from '../../../src/api/http/send-backlog.ts';
import { FrameEncoder, streamWatch, type WatchView } from '../../../src/api/http/watch-stream.ts';
import type { Target, WatchEvent, WatchHandle } from '../../../src/api/types.ts';
import { VirtualClock } from '../../../src/lib/clock.ts';
import { StoredVersion } from '../../../src/store/stored-version.ts';
import type { Revision, StoredObject } from '../../../src/store/types.ts';

const EVENT_BYTES = 100_000;
const DEADLINE_MS = 10_000;

function item(n: number, bytes = EVENT_BYTES): StoredObject {
  const text = `{"n":${n},"text":"${'x'.repeat(bytes - 20)}"}`;
  const revision = (n + 1) as Revision;
  const fields = { revision, createRevision: revision, revisionOffset: -1 };
  return new StoredVersion({
    key: `/core/configmaps/n/c${n}`,
    bytes: Buffer.from(text),
    ...fields,
  });
}

/** A watch that has always more to say. */
class Endless implements WatchHandle {
  taken = 0;
  closed = false;

  close(): void {
    this.closed = true;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly WatchEvent[], void, void> {
    while (!this.closed) {
      yield [{ type: 'ADDED', item: item(this.taken++) }];
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
}

function viewOf(clock: VirtualClock, options: SendBacklogOptions = {}): WatchView {
  return {
    target: { kind: { group: '', plural: 'configmaps' } } as Target,
    representation: {
      id: 'json',
      format: 'json',
      contentType: 'application/json',
      shape: 'Object',
      metaVersion: 'v1',
    },
    include: 'Metadata',
    verbs: { bytesOf: (_target, one) => one.bytes },
    clock,
    frames: new FrameCache(),
    backlog: new SendBacklog(clock, { deadlineMs: DEADLINE_MS, ...options }),
  };
}

/** A server whose every request is an endless watch, and clients that read when they are told to. */
async function setUp(t: Test, options: SendBacklogOptions = {}) {
  const clock = new VirtualClock();
  const view = viewOf(clock, options);
  const watches: { readonly handle: Endless; readonly response: ServerResponse }[] = [];
  const server = createServer((_request, response) => {
    const handle = new Endless();
    watches.push({ handle, response });
    void streamWatch(response, handle, view, []);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const open = async (): Promise<Socket> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    return socket;
  };
  return { clock, view, watches, open };
}

/** Waits until `condition` holds; the test's own deadline ends it otherwise. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => setTimeout(resolve, 5));
}

t.test('slow watch: a client that does not read is cut off, and may find out why', async (t) => {
  const { clock, view, watches, open } = await setUp(t);
  const socket = await open();
  await until(() => view.backlog.bytes > 0);
  const [watch] = watches;
  const taken = watch?.handle.taken;
  t.ok(view.backlog.bytes <= 2 * EVENT_BYTES, 'one chunk waits for it, however much there is');
  clock.advance(DEADLINE_MS);
  await until(() => watch?.handle.closed === true);
  t.equal(watch?.handle.taken, taken, 'nothing more was taken from the watch');
  t.equal(view.backlog.bytes, 0);
  let text = '';
  socket.on('data', (data: Buffer) => {
    text = (text + data.toString('latin1')).slice(-2_000);
  });
  socket.resume();
  await until(() => text.includes('0\r\n\r\n'));
  t.match(text, /"type":"ERROR","object":\{.*"reason":"TooManyRequests".*"code":429\}/);
  t.match(text, /resume from the last resourceVersion/);
});

t.test('slow watch: one that never reads again is gone after a moment', async (t) => {
  const { clock, view, watches, open } = await setUp(t);
  await open();
  await until(() => view.backlog.bytes > 0);
  clock.advance(DEADLINE_MS);
  await until(() => watches[0]?.handle.closed === true);
  t.equal(watches[0]?.response.destroyed, false);
  clock.advance(5_000);
  await until(() => watches[0]?.response.destroyed === true);
  t.equal(clock.msToNext(), undefined, 'no timer is left behind');
});

t.test(
  'slow watch: what waits for all of them is bounded; the one that stands still longest goes',
  async (t) => {
    const { view, watches, open } = await setUp(t, { bytesMax: 3 * EVENT_BYTES });
    for (let n = 0; n < 8; n++) {
      await open();
      await until(() => watches.length === n + 1);
      await until(
        () => view.backlog.bytes > 0 && (watches[n]?.response.writableNeedDrain ?? false),
      );
    }
    await until(() => watches.slice(0, 4).every(({ handle }) => handle.closed));
    t.ok(view.backlog.bytes <= 3 * EVENT_BYTES);
    t.notOk(watches.at(-1)?.handle.closed, 'who came last may stay');
  },
);

t.test('frames: an event is encoded once, however many watch', async (t) => {
  const view = viewOf(new VirtualClock());
  let encoded = 0;
  const counting = {
    ...view,
    verbs: {
      bytesOf: (_target: unknown, one: StoredObject) => {
        encoded++;
        return one.bytes;
      },
    },
  };
  const one = item(1);
  const chunks = Array.from({ length: 1000 }, () => {
    const encoder = new FrameEncoder(counting);
    return [...encoder.encode([{ type: 'MODIFIED', item: one }])][0];
  });
  t.equal(encoded, 1);
  t.equal(new Set(chunks).size, 1, 'and all are given the same memory');
});

t.test('frames: old ones make room', async (t) => {
  const frames = new FrameCache(10 * EVENT_BYTES);
  let encoded = 0;
  const encode = (one: StoredObject) => () => {
    encoded++;
    return Buffer.from(one.bytes);
  };
  const items = Array.from({ length: 50 }, (_, n) => item(n));
  for (const one of items) frames.frame(one, 'ADDED', encode(one));
  t.ok(frames.bytes <= 10 * EVENT_BYTES);
  const last = items.at(-1) ?? item(0);
  frames.frame(last, 'ADDED', encode(last));
  t.equal(encoded, 50, 'the newest is at hand');
  const [first = last] = items;
  frames.frame(first, 'ADDED', encode(first));
  t.equal(encoded, 51);
});
