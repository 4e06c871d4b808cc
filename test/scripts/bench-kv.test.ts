import t, { type Test } from 'tap';
import {
  KvClient,
  type KvStatus,
  keyOf,
  payloadOf,
  runKvLoad,
} from '../../scripts/lib/bench-kv-client.ts';
import { serveKv } from '../../scripts/lib/bench-kv-server.ts';
import { withSection } from '../../scripts/lib/bench-report.ts';
import {
  bytesField,
  encodeFrame,
  type Frame,
  FrameReader,
  numberField,
  readFields,
} from '../../scripts/lib/bench-wire.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
import type { Key, Store } from '../../src/store/types.ts';

async function start(t: Test, store: Store = createLocalStore()) {
  const status = (): KvStatus => ({ member: 2, leader: 3 });
  const server = await serveKv({ store, status }, '127.0.0.1', 0);
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { store, endpoint: { host: '127.0.0.1', port } };
}

t.test('bench: a put is in the store, and a get reads it back', async (t) => {
  const { store, endpoint } = await start(t);
  const client = await KvClient.open(endpoint);
  t.teardown(() => client.close());
  const value = payloadOf(7, 256);
  await client.put(keyOf(7), value);
  t.same(store.get(keyOf(7).toString() as Key)?.bytes, value);
  t.ok((await client.get(keyOf(7))) > 256);
  t.ok((await client.get(keyOf(8))) < 256, 'what is not there has no value');
  t.same(await client.status(), { member: 2, leader: 3 });
});

t.test('bench: a write that the store refuses is no answer to be counted', async (t) => {
  const store = createLocalStore();
  const { endpoint } = await start(t, {
    ...store,
    transact: () => Promise.reject(new Error('full')),
  });
  await t.rejects(runKvLoad([endpoint], { call: 'put', clients: 1, requests: 1 }), /refused a put/);
});

t.test('bench: every request that is answered is counted once', async (t) => {
  const { store, endpoint } = await start(t);
  const load = { call: 'put', clients: 4, requests: 100, keys: 50 } as const;
  const result = await runKvLoad([endpoint], load);
  t.equal(result.requests, store.revision());
  t.equal(store.count('/bench/'), 50);
  t.ok(result.p50Ms > 0 && result.p99Ms >= result.p50Ms);
  await t.rejects(
    runKvLoad([endpoint], { call: 'get', clients: 1, requests: 60, keys: 60 }),
    /is not there/,
  );
});

t.test('bench: frames arrive whole however they are cut', async (t) => {
  const sent = [1, 3, 5].map((stream) => encodeFrame(0, 1, stream, Buffer.alloc(stream, stream)));
  const bytes = Buffer.concat([Buffer.from('preface'), ...sent]);
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new FrameReader('preface'.length);
    const frames: Frame[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      reader.push(bytes.subarray(at, at + size), (frame) => frames.push(frame));
    }
    t.strictSame(
      frames.map(({ stream, payload }) => [stream, payload.length]),
      [1, 3, 5].map((stream) => [stream, stream]),
    );
  }
});

t.test('bench: fields of messages are read as they were written', async (t) => {
  const message = Buffer.concat([numberField(3, 300), bytesField(1, Buffer.from('key'))]);
  t.strictSame(
    [...readFields(message)],
    [
      [3, 300],
      [1, Buffer.from('key')],
    ],
  );
});

t.test('bench: a run replaces its section and leaves the others', async (t) => {
  const text = withSection(withSection('# Benchmarks\n', 'One', 'first'), 'Two', 'second');
  t.equal(text, '# Benchmarks\n\n## One\n\nfirst\n\n## Two\n\nsecond\n');
  const changed = withSection(text, 'One', 'third');
  t.equal(changed, '# Benchmarks\n\n## One\n\nthird\n\n## Two\n\nsecond\n');
  t.equal(withSection(changed, 'Two', 'x'), '# Benchmarks\n\n## One\n\nthird\n\n## Two\n\nx\n');
});
