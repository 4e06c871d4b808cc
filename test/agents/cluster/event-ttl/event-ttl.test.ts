import fc from 'fast-check';
import t from 'tap';
import { lastToldMs } from '../../../../agents/cluster/event-ttl/decide.ts';
import { type BookEntry, EventBook } from '../../../../agents/cluster/event-ttl/event-book.ts';
import type { Event } from '../../../../agents/cluster/kinds.ts';
import type { Client } from '../../../../src/client/types.ts';
import { TestCluster } from '../support.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');

function event(name: string, more: Partial<Event> = {}, namespace = 'default'): Event {
  const involvedObject = { kind: 'Pod', name: 'p', namespace };
  return { metadata: { name, namespace }, involvedObject, ...more };
}

function entry(name: string, namespace = 'default'): BookEntry {
  return { namespace, name, uid: name, resourceVersion: '1' };
}

const names = (entries: readonly BookEntry[]) => entries.map(({ name }) => name);

t.test('event ttl: the newest time on an event counts, and inventions do not', async (t) => {
  const at = (more: Partial<Event>, creationTimestamp = '2026-01-01T10:00:00Z') => {
    const { metadata, ...rest } = event('e', more);
    return new Date(lastToldMs({ metadata: { ...metadata, creationTimestamp }, ...rest }, NOW))
      .toISOString()
      .slice(11, 19);
  };
  t.equal(at({}), '10:00:00');
  t.equal(at({ lastTimestamp: '2026-01-01T11:00:00Z' }), '11:00:00');
  t.equal(at({ eventTime: '2026-01-01T11:30:00.123456Z' }), '11:30:00');
  const series = { count: 2, lastObservedTime: '2026-01-01T11:59:00.000000Z' };
  t.equal(at({ eventTime: '2026-01-01T11:30:00.123456Z', series }), '11:59:00');
  t.equal(at({ lastTimestamp: '2017-09-19T13:49:16Z' }), '10:00:00', 'old times change nothing');
  t.equal(at({ lastTimestamp: '2099-01-01T00:00:00Z' }), '10:00:00', 'times ahead do not count');
  t.equal(at({ lastTimestamp: '2026-01-01T12:01:00Z' }), '12:01:00', 'clocks differ a little');
  t.equal(at({}, 'nonsense'), '12:00:00', 'an event without a time is new');
});

t.test('event ttl: events are taken in order of expiry, when their slot has ended', async (t) => {
  const book = new EventBook({ slotMs: 10, perNamespaceMax: 100, clusterMax: 100 });
  t.equal(book.nextDueMs(), Number.POSITIVE_INFINITY);
  t.equal(book.put(entry('b'), 25), 30);
  book.put(entry('a'), 11);
  book.put(entry('c'), 28);
  t.equal(book.nextDueMs(), 20);
  t.same(names(book.take(19, 10)), []);
  t.same(names(book.take(20, 10)), ['a']);
  book.put(entry('b'), 55);
  t.same(names(book.take(30, 10)), ['c'], 'an event that was told again has more time');
  book.remove(entry('b'));
  t.same(names(book.take(1000, 10)), []);
  for (const name of ['x', 'y', 'z']) book.put(entry(name), 5);
  t.equal(book.take(1000, 2).length, 2, 'batches are bounded');
  t.equal(book.size, 1);
});

t.test(
  'event ttl: what could not be deleted comes back, unless something newer is known',
  async (t) => {
    const book = new EventBook({ slotMs: 10, perNamespaceMax: 100, clusterMax: 100 });
    book.put(entry('a'), 5);
    book.take(10, 10);
    book.putBack(entry('a'), 55);
    t.equal(book.nextDueMs(), 60);
    book.putBack(entry('a'), 5);
    t.equal(book.nextDueMs(), 60);
  },
);

t.test(
  'event ttl: beyond a limit on numbers the oldest go, a tenth of the limit at once',
  async (t) => {
    const book = new EventBook({ slotMs: 1, perNamespaceMax: 10, clusterMax: 25 });
    for (let index = 0; index < 10; index++) book.put(entry(`a${index}`, 'a'), 100 + index);
    t.notOk(book.overfull);
    t.same(names(book.take(0, 100)), []);
    book.put(entry('a10', 'a'), 110);
    t.ok(book.overfull);
    t.same(names(book.take(0, 100)), ['a0', 'a1']);
    t.notOk(book.overfull);
    for (let index = 0; index < 9; index++) book.put(entry(`b${index}`, 'b'), 50 + index);
    for (let index = 0; index < 7; index++) book.put(entry(`c${index}`, 'c'), 200 + index);
    t.equal(book.size, 25);
    book.put(entry('d', 'd'), 300);
    t.ok(book.overfull);
    t.same(names(book.take(0, 100)), ['b0', 'b1', 'b2', 'b3']);
    t.equal(book.size, 22);
  },
);

t.test('event ttl: the book agrees with a list that is sorted anew each time', async () => {
  const step = fc.record({
    name: fc.integer({ min: 0, max: 12 }),
    namespace: fc.constantFrom('a', 'b'),
    dueMs: fc.integer({ min: 0, max: 60 }),
    act: fc.constantFrom('put', 'put', 'put', 'remove', 'take'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const book = new EventBook({ slotMs: 1, perNamespaceMax: 1000, clusterMax: 1000 });
      const naive = new Map<string, number>();
      for (const { name, namespace, dueMs, act } of steps) {
        const key = `${namespace}/${name}`;
        if (act === 'put') {
          book.put(entry(String(name), namespace), dueMs);
          naive.set(key, dueMs);
        } else if (act === 'remove') {
          book.remove(entry(String(name), namespace));
          naive.delete(key);
        } else {
          const taken = book.take(dueMs, 100).map((one) => `${one.namespace}/${one.name}`);
          const due = [...naive].filter(([, at]) => at + 1 <= dueMs).map(([id]) => id);
          if (taken.sort().join() !== due.sort().join()) return false;
          for (const id of due) naive.delete(id);
        }
        const next = Math.min(...naive.values()) + 1;
        if (book.size !== naive.size || book.nextDueMs() !== next) return false;
      }
      return true;
    }),
    { numRuns: 300, seed: 5 },
  );
});

const TTL_MS = 3_600;
const present = (cluster: TestCluster) =>
  cluster
    .list('Event')
    .map(({ metadata }) => metadata.name)
    .sort();

t.test('event ttl: an event goes when its time is over, and one told again stays', async (t) => {
  const cluster = await TestCluster.start({ agents: { eventTtl: { ttlMs: TTL_MS } } });
  t.teardown(() => cluster.stop());
  const nowIso = () => `${new Date(cluster.clock.nowMs()).toISOString().slice(0, 19)}Z`;
  await cluster.client.create('Event', event('early'));
  await cluster.lead('event-ttl');
  await cluster.pass(2_000);
  await cluster.client.create('Event', event('later'));
  await cluster.client.create('Event', event('again'));
  await cluster.until('the first has gone', () => present(cluster).join() === 'again,later', 5_000);
  t.ok(cluster.clock.monotonicMs() >= TTL_MS, 'not before its time');
  const body = { count: 2, lastTimestamp: nowIso() };
  const key = { namespace: 'default', name: 'again' };
  await cluster.client.patch('Event', key, { type: 'merge', body });
  await cluster.until('the second has gone', () => present(cluster).join() === 'again', 5_000);
  await cluster.until('the last has gone', () => present(cluster).length === 0, 5_000);
});

t.test('event ttl: an event that is told again while it is deleted stays', async (t) => {
  const cluster = await TestCluster.start({ agents: { eventTtl: { ttlMs: TTL_MS } } });
  t.teardown(() => cluster.stop());
  const key = { namespace: 'default', name: 'told' };
  let deletions = 0;
  const tellFirst = (client: Client): Client =>
    Object.assign(Object.create(client) as Client, {
      informer: client.informer.bind(client),
      fenced: (name: string, term: number) => tellFirst(client.fenced(name, term)),
      delete: async (...[kind, what, options]: Parameters<Client['delete']>) => {
        if (deletions++ === 0) {
          const lastTimestamp = `${new Date(cluster.clock.nowMs()).toISOString().slice(0, 19)}Z`;
          const body = { count: 2, lastTimestamp };
          await cluster.client.patch('Event', key, { type: 'merge', body });
        }
        return client.delete(kind, what, options);
      },
    });
  cluster.clientOfAgents = tellFirst(cluster.client);
  await cluster.lead('event-ttl');
  await cluster.pass(50);
  await cluster.client.create('Event', event('told'));
  await cluster.until('it was to be deleted', () => deletions === 1, 6_000);
  await cluster.pass(1_500);
  t.same(present(cluster), ['told']);
  await cluster.until('its new time is over, too', () => present(cluster).length === 0, 6_000);
});

t.test('event ttl: whoever takes over goes on where the other was', async (t) => {
  const cluster = await TestCluster.start({ agents: { eventTtl: { ttlMs: TTL_MS } } });
  t.teardown(() => cluster.stop());
  await cluster.client.create('Event', event('one'));
  await cluster.lead('event-ttl');
  await cluster.pass(2_000);
  await cluster.lead('event-ttl');
  await cluster.until('it has gone', () => present(cluster).length === 0, 3_000);
});

t.test('event ttl: a flood leaves the newest of each namespace', async (t) => {
  const cluster = await TestCluster.start({
    agents: { eventTtl: { ttlMs: 3_600_000, perNamespaceMax: 20, clusterMax: 1_000 } },
    namespaces: ['default', 'quiet'],
  });
  t.teardown(() => cluster.stop());
  await cluster.client.create('Event', event('calm', {}, 'quiet'));
  await cluster.lead('event-ttl');
  for (let index = 0; index < 50; index++) {
    const at = new Date(cluster.clock.nowMs() - 3_000_000 + index * 60_000).toISOString();
    const eventTime = at.replace('Z', '000Z');
    await cluster.client.create(
      'Event',
      event(`e${String(index).padStart(2, '0')}`, { eventTime }),
    );
  }
  await cluster.until('the flood is cut', () => cluster.list('Event', 'default').length <= 20);
  await cluster.pass(100);
  const left = present(cluster);
  t.equal(left.at(0), 'calm', 'the quiet namespace loses nothing');
  t.equal(left.at(-1), 'e49', 'the newest is there');
  t.ok(left.length > 15, 'no more than needed goes');
});
