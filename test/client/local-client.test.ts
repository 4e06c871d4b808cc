import t from 'tap';
import { isAlreadyExists, isConflict, isFenced, isNotFound } from '../../src/client/errors.ts';
import { configMap, pod, setUp } from './harness.ts';

const key = { namespace: 'default', name: 'a' };

t.test('client: creates, gets, lists, updates, patches and deletes', async (t) => {
  const { client } = await setUp();
  const made = await client.create('ConfigMap', configMap('a', { n: '1' }));
  t.equal((await client.get('ConfigMap', key)).metadata.uid, made.metadata.uid);
  const updated = await client.update('ConfigMap', { ...made, data: { n: '2' } });
  t.equal(updated.data?.['n'], '2');
  const patched = await client.patch('ConfigMap', key, {
    type: 'merge',
    body: { data: { n: '3' } },
  });
  t.equal(patched.data?.['n'], '3');
  const { items, resourceVersion } = await client.list('ConfigMap', { namespace: 'default' });
  t.equal(items.length, 1);
  t.equal(resourceVersion, patched.metadata.resourceVersion);
  await client.delete('ConfigMap', key);
  t.ok(isNotFound(await client.get('ConfigMap', key).catch((error: unknown) => error)));
});

t.test('client: failures are told apart by reason', async (t) => {
  const { client } = await setUp();
  const made = await client.create('ConfigMap', configMap('a'));
  const again = await client.create('ConfigMap', configMap('a')).catch((error: unknown) => error);
  t.ok(isAlreadyExists(again));
  await client.update('ConfigMap', { ...made, data: { n: '2' } });
  const stale = await client
    .update('ConfigMap', { ...made, data: { n: '3' } })
    .catch((error: unknown) => error);
  t.ok(isConflict(stale));
});

t.test('client: what the caller passes in is left as it is', async (t) => {
  const { client } = await setUp();
  const object = pod('a');
  const before = structuredClone(object);
  await client.create('Pod', object);
  t.strictSame(object, before);
});

t.test('client: a fenced client writes for as long as its term is the newest', async (t) => {
  const { client, store } = await setUp();
  await store.claimFence('leader', 3);
  const mine = client.fenced('leader', 3);
  await mine.create('ConfigMap', configMap('a'));
  await store.claimFence('leader', 4);
  const late = await mine.delete('ConfigMap', key).catch((error: unknown) => error);
  t.ok(isFenced(late));
  t.ok(await client.get('ConfigMap', key));
});

t.test('client: status and binding have their own ways in', async (t) => {
  const { client } = await setUp();
  const made = await client.create('Pod', pod('a'));
  await client.bind(key, 'n1', made.metadata.uid);
  const bound = await client.get('Pod', key);
  t.equal(bound.spec.nodeName, 'n1');
  await client.updateStatus('Pod', { ...bound, status: { ...bound.status, phase: 'Running' } });
  t.equal((await client.get('Pod', key)).status?.phase, 'Running');
});
