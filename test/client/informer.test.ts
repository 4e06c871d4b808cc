import t from 'tap';
import { StoreInformer } from '../../src/client/informer.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { ConfigMap } from '../../src/resources/generated/kinds.ts';
import { encodeCommand } from '../../src/store/commands.ts';
import { applyAtOnce, createLocalStore } from '../../src/store/local-store.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Operation } from '../../src/store/types.ts';
import { del, put } from '../support/store-values.ts';
import { configMap, pod, settle, setUp } from './harness.ts';

t.test('informer: shows what is there and what comes, and tells of each change', async (t) => {
  const { client } = await setUp();
  const made = await client.create('ConfigMap', configMap('a', { n: '1' }));
  const informer = client.informer('ConfigMap');
  const seen: string[] = [];
  informer.subscribe((event) => {
    const before = event.type === 'modified' ? ` from ${event.previous.data?.['n']}` : '';
    seen.push(`${event.type} ${event.object.metadata.name}${before}`);
  });
  await client.create('ConfigMap', configMap('b'));
  await client.update('ConfigMap', { ...made, data: { n: '2' } });
  await client.delete('ConfigMap', { namespace: 'default', name: 'a' });
  t.strictSame(seen, ['added a', 'added b', 'modified a from 1', 'deleted a']);
  t.strictSame(
    informer.list('default').map(({ metadata }) => metadata.name),
    ['b'],
  );
  t.equal(informer.get({ namespace: 'default', name: 'a' }), undefined);
});

t.test('informer: a write is in the cache when it resolves', async (t) => {
  const { client } = await setUp();
  const informer = client.informer('ConfigMap');
  for (let n = 0; n < 5; n++) {
    const made = await client.create('ConfigMap', configMap(`c${n}`));
    const cached = informer.get({ namespace: 'default', name: `c${n}` });
    t.equal(cached?.metadata.resourceVersion, made.metadata.resourceVersion);
  }
});

t.test('informer: one per kind and process, its objects shared', async (t) => {
  const { client } = await setUp();
  const node = client.as('system:node:n1', ['system:nodes']).fenced('x', 1);
  t.equal(node.informer('Pod'), client.informer('Pod'));
  await client.create('Pod', pod('a'));
  const key = { namespace: 'default', name: 'a' };
  t.equal(client.informer('Pod').get(key), await client.get('Pod', key), 'parsed once');
});

t.test('informer: an index follows the objects', async (t) => {
  const { client } = await setUp();
  const informer = client.informer('Pod');
  await client.create('Pod', pod('a'));
  informer.addIndex('node', (one) => (one.spec.nodeName === undefined ? [] : [one.spec.nodeName]));
  t.strictSame(informer.byIndex('node', 'n1'), []);
  await client.bind({ namespace: 'default', name: 'a' }, 'n1');
  t.equal(informer.byIndex('node', 'n1').length, 1);
  await client.delete('Pod', { namespace: 'default', name: 'a' }, { gracePeriodSeconds: 0 });
  t.strictSame(informer.byIndex('node', 'n1'), []);
});

t.test('informer: an object whose value changes moves within the index', async (t) => {
  const { client } = await setUp();
  const informer = client.informer('ConfigMap');
  informer.addIndex('colour', ({ data }) => Object.values(data ?? {}));
  const made = await client.create('ConfigMap', configMap('a', { colour: 'red' }));
  await client.update('ConfigMap', { ...made, data: { colour: 'blue' } });
  t.strictSame(informer.byIndex('colour', 'red'), []);
  t.equal(informer.byIndex('colour', 'blue').length, 1);
});

t.test('informer: one name means one index function', async (t) => {
  const { client } = await setUp();
  const informer = client.informer('Pod');
  const extract = () => ['x'];
  informer.addIndex('x', extract);
  informer.addIndex('x', extract);
  t.throws(() => informer.addIndex('x', () => ['y']), { message: /one function/ });
});

t.test('informer: a listener that throws disturbs nobody', async (t) => {
  const { client } = await setUp();
  const informer = client.informer('ConfigMap');
  informer.subscribe(() => {
    throw new Error('mine');
  });
  const seen: string[] = [];
  informer.subscribe(({ object }) => seen.push(object.metadata.name));
  await client.create('ConfigMap', configMap('a'));
  t.strictSame(seen, ['a']);
});

t.test('informer: an unsubscribed listener hears nothing more', async (t) => {
  const { client } = await setUp();
  const seen: string[] = [];
  const listener = ({ object }: { object: { metadata: { name: string } } }) => {
    seen.push(object.metadata.name);
  };
  const stop = client.informer('ConfigMap').subscribe(listener);
  await client.create('ConfigMap', configMap('a'));
  stop();
  await client.create('ConfigMap', configMap('b'));
  t.strictSame(seen, ['a']);
});

t.test('informer: is synced once the replica is known to be current', async (t) => {
  const store = createLocalStore();
  let reachable = true;
  const flaky = {
    ...store,
    readBarrier: () =>
      reachable ? store.readBarrier() : Promise.reject(new SkeinError('no-leader', 'no quorum')),
  };
  const { client, clock } = await setUp(flaky);
  await client.create('ConfigMap', configMap('a'));
  reachable = false;
  const informer = client.informer('ConfigMap');
  await settle();
  t.notOk(informer.synced);
  t.equal(informer.list().length, 1, 'what the replica has is shown all the same');
  const abort = new AbortController();
  const impatient = informer.whenSynced(abort.signal);
  abort.abort();
  await t.rejects(impatient, { code: 'aborted' });
  reachable = true;
  clock.advance(10_000);
  await informer.whenSynced();
  t.ok(informer.synced);
});

/** A clock whose every reading is a millisecond later, and whose turns are taken by hand. */
function slowClock() {
  const turns: (() => void)[] = [];
  let nowMs = 0;
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => ++nowMs,
    after: () => ({ cancel: () => {} }),
    soon: (action) => void turns.push(action),
  };
  return { clock, turns };
}

async function largeStore(objects: number) {
  const store = createLocalStore();
  const write = (...operations: Operation[]) => store.transact({ checks: [], operations });
  const key = (n: number) => `/core/configmaps/default/c${String(n).padStart(5, '0')}`;
  const cm = (n: number, data: object) =>
    put(key(n), { metadata: { name: `c${n}`, namespace: 'default' }, data });
  for (let n = 0; n < objects; n++) await write(cm(n, { n: `${n}`, v: 'old' }));
  return { store, write, key, cm };
}

t.test('informer: many objects are shown in slices, each once and at its newest', async (t) => {
  const { store, write, key, cm } = await largeStore(2000);
  const { clock, turns } = slowClock();
  const components = { store, clock, random: seededRandom(1), logger: silentLogger };
  const informer = new StoreInformer<ConfigMap>(components, '/core/configmaps/');
  const log: string[] = [];
  informer.subscribe((event) => {
    log.push(`${event.type} ${event.object.data?.['n']} ${event.object.data?.['v']}`);
  });
  const shown = log.length;
  t.ok(shown > 0 && shown < 2000, `the loop got its turn after ${shown}`);
  await write(cm(0, { n: '0', v: 'new' }), cm(1999, { n: '1999', v: 'new' }), del(key(1998)));
  t.strictSame(log.slice(shown), ['modified 0 new'], 'what was not shown yet is left to the pass');
  const synced = informer.whenSynced();
  let isSynced = false;
  void synced.then(() => {
    isSynced = true;
  });
  const late: string[] = [];
  informer.subscribe(({ object }) => late.push(object.data?.['v'] ?? ''));
  t.equal(late.length, 0, 'a second listener waits for a pass of its own');
  await settle();
  t.notOk(isSynced);
  for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn();
  await synced;
  t.equal(log.filter((line) => line.startsWith('added')).length, 1999);
  t.ok(log.includes('added 1999 new'));
  t.notOk(
    log.some((line) => line.includes(' 1998 ')),
    'one that went before its turn is not shown',
  );
  t.equal(late.length, 1999);
});

t.test('informer: an index that is asked before its pass is over answers in full', async (t) => {
  const { store, write, key, cm } = await largeStore(2000);
  const { clock, turns } = slowClock();
  const components = { store, clock, random: seededRandom(1), logger: silentLogger };
  const informer = new StoreInformer<ConfigMap>(components, '/core/configmaps/');
  informer.addIndex('v', ({ data }) => [data?.['v'] ?? '']);
  await write(cm(5, { n: '5', v: 'new' }), cm(1500, { n: '1500', v: 'new' }), del(key(7)));
  t.equal(informer.byIndex('v', 'old').length, 1997);
  t.equal(informer.byIndex('v', 'new').length, 2);
  await write(cm(1501, { n: '1501', v: 'new' }));
  t.equal(informer.byIndex('v', 'new').length, 3);
  for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn();
  t.equal(informer.byIndex('v', 'old').length, 1996);
  t.equal(informer.byIndex('v', 'new').length, 3);
});

t.test(
  'informer: a listener that writes while it is shown the objects misses nothing',
  async (t) => {
    const state = new StoreState();
    const consensus = applyAtOnce(state);
    let sequence = 0;
    const cm = (n: number, v: string) => {
      const name = `c${String(n).padStart(5, '0')}`;
      return put(`/core/configmaps/default/${name}`, { metadata: { name }, data: { v } });
    };
    /** Applied before it returns. */
    const write = (...operations: Operation[]) => {
      const origin = { client: 'c', sequence: ++sequence, acknowledged: sequence - 1, born: 0 };
      const transaction = { checks: [], operations };
      void consensus.propose(encodeCommand({ ...origin, kind: 'transaction', transaction }));
    };
    for (let n = 0; n < 200; n++) write(cm(n * 2, 'old'));
    const store = createReplicatedStore({ state, consensus });
    const components = {
      store,
      clock: slowClock().clock,
      random: seededRandom(1),
      logger: silentLogger,
    };
    const informer = new StoreInformer<ConfigMap>(components, '/core/configmaps/');
    const newest = new Map<string, string>();
    let written = false;
    informer.subscribe(({ object }) => {
      newest.set(object.metadata.name, object.data?.['v'] ?? '');
      if (object.metadata.name !== 'c00020' || written) return;
      written = true;
      // One that was shown, the next one, one between the two, one far behind.
      write(cm(4, 'new'), cm(22, 'new'), cm(21, 'new'), cm(300, 'new'));
    });
    for (const name of ['c00004', 'c00021', 'c00022', 'c00300']) t.equal(newest.get(name), 'new');
    t.equal(newest.size, 201);
  },
);
