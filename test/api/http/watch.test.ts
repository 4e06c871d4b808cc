/** Watches over HTTPS: frames, shapes, bookmarks, and clients that do not read. */

import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { type Harness, startServer } from './harness.ts';

const CM = '/api/v1/namespaces/default/configmaps';

type Frame = { type: string; object: Record<string, never> };

/** The frames of a watch, one at a time. */
async function watch(t: Test, server: Harness, path: string, accept = 'application/json') {
  const response: IncomingMessage = await server.open(path, { headers: { accept } });
  t.teardown(() => response.destroy());
  response.on('error', () => undefined);
  const lines = createInterface({ input: response })[Symbol.asyncIterator]();
  return {
    response,
    // biome-ignore lint/suspicious/noExplicitAny: tests look into arbitrary frames
    async next(): Promise<any> {
      const { value, done } = await lines.next();
      return done ? undefined : (JSON.parse(value) as Frame);
    },
  };
}

t.test('watch: what is there, and what changes after', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  await server.create(CM, { metadata: { name: 'a' } });
  const watcher = await watch(t, server, `${CM}?watch=1`);
  t.equal(watcher.response.headers['transfer-encoding'], 'chunked');
  t.match(await watcher.next(), { type: 'ADDED', object: { metadata: { name: 'a' } } });
  await server.create(CM, { metadata: { name: 'b' } });
  t.match(await watcher.next(), { type: 'ADDED', object: { metadata: { name: 'b' } } });
  await server.ask(`${CM}/b`, {
    method: 'PATCH',
    body: { data: { k: 'v' } },
    headers: { 'Content-Type': 'application/merge-patch+json' },
  });
  t.match(await watcher.next(), { type: 'MODIFIED', object: { data: { k: 'v' } } });
  await server.ask(`${CM}/b`, { method: 'DELETE' });
  t.match(await watcher.next(), { type: 'DELETED', object: { metadata: { name: 'b' } } });
});

t.test('watch: the older path form and a single name', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  await server.create(CM, { metadata: { name: 'a' } });
  await server.create(CM, { metadata: { name: 'b' } });
  const watcher = await watch(t, server, '/api/v1/watch/namespaces/default/configmaps/b');
  t.match(await watcher.next(), { type: 'ADDED', object: { metadata: { name: 'b' } } });
});

t.test('watch: selectors turn changes into comings and goings', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const watcher = await watch(t, server, `${CM}?watch=true&labelSelector=x%3Dy`);
  const label = (value: string | null) =>
    server.ask(`${CM}/a`, {
      method: 'PATCH',
      body: { metadata: { labels: { x: value } } },
      headers: { 'Content-Type': 'application/merge-patch+json' },
    });
  await server.create(CM, { metadata: { name: 'a' } });
  await label('y');
  t.match(await watcher.next(), { type: 'ADDED' });
  await label(null);
  t.match(await watcher.next(), { type: 'DELETED' });
});

t.test('watch: tables carry their columns once, bookmarks keep their mark', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  await server.create(CM, { metadata: { name: 'a' } });
  await server.create(CM, { metadata: { name: 'b' } });
  const query =
    'watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan';
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  const watcher = await watch(t, server, `${CM}?${query}`, accept);
  const first = await watcher.next();
  t.match(first, { type: 'ADDED', object: { kind: 'Table', rows: [{ cells: ['a'] }] } });
  t.ok(first.object.columnDefinitions.length > 0);
  const second = await watcher.next();
  t.match(second, { object: { columnDefinitions: [], rows: [{ cells: ['b'] }] } });
  const mark = await watcher.next();
  t.match(mark, { type: 'BOOKMARK', object: { kind: 'Table' } });
  t.equal(mark.object.rows[0].object.metadata.annotations['k8s.io/initial-events-end'], 'true');
});

t.test('watch: it ends when asked to, and starts only where history reaches', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const watcher = await watch(t, server, `${CM}?watch=1&timeoutSeconds=1`);
  t.equal(await watcher.next(), undefined, 'the stream ends in order');
  const future = await server.ask(`${CM}?watch=1&resourceVersion=nonsense`);
  t.match(future, { code: 400 });
});

t.test('watch: a client that goes away is forgotten', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const watcher = await watch(t, server, `${CM}?watch=1`);
  const gauge = async () => {
    const text = await server.metrics.getSingleMetricAsString(
      'apiserver_current_inflight_requests',
    );
    return Number(/ (\d+)$/.exec(text.trim())?.[1]);
  };
  await server.ask('/api');
  t.equal(await gauge(), 1);
  watcher.response.destroy();
  await server.until(async () => (await gauge()) === 0);
});

t.test('watch: many watchers of one change read the same bytes', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const watchers = await Promise.all([1, 2, 3].map(() => watch(t, server, `${CM}?watch=1`)));
  await server.create(CM, { metadata: { name: 'a' } });
  const frames = await Promise.all(watchers.map((watcher) => watcher.next()));
  for (const frame of frames) t.same(frame, frames[0]);
});

t.test('watch: stopping the server ends every watch', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const watcher = await watch(t, server, `${CM}?watch=1`);
  await server.close();
  t.equal(await watcher.next(), undefined);
});
