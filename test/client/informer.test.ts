import t from 'tap';
import { SkeinError } from '../../src/lib/errors.ts';
import { createLocalStore } from '../../src/store/local-store.ts';
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
