import t from 'tap';
import type { ListOptions } from '../../../src/api/types.ts';
import { encodeObject } from '../../../src/api/verbs/encode.ts';
import { createKindRegistry } from '../../../src/resources/registry.ts';
import type { ResourceKind } from '../../../src/resources/types.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';
import type { Store } from '../../../src/store/types.ts';
import { configMap, failing, type Harness, names, pod, setUp } from './harness.ts';

async function withMaps(harness: Harness, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const labels = { parity: n % 2 === 0 ? 'even' : 'odd', n: String(n) };
    const name = `c${String(n).padStart(3, '0')}`;
    await harness.create('configmaps', 'default', configMap(name, {}, { labels }));
  }
}

function list(
  harness: Harness,
  options: ListOptions = {},
  namespace: string | undefined = 'default',
) {
  return harness.verbs.list(harness.context(), harness.target('configmaps', namespace), options);
}

/** Applied before this returns. */
function putLate(store: Store): void {
  const object = configMap('zz', {}, { namespace: 'default', labels: { parity: 'new' } });
  const kind = createKindRegistry().builtIn('ConfigMap') as unknown as ResourceKind;
  const put = {
    op: 'put',
    key: '/core/configmaps/default/zz',
    ...encodeObject(kind, object),
  } as const;
  void store.transact({ checks: [], operations: [put] });
}

t.test('list: pages together show every object once, at the revision of the first', async (t) => {
  const harness = await setUp();
  await withMaps(harness, 25);
  const first = await list(harness, { limit: 10 });
  t.equal(first.remainingItemCount, 15);
  await harness.verbs.delete(harness.context(), harness.target('configmaps', 'default', 'c020'));
  await harness.create('configmaps', 'default', configMap('c011b'));
  const seen = names(first);
  let token = first.continueToken;
  while (token !== undefined) {
    const page = await list(harness, { limit: 10, continueToken: token });
    t.equal(page.revision, first.revision);
    seen.push(...names(page));
    token = page.continueToken;
  }
  t.strictSame(
    seen,
    Array.from({ length: 25 }, (_, n) => `c${String(n).padStart(3, '0')}`),
  );
});

t.test('list: an exact last page carries no token', async (t) => {
  const harness = await setUp();
  await withMaps(harness, 10);
  const page = await list(harness, { limit: 10 });
  t.equal(page.items.length, 10);
  t.equal(page.continueToken, undefined);
  t.equal(page.remainingItemCount, undefined);
});

t.test('list: pages with a selector are full and complete', async (t) => {
  const harness = await setUp();
  await withMaps(harness, 31);
  const options = { limit: 4, labelSelector: 'parity=odd' };
  const seen: string[] = [];
  let token: string | undefined = '';
  while (token !== undefined) {
    const page = await list(harness, { ...options, continueToken: token });
    if (page.continueToken !== undefined) t.equal(page.items.length, 4);
    t.equal(page.remainingItemCount, undefined, 'unknown with a selector');
    seen.push(...names(page));
    token = page.continueToken;
  }
  t.equal(seen.length, 15);
  t.equal(new Set(seen).size, 15);
});

t.test('list: a page that takes several scans shows one revision', async (t) => {
  const real = createLocalStore();
  let scans = 0;
  const store: Store = {
    ...real,
    list: (prefix, options) => {
      // Another client's write lands between two scans.
      if (prefix.includes('configmaps') && ++scans === 2) putLate(real);
      return real.list(prefix, options);
    },
  };
  const harness = await setUp({}, { store });
  await withMaps(harness, 600);
  const page = await list(harness, { limit: 5, labelSelector: 'parity=new' });
  t.equal(scans, 2);
  t.strictSame(names(page), []);
  t.strictSame(names(await list(harness, { labelSelector: 'parity=new' })), ['zz']);
});

t.test('list: a token that has expired answers 410 with one to go on with', async (t) => {
  const store = createLocalStore({ historyEventsMax: 20 });
  const harness = await setUp({}, { store });
  await withMaps(harness, 10);
  const first = await list(harness, { limit: 5 });
  for (let n = 0; n < 60; n++) await harness.create('configmaps', 'default', configMap(`z${n}`));
  const token = first.continueToken ?? '';
  const status = await failing(list(harness, { limit: 5, continueToken: token }));
  t.match(status, { code: 410, reason: 'Expired' });
  const fresh = String(status.metadata['continue'] ?? '');
  const rest = await list(harness, { limit: 5, continueToken: fresh });
  t.strictSame(names(rest), ['c005', 'c006', 'c007', 'c008', 'c009']);
  t.ok(rest.revision > first.revision);
});

t.test('list: a token of another list, or none of ours, is a bad request', async (t) => {
  const harness = await setUp();
  await withMaps(harness, 3);
  const { continueToken = '' } = await list(harness, { limit: 1 });
  const { verbs, context, target } = harness;
  const elsewhere = verbs.list(context(), target('pods', 'default'), { limit: 1, continueToken });
  t.match(await failing(elsewhere), { code: 400 });
  t.match(await failing(list(harness, { limit: 1, continueToken: 'xyz' })), { code: 400 });
});

t.test('list: label selectors choose by value, set and presence', async (t) => {
  const harness = await setUp();
  await withMaps(harness, 6);
  const found = async (labelSelector: string) => names(await list(harness, { labelSelector }));
  t.strictSame(await found('n=3'), ['c003']);
  t.strictSame(await found('n in (1,2),parity!=odd'), ['c002']);
  t.strictSame(await found('!n'), []);
  t.equal((await found('parity')).length, 6);
  const status = await failing(list(harness, { labelSelector: 'a in b' }));
  t.match(status, { code: 400, reason: 'BadRequest', message: /unable to parse requirement/ });
});

t.test('list: field selectors choose by name and by what the kind declares', async (t) => {
  const harness = await setUp();
  const { create, verbs, context, target } = harness;
  await create('pods', 'default', pod('a'));
  await create('pods', 'default', pod('b', { spec: { nodeName: 'n1' } }));
  const found = async (fieldSelector: string) =>
    names(await verbs.list(context(), target('pods', 'default'), { fieldSelector }));
  t.strictSame(await found('metadata.name=a'), ['a']);
  t.strictSame(await found('metadata.name=a,spec.nodeName=n1'), []);
  t.strictSame(await found('spec.nodeName=n1'), ['b']);
  t.strictSame(await found('spec.nodeName='), ['a']);
  t.strictSame(await found('metadata.name!=a'), ['b']);
  const bad = verbs.list(context(), target('pods', 'default'), { fieldSelector: 'spec.x=1' });
  t.match(await failing(bad), { code: 400, message: 'field label not supported: spec.x' });
});

t.test('list: all namespaces are shown without one, and only one with it', async (t) => {
  const harness = await setUp();
  await harness.create('namespaces', undefined, { metadata: { name: 'other' } });
  await harness.create('configmaps', 'default', configMap('a'));
  await harness.create('configmaps', 'other', configMap('b'));
  t.strictSame(names(await list(harness, {}, 'other')), ['b']);
  const all = await harness.verbs.list(harness.context(), harness.target('configmaps'));
  t.strictSame(names(all).sort(), ['a', 'b']);
});

t.test('list: a revision is meant exactly, or as the oldest that will do', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  const then = String(harness.store.revision());
  await harness.create('configmaps', 'default', configMap('b'));
  const at = (resourceVersionMatch: string) =>
    list(harness, { resourceVersion: then, resourceVersionMatch });
  t.strictSame(names(await at('Exact')), ['a']);
  t.strictSame(names(await at('NotOlderThan')), ['a', 'b']);
  t.strictSame(names(await list(harness, { resourceVersion: then })), ['a', 'b']);
  t.strictSame(names(await list(harness, { resourceVersion: then, limit: 5 })), ['a']);
  t.match(await failing(list(harness, { resourceVersionMatch: 'Exact' })), { code: 422 });
  const zero = { resourceVersion: '0', resourceVersionMatch: 'Exact' };
  t.match(await failing(list(harness, zero)), { code: 422 });
});

t.test('list: a revision of the future is waited for, then 504', async (t) => {
  const harness = await setUp();
  const next = String(harness.store.revision() + 1);
  const waiting = list(harness, { resourceVersion: next });
  await harness.create('configmaps', 'default', configMap('a'));
  t.strictSame(names(await waiting), ['a']);
});
