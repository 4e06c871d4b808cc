import t from 'tap';
import { VirtualClock } from '../../src/lib/clock.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
import type { Revision, Store, StoredObject, StoreEvent } from '../../src/store/types.ts';
import { del, put } from '../support/store-values.ts';

const at = (revision: number) => revision as Revision;

async function committed(store: Store, ...operations: ReturnType<typeof put | typeof del>[]) {
  const result = await store.transact({ checks: [], operations });
  if (result.kind !== 'committed') throw new Error(`not committed: ${result.kind}`);
  return result.revision;
}

function namesOf(items: readonly StoredObject[]): string[] {
  return items.map((item) => item.key.slice(item.key.lastIndexOf('/') + 1));
}

t.test('store: a put carries its own revision in its bytes', async (t) => {
  const store = createLocalStore();
  t.equal(await committed(store, put('/core/pods/a/x', { size: 1 })), 1);
  t.equal(await committed(store, put('/core/pods/a/x', { size: 2 })), 2);
  const object = store.get('/core/pods/a/x');
  t.match(object, { revision: 2, createRevision: 1 });
  t.strictSame(object?.object, { metadata: { resourceVersion: '2' }, size: 2 });
  t.equal(object?.object, object?.object, 'parsed once');
});

t.test('store: a delete carries its own revision and the last state', async (t) => {
  const store = createLocalStore();
  for (let round = 0; round < 9; round++) await committed(store, put('/core/pods/a/x', { round }));
  const events: StoreEvent[] = [];
  store.watch('/core/pods/', undefined, (batch) => events.push(...batch));
  t.equal(await committed(store, del('/core/pods/a/x')), 10);
  t.equal(store.get('/core/pods/a/x'), undefined);
  const [event] = events;
  t.match(event, { type: 'delete', object: { revision: 10 }, previous: { revision: 9 } });
  t.strictSame(event?.object.object, { metadata: { resourceVersion: '10' }, round: 8 });
});

t.test('store: a transaction is one revision, and all or nothing', async (t) => {
  const store = createLocalStore();
  t.equal(await committed(store, put('/a/b//x', {}), put('/a/b//y', {})), 1);
  const operations = [put('/a/b//z', {})];
  const conflict = async (checks: Parameters<Store['transact']>[0]['checks']) =>
    store.transact({ checks, operations });
  t.strictSame(await conflict([{ key: '/a/b//x', is: 'absent' }]), {
    kind: 'conflict',
    key: '/a/b//x',
    found: 1,
  });
  t.match(await conflict([{ key: '/a/b//q', is: 'present' }]), { kind: 'conflict', found: 0 });
  t.match(await conflict([{ key: '/a/b//x', is: 'at', revision: at(7) }]), { found: 1 });
  t.equal(store.get('/a/b//z'), undefined);
  t.equal(store.revision(), 1);
  const all = await conflict([
    { key: '/a/b//x', is: 'at', revision: at(1) },
    { key: '/a/b//y', is: 'present' },
    { key: '/a/b//z', is: 'absent' },
  ]);
  t.strictSame(all, { kind: 'committed', revision: 2 });
});

t.test('store: what changes nothing takes no revision', async (t) => {
  const store = createLocalStore();
  t.equal(await committed(store, del('/a/b//x')), 0);
  t.equal(await committed(store), 0);
});

t.test('store: lists come in key order, in pages, with the exact remainder', async (t) => {
  const store = createLocalStore();
  const names = Array.from(
    { length: 1500 },
    (_, n) => `n${String((n * 7919) % 1500).padStart(4, '0')}`,
  );
  for (const name of names) await committed(store, put(`/core/pods/ns/${name}`, {}));
  await committed(store, put('/core/pods/ns-other/x', {}), put('/core/nodes//x', {}));
  t.equal(store.count('/core/pods/ns/'), 1500);
  t.equal(store.count('/core/pods/'), 1501);
  const seen: string[] = [];
  let after: string | undefined;
  for (let remaining = 1; remaining > 0; ) {
    const page = store.list('/core/pods/ns/', { limit: 400, ...(after && { after }) });
    if (page.kind !== 'listed') throw new Error('too old');
    seen.push(...namesOf(page.items));
    after = page.items.at(-1)?.key;
    remaining = page.remaining;
    t.equal(seen.length + remaining, 1500);
  }
  t.strictSame(seen, names.toSorted());
});

t.test('store: a list at an older revision shows the world as it was', async (t) => {
  const store = createLocalStore();
  for (const name of ['a', 'b', 'c', 'd']) await committed(store, put(`/x/y//${name}`, { v: 1 }));
  const then = store.revision();
  await committed(store, del('/x/y//b'));
  await committed(store, put('/x/y//c', { v: 2 }));
  await committed(store, put('/x/y//aa', { v: 1 }));
  await committed(store, del('/x/y//d'));
  await committed(store, put('/x/y//d', { v: 3 }));
  const page = store.list('/x/y/', { atRevision: then, limit: 2 });
  t.match(page, { kind: 'listed', revision: then, remaining: 2 });
  const rest = store.list('/x/y/', { atRevision: then, after: '/x/y//b' });
  if (page.kind !== 'listed' || rest.kind !== 'listed') return t.fail('too old');
  t.strictSame(namesOf([...page.items, ...rest.items]), ['a', 'b', 'c', 'd']);
  t.ok([...page.items, ...rest.items].every((item) => item.revision <= then));
  t.strictSame(rest.remaining, 0);
});

t.test('store: a watch resumes anywhere in the window and is refused behind it', async (t) => {
  const store = createLocalStore({ historyEventsMax: 10 });
  for (let round = 1; round <= 30; round++) await committed(store, put('/x/y/n/k', { round }));
  t.equal(store.oldestRevision(), 20);
  t.strictSame(
    store.watch('/x/y/', at(19), () => {}),
    { kind: 'too-old', oldest: 20 },
  );
  t.match(store.list('/x/y/', { atRevision: at(19) }), { kind: 'too-old', oldest: 20 });
  const revisions: number[] = [];
  store.watch('/x/y/n/', at(20), (events) =>
    revisions.push(...events.map((e) => e.object.revision)),
  );
  t.strictSame(revisions, [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  await committed(store, put('/x/y/n/k', {}));
  t.equal(revisions.at(-1), 31);
});

t.test('store: the window is bounded by bytes as well', async (t) => {
  const store = createLocalStore({ historyBytesMax: 100_000 });
  const filler = 'x'.repeat(9_000);
  for (let round = 0; round < 30; round++) await committed(store, put('/x/y//k', { filler }));
  t.ok(store.oldestRevision() >= 18 && store.oldestRevision() <= 22);
});

t.test('store: a watcher hears of its prefix only, and of nothing after it closed', async (t) => {
  const store = createLocalStore();
  const heard: string[] = [];
  const follow = (prefix: string) => {
    const answer = store.watch(prefix, undefined, (events) => {
      for (const event of events) heard.push(`${prefix} ${event.object.key}`);
    });
    if (answer.kind !== 'watching') throw new Error('too old');
    return answer.watch;
  };
  const watches = ['/', '/core/pods/', '/core/pods/a/', '/core/pods/a/x', '/core/po/'].map(follow);
  await committed(store, put('/core/pods/a/x', {}));
  await committed(store, put('/core/pods/ab/x', {}));
  for (const watch of watches) watch.close();
  await committed(store, put('/core/pods/a/x', {}));
  t.strictSame(heard.toSorted(), [
    '/ /core/pods/a/x',
    '/ /core/pods/ab/x',
    '/core/pods/ /core/pods/a/x',
    '/core/pods/ /core/pods/ab/x',
    '/core/pods/a/ /core/pods/a/x',
    '/core/pods/a/x /core/pods/a/x',
  ]);
});

t.test('store: a sink that throws disturbs neither the write nor the others', async (t) => {
  const store = createLocalStore();
  let heard = 0;
  store.watch('/x/', undefined, () => {
    throw new Error('broken sink');
  });
  store.watch('/x/', undefined, () => heard++);
  t.equal(await committed(store, put('/x/y//k', {})), 1);
  t.equal(await committed(store, put('/x/y//k', {})), 2);
  t.equal(heard, 2);
});

t.test('store: a watch opened by a sink misses nothing and repeats nothing', async (t) => {
  const store = createLocalStore();
  const inner: number[] = [];
  let opened = false;
  store.watch('/x/', undefined, (_events, revision) => {
    if (opened) return;
    opened = true;
    store.watch('/x/', revision, (events) => inner.push(...events.map((e) => e.object.revision)));
  });
  await committed(store, put('/x/y//k', {}));
  await committed(store, put('/x/y//k', {}));
  t.strictSame(inner, [2]);
});

t.test('store: changedAt follows each resource on its own', async (t) => {
  const store = createLocalStore();
  t.equal(store.changedAt('/core/pods/'), 0);
  await committed(store, put('/core/pods/a/x', {}));
  await committed(store, put('/core/nodes//x', {}));
  await committed(store, del('/core/pods/a/x'));
  t.equal(store.changedAt('/core/pods/'), 3);
  t.equal(store.changedAt('/core/nodes/'), 2);
});

t.test('store: only the newest claimant of a fence may write through it', async (t) => {
  const store = createLocalStore();
  const write = (term: number) =>
    store.transact({
      checks: [],
      operations: [put('/x/y//k', { term })],
      fence: { name: 'scheduler', term },
    });
  t.strictSame(await write(3), { kind: 'fenced', newestTerm: 0 }, 'not claimed yet');
  await store.claimFence('scheduler', 3);
  t.match(await write(3), { kind: 'committed' });
  await store.claimFence('scheduler', 5);
  t.strictSame(await write(3), { kind: 'fenced', newestTerm: 5 });
  await t.rejects(store.claimFence('scheduler', 4), { code: 'fenced' });
  t.match(await write(5), { kind: 'committed' });
});

t.test('store: waitForRevision resolves at the revision or rejects at the deadline', async (t) => {
  const clock = new VirtualClock();
  const store = createLocalStore({ clock });
  const waiting = store.waitForRevision(at(2), { deadlineMs: 60_000 });
  await committed(store, put('/x/y//k', {}));
  await committed(store, put('/x/y//k', {}));
  await waiting;
  const late = t.rejects(store.waitForRevision(at(3), { deadlineMs: 5 }), {
    code: 'deadline-exceeded',
  });
  clock.advance(5);
  await late;
});

t.test('store: a malformed transaction is refused before it is proposed', async (t) => {
  const store = createLocalStore();
  const value = Buffer.from('{}');
  const bad = { op: 'put', key: '/x/y//k', value, revisionOffset: 9 } as const;
  await t.rejects(store.transact({ checks: [], operations: [bad] }), { code: 'proposal-dropped' });
  await t.rejects(store.transact({ checks: [], operations: [del('nokey')] }), {
    code: 'proposal-dropped',
  });
});
