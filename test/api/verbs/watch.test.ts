import t from 'tap';
import type { WatchEvent, WatchHandle, WatchOptions } from '../../../src/api/types.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';
import { configMap, failing, type Harness, setUp, shown } from './harness.ts';

/** Reads a watch in the background; `next(n)` waits until n events in all have come. */
function reader(handle: WatchHandle) {
  const events: WatchEvent[] = [];
  let wake: (() => void) | undefined;
  let ended = false;
  const done = (async () => {
    for await (const batch of handle) {
      events.push(...batch);
      wake?.();
    }
    ended = true;
    wake?.();
  })();
  const next = async (count: number): Promise<string[]> => {
    while (events.length < count && !ended) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return events.map(shown);
  };
  return { events, next, done, close: () => handle.close() };
}

async function watch(harness: Harness, options: WatchOptions = {}, name?: string) {
  const { verbs, context, target } = harness;
  return reader(await verbs.watch(context(), target('configmaps', 'default', name), options));
}

const labelled = (name: string, app: string) => configMap(name, {}, { labels: { app } });

t.test('watch: without a revision present objects come first, then every change', async (t) => {
  const harness = await setUp();
  const made = await harness.create('configmaps', 'default', configMap('a'));
  const stream = await watch(harness);
  await harness.create('configmaps', 'default', configMap('b'));
  await harness.update('configmaps', { ...made, data: { x: '1' } });
  const where = harness.target('configmaps', 'default', 'a');
  await harness.verbs.delete(harness.context(), where);
  t.strictSame(await stream.next(4), ['ADDED a', 'ADDED b', 'MODIFIED a', 'DELETED a']);
  const last = stream.events.at(-1);
  const revision = last?.type === 'DELETED' ? last.item.revision : 0;
  t.equal(revision, harness.store.revision(), 'a delete carries its own revision');
  stream.close();
  await stream.done;
});

t.test('watch: from a revision only what came after it', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  const from = String(harness.store.revision());
  await harness.create('configmaps', 'default', configMap('b'));
  const stream = await watch(harness, { resourceVersion: from });
  await harness.create('configmaps', 'default', configMap('c'));
  t.strictSame(await stream.next(2), ['ADDED b', 'ADDED c']);
  stream.close();
});

t.test(
  'watch: an object that stops matching is deleted for this watcher, and comes back',
  async (t) => {
    const harness = await setUp();
    const stream = await watch(harness, { labelSelector: 'app=web' });
    let made = await harness.create('configmaps', 'default', labelled('a', 'web'));
    made = await harness.update('configmaps', { ...made, data: { n: '1' } });
    const away = structuredClone(made);
    away.metadata.labels.app = 'db';
    made = await harness.update('configmaps', away);
    const left = made.metadata.resourceVersion;
    made = await harness.update('configmaps', { ...made, data: { n: '2' } });
    made.metadata.labels.app = 'web';
    await harness.update('configmaps', made);
    await harness.verbs.delete(harness.context(), harness.target('configmaps', 'default', 'a'));
    t.strictSame(await stream.next(5), [
      'ADDED a',
      'MODIFIED a',
      'DELETED a',
      'ADDED a',
      'DELETED a',
    ]);
    const third = stream.events[2];
    const item = third?.type === 'DELETED' ? third.item : undefined;
    const object = JSON.parse(item?.bytes.toString() ?? '{}');
    t.equal(object.metadata.labels.app, 'web', 'in its last matching state');
    t.equal(object.metadata.resourceVersion, left, 'at the revision at which it left');
    stream.close();
  },
);

t.test('watch: a single object by name', async (t) => {
  const harness = await setUp();
  const stream = await watch(harness, {}, 'b');
  for (const name of ['a', 'b', 'c']) {
    await harness.create('configmaps', 'default', configMap(name));
  }
  t.strictSame(await stream.next(1), ['ADDED b']);
  stream.close();
});

t.test('watch: a revision that left the history is an ERROR 410, and the end', async (t) => {
  const store = createLocalStore({ historyEventsMax: 10 });
  const harness = await setUp({}, { store });
  for (let n = 0; n < 40; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
  const stream = await watch(harness, { resourceVersion: '1' });
  await stream.done;
  t.strictSame(stream.events.map(shown), ['ERROR 410']);
});

t.test(
  'watch: bookmarks carry the revision seen so far, at their interval and at the end',
  async (t) => {
    const harness = await setUp();
    const from = String(harness.store.revision());
    const options = { resourceVersion: from, allowWatchBookmarks: true, timeoutSeconds: 100 };
    const stream = await watch(harness, options);
    await harness.create('secrets', 'default', { metadata: { name: 's' }, data: {} });
    const revision = harness.store.revision();
    harness.clock.advance(60_000);
    t.strictSame(await stream.next(1), [`BOOKMARK ${revision}`]);
    harness.clock.advance(40_000);
    await stream.done;
    t.strictSame(stream.events.map(shown), [`BOOKMARK ${revision}`, `BOOKMARK ${revision}`]);
  },
);

t.test('watch: sendInitialEvents ends the initial state with a marked bookmark', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  const stream = await watch(harness, {
    sendInitialEvents: true,
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: true,
  });
  t.strictSame(await stream.next(2), ['ADDED a', `BOOKMARK ${harness.store.revision()}`]);
  const bookmark = stream.events[1];
  const bytes = bookmark?.type === 'BOOKMARK' ? bookmark.bytes.toString() : '{}';
  t.match(JSON.parse(bytes), {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } },
  });
  stream.close();
  const { verbs, context, target } = harness;
  const bad = verbs.watch(context(), target('configmaps'), { sendInitialEvents: true });
  t.match(await failing(bad), { code: 422 });
});

t.test('watch: ends with the signal of its request', async (t) => {
  const harness = await setUp();
  const abort = new AbortController();
  const { verbs, context, target } = harness;
  const where = target('configmaps', 'default');
  const stream = reader(await verbs.watch(context({ signal: abort.signal }), where));
  abort.abort();
  await stream.done;
  t.strictSame(stream.events, []);
});

const EDGE = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' };

t.test('watch: who does not read holds nothing, and goes on where it stopped', async (t) => {
  const harness = await setUp();
  const { verbs, context, target } = harness;
  const handle = await verbs.watch(context(), target('configmaps', 'default'), {
    resourceVersion: String(harness.store.revision()),
  });
  for (let n = 0; n < 1200; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
  const batches: number[] = [];
  const names = new Set<string>();
  for await (const batch of handle) {
    batches.push(batch.length);
    for (const event of batch) names.add(shown(event));
    if (names.size === 1200) break;
  }
  t.ok(Math.max(...batches) <= 500, 'in pages');
  t.equal(names.size, 1200);
});

t.test('watch: a reader that the window has left behind gets 410, and the end', async (t) => {
  const store = createLocalStore({ historyEventsMax: 20 });
  const harness = await setUp({}, { store });
  const { verbs, context, target } = harness;
  const where = target('configmaps', 'default');
  const handle = await verbs.watch(context(), where, {
    resourceVersion: String(store.revision()),
  });
  await harness.create('configmaps', 'default', configMap('first'));
  const iterator = handle[Symbol.asyncIterator]();
  t.strictSame((await iterator.next()).value?.map(shown), ['ADDED first']);
  for (let n = 0; n < 40; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
  t.strictSame((await iterator.next()).value?.map(shown), ['ERROR 410']);
  t.equal((await iterator.next()).done, true);
  t.equal(store.usage().watches, 0);
});

t.test(
  'watch: initial objects that are read too slowly to go on from them are given up',
  async (t) => {
    const store = createLocalStore({ historyEventsMax: 600 });
    const harness = await setUp({}, { store });
    for (let n = 0; n < 520; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
    const { verbs, context, target } = harness;
    const handle = await verbs.watch(context(), target('configmaps', 'default'), EDGE);
    const iterator = handle[Symbol.asyncIterator]();
    t.equal((await iterator.next()).value?.length, 500);
    for (let n = 0; n < 700; n++) await harness.create('configmaps', 'default', configMap(`b${n}`));
    t.strictSame((await iterator.next()).value?.map(shown), ['ERROR 410']);
  },
);

t.test(
  'watch: initial objects are those of one moment, whatever happens while they are read',
  async (t) => {
    const harness = await setUp();
    for (let n = 0; n < 600; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
    const { verbs, context, target } = harness;
    const options = { ...EDGE, allowWatchBookmarks: true };
    const handle = await verbs.watch(context(), target('configmaps', 'default'), options);
    const revision = harness.store.revision();
    const seen: string[] = [];
    for await (const batch of handle) {
      if (seen.length === 0) {
        await harness.create('configmaps', 'default', configMap('zz'));
        const gone = target('configmaps', 'default', 'a599');
        await verbs.delete(context(), gone);
      }
      seen.push(...batch.map(shown));
      if (seen.length >= 603) break;
    }
    t.equal(seen.indexOf(`BOOKMARK ${revision}`), 600, 'all of the moment, then its end');
    t.ok(seen.slice(0, 600).includes('ADDED a599'));
    t.strictSame(seen.slice(601), ['ADDED zz', 'DELETED a599']);
  },
);

t.test('watch: a bookmark comes before the window moves past a quiet watch', async (t) => {
  const store = createLocalStore({ historyEventsMax: 100 });
  const harness = await setUp({}, { store });
  const from = String(store.revision());
  const stream = await watch(harness, { resourceVersion: from, allowWatchBookmarks: true });
  for (let n = 0; n < 80; n++) {
    await harness.create('secrets', 'default', { metadata: { name: `s${n}` }, data: {} });
  }
  harness.clock.advance(1_000);
  t.strictSame(await stream.next(1), [`BOOKMARK ${store.revision()}`]);
  for (let n = 0; n < 80; n++) {
    await harness.create('secrets', 'default', { metadata: { name: `r${n}` }, data: {} });
  }
  const bookmark = stream.events[0];
  const told = bookmark?.type === 'BOOKMARK' ? String(bookmark.revision) : '';
  const again = await watch(harness, { resourceVersion: told });
  await harness.create('configmaps', 'default', configMap('late'));
  t.strictSame(await again.next(1), ['ADDED late'], 'it resumes from there');
  stream.close();
  again.close();
});

t.test('watch: a bookmark never runs ahead of what the reader was given', async (t) => {
  const harness = await setUp();
  const { verbs, context, target } = harness;
  const options = { resourceVersion: String(harness.store.revision()), allowWatchBookmarks: true };
  const handle = await verbs.watch(context(), target('configmaps', 'default'), options);
  for (let n = 0; n < 600; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
  harness.clock.advance(60_000);
  const seen: string[] = [];
  for await (const batch of handle) {
    seen.push(...batch.map(shown));
    if (seen.length >= 601) break;
  }
  t.equal(seen.at(-1), `BOOKMARK ${harness.store.revision()}`);
  t.equal(
    seen.findIndex((text) => text.startsWith('BOOKMARK')),
    600,
  );
});

t.test('watch: at its timeout it hands out what has happened, and ends', async (t) => {
  const harness = await setUp();
  const { verbs, context, target } = harness;
  const options = { resourceVersion: String(harness.store.revision()), timeoutSeconds: 10 };
  const handle = await verbs.watch(context(), target('configmaps', 'default'), options);
  for (let n = 0; n < 600; n++) await harness.create('configmaps', 'default', configMap(`a${n}`));
  harness.clock.advance(10_000);
  await harness.create('configmaps', 'default', configMap('later'));
  let count = 0;
  for await (const batch of handle) count += batch.length;
  t.ok(count >= 600);
  t.equal(harness.store.usage().watches, 0);
});

t.test('watch: changes of neighbours do not wake the watch of one object', async (t) => {
  const harness = await setUp();
  const stream = await watch(harness, { fieldSelector: 'metadata.name=a' });
  await harness.create('configmaps', 'default', configMap('ab'));
  await harness.create('configmaps', 'default', configMap('a'));
  t.strictSame(await stream.next(1), ['ADDED a']);
  stream.close();
  const late = await watch(harness, { fieldSelector: 'metadata.name=a', resourceVersion: '1' });
  t.strictSame(await late.next(1), ['ADDED a'], 'nor does one that merely begins alike');
  late.close();
});
