/** Ten thousand watches on one node: what they are told, what they cost, and what they cost when nobody reads. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { FrameCache } from '../../../src/api/http/frame-cache.ts';
import { SendBacklog } from '../../../src/api/http/send-backlog.ts';
import { FrameEncoder } from '../../../src/api/http/watch-stream.ts';
import type { WatchHandle } from '../../../src/api/types.ts';
import { WakeQueue } from '../../../src/api/verbs/wake-queue.ts';
import { configMap, type Harness, setUp } from './harness.ts';

const WATCHES = 10_000;
const MIB = 1024 ** 2;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
function heapBytes(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

async function openAll(harness: Harness): Promise<WatchHandle[]> {
  const { verbs, context, target, store } = harness;
  const where = target('configmaps', 'default');
  const options = { resourceVersion: String(store.revision()), allowWatchBookmarks: true };
  return Promise.all(Array.from({ length: WATCHES }, () => verbs.watch(context(), where, options)));
}

t.test('many watches: all are told everything, from one encoding, and cost little', async (t) => {
  const harness = await setUp();
  const { target, verbs, clock } = harness;
  const before = heapBytes();
  const handles = await openAll(harness);
  let encoded = 0;
  const view = {
    target: target('configmaps', 'default'),
    representation: {
      id: 'json',
      format: 'json',
      contentType: 'application/json',
      shape: 'Object',
      metaVersion: 'v1',
    },
    include: 'Metadata',
    verbs: {
      bytesOf: (...args: Parameters<typeof verbs.bytesOf>) => {
        encoded++;
        return verbs.bytesOf(...args);
      },
    },
    clock,
    frames: new FrameCache(),
    backlog: new SendBacklog(clock),
  } as const;
  let frames = 0;
  let readersInTurn = 0;
  let mostInTurn = 0;
  const count = () => {
    if (readersInTurn++ === 0) {
      setImmediate(() => {
        readersInTurn = 0;
      });
    }
    mostInTurn = Math.max(mostInTurn, readersInTurn);
  };
  const readers = handles.map(async (handle) => {
    const encoder = new FrameEncoder(view);
    for await (const events of handle) {
      count();
      for (const chunk of encoder.encode(events)) frames += chunk.includes('"ADDED"') ? 1 : 0;
    }
  });
  await new Promise<void>((resolve) => setImmediate(resolve));
  const each = (heapBytes() - before) / WATCHES;
  t.ok(each < 6_000, `${Math.round(each)} bytes for each watch`);
  t.equal(harness.store.usage().watches, WATCHES);
  for (let round = 1; round <= 3; round++) {
    await harness.create('configmaps', 'default', configMap(`c${round}`));
    while (frames < round * WATCHES) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  t.equal(frames, 3 * WATCHES);
  t.equal(encoded, 3, 'each event was encoded once');
  t.ok(mostInTurn <= 128, `others get their turn: ${mostInTurn} readers at once`);
  for (const handle of handles) handle.close();
  await Promise.all(readers);
  t.equal(harness.store.usage().watches, 0);
  t.equal(clock.msToNext(), undefined, 'no timer is left behind');
});

t.test('many watches: those that nobody reads hold no events', async (t) => {
  const harness = await setUp();
  const handles = await openAll(harness);
  const text = 'x'.repeat(10_000);
  const before = heapBytes();
  for (let n = 0; n < 500; n++) {
    await harness.create('configmaps', 'default', configMap(`c${n}`, { text }));
  }
  const grown = heapBytes() - before;
  t.ok(grown < 40 * MIB, `${(grown / MIB).toFixed(1)} MiB for 500 objects of 10 kB, and no more`);
  const [first, second] = handles;
  let seen = 0;
  for await (const batch of first ?? []) {
    seen += batch.length;
    if (seen >= 500) break;
  }
  t.equal(seen, 500, 'and still can be read');
  second?.close();
  for (const handle of handles) handle.close();
  t.equal(harness.store.usage().watches, 0);
});

t.test('many watches: the first few readers are woken at once, the others in turns', async (t) => {
  const turns: (() => void)[] = [];
  const queue = new WakeQueue({ soon: (action) => void turns.push(action) });
  const woken: number[] = [];
  for (let n = 0; n < 200; n++) queue.wake(() => woken.push(n));
  t.equal(woken.length, 64);
  turns.shift()?.();
  t.equal(woken.length, 128);
  queue.wake(() => woken.push(200));
  t.equal(woken.length, 128, 'who comes later does not overtake');
  while (turns.length > 0) turns.shift()?.();
  t.strictSame(
    woken,
    Array.from({ length: 201 }, (_, n) => n),
  );
});
