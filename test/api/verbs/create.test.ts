import t from 'tap';
import { createLocalStore } from '../../../src/store/local-store.ts';
import type { Store } from '../../../src/store/types.ts';
import { configMap, failing, NOW_ISO, parse, pod, setUp } from './harness.ts';

t.test('create: the server sets uid, creation time, namespace and resourceVersion', async (t) => {
  const { create, store } = await setUp();
  const made = await create('configmaps', 'default', configMap('a', { key: 'value' }));
  t.match(made.metadata.uid, /^[0-9a-f]{8}-/);
  t.equal(made.metadata.creationTimestamp, NOW_ISO);
  t.equal(made.metadata.namespace, 'default');
  t.equal(made.metadata.resourceVersion, String(store.revision()));
  t.equal(made.kind, 'ConfigMap');
  t.equal(made.apiVersion, 'v1');
  t.strictSame(made.data, { key: 'value' });
});

t.test('create: the answer is byte for byte what a get shows', async (t) => {
  const { verbs, context, target } = await setUp();
  const body = pod('a', { metadata: { annotations: { note: '"resourceVersion":"" \\ é ✓' } } });
  const made = await verbs.create(context(), target('pods', 'default'), body);
  const got = await verbs.get(context(), target('pods', 'default', 'a'));
  t.equal(made.bytes.toString(), got.bytes.toString());
  t.equal(made.code, 201);
});

t.test('create: no text of the user is taken for the place of the resourceVersion', async (t) => {
  const { create, store } = await setUp();
  const tricky = {
    '"metadata":{"resourceVersion":""': '{"resourceVersion":""}',
    resourceVersion: '',
  };
  const made = await create('configmaps', 'default', configMap('a', {}, { annotations: {} }));
  t.equal(made.metadata.resourceVersion, String(store.revision()));
  const other = { ...configMap('b'), binaryData: {}, data: { resourceVersion: '' } };
  other.metadata.labels = { resourceVersion: '' };
  other.data = { ...other.data, a: JSON.stringify(tricky) };
  const stored = await create('configmaps', 'default', other);
  t.equal(stored.metadata.resourceVersion, String(store.revision()));
  t.strictSame(stored.data, other.data);
});

t.test('create: a name that is taken answers AlreadyExists', async (t) => {
  const { create } = await setUp();
  await create('configmaps', 'default', configMap('a'));
  const status = await failing(create('configmaps', 'default', configMap('a')));
  t.match(status, {
    code: 409,
    reason: 'AlreadyExists',
    message: 'configmaps "a" already exists',
    details: { name: 'a', kind: 'configmaps' },
  });
});

t.test('create: generateName gives a fresh name each time', async (t) => {
  const { create } = await setUp();
  const body = configMap('', {}, { name: undefined, generateName: 'set-' });
  const seen = new Set<string>();
  for (let count = 0; count < 20; count++) {
    const { metadata } = await create('configmaps', 'default', body);
    t.match(metadata.name, /^set-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    seen.add(metadata.name);
  }
  t.equal(seen.size, 20);
});

t.test('create: without a name the answer is Invalid, with the field', async (t) => {
  const { create } = await setUp();
  const status = await failing(create('configmaps', 'default', { metadata: {} }));
  t.match(status, { code: 422, reason: 'Invalid' });
  t.match(status.message, 'metadata.name: Required value: name or generateName is required');
});

t.test('create: in a missing namespace the answer names the namespace', async (t) => {
  const { create } = await setUp();
  const status = await failing(create('configmaps', 'nowhere', configMap('a')));
  t.match(status, { code: 404, reason: 'NotFound', message: 'namespaces "nowhere" not found' });
});

t.test('create: in a terminating namespace the answer is Forbidden with the cause', async (t) => {
  const { create, verbs, context, target } = await setUp();
  await create('namespaces', undefined, { metadata: { name: 'going' } });
  await verbs.delete(context(), target('namespaces', undefined, 'going'));
  const status = await failing(create('configmaps', 'going', configMap('a')));
  t.match(status, {
    code: 403,
    reason: 'Forbidden',
    message:
      'configmaps "a" is forbidden: unable to create new content in namespace going because it is being terminated',
    details: { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }] },
  });
});

t.test('create: one that races with the deletion of its namespace is refused', async (t) => {
  const real = createLocalStore();
  let before: (() => Promise<unknown>) | undefined;
  const store: Store = {
    ...real,
    transact: async (transaction, options) => {
      const first = before;
      before = undefined;
      await first?.();
      return real.transact(transaction, options);
    },
  };
  const { create, verbs, context, target } = await setUp({}, { store });
  await create('namespaces', undefined, { metadata: { name: 'going' } });
  before = () => verbs.delete(context(), target('namespaces', undefined, 'going'));
  const status = await failing(create('configmaps', 'going', configMap('a')));
  t.match(status, { code: 403, details: { causes: [{ reason: 'NamespaceTerminating' }] } });
  t.equal(store.count('/core/configmaps/going/'), 0);
});

t.test('create: a body for another namespace, kind or version is a bad request', async (t) => {
  const { create } = await setUp();
  const elsewhere = configMap('a', {}, { namespace: 'other' });
  t.match(await failing(create('configmaps', 'default', elsewhere)), { code: 400 });
  const secret = { ...configMap('a'), kind: 'Secret' };
  t.match(await failing(create('configmaps', 'default', secret)), { code: 400 });
  const version = { ...configMap('a'), apiVersion: 'v2' };
  t.match(await failing(create('configmaps', 'default', version)), {
    code: 400,
    message: 'the API version in the data (v2) does not match the expected API version (v1)',
  });
});

t.test('create: a resourceVersion in the body is refused', async (t) => {
  const { create } = await setUp();
  const body = configMap('a', {}, { resourceVersion: '7' });
  t.match(await failing(create('configmaps', 'default', body)), {
    message: 'resourceVersion should not be set on objects to be created',
  });
});

t.test('create: a value of a wrong type is a bad request that names the field', async (t) => {
  const { create } = await setUp();
  const status = await failing(create('pods', 'default', pod('a', { spec: { containers: 'x' } })));
  t.match(status, { code: 400, reason: 'BadRequest' });
  t.match(status.message, /cannot unmarshal string into Go struct field PodSpec\.spec\.containers/);
});

t.test('create: unknown fields are dropped, warned of, or refused, as asked', async (t) => {
  const { verbs, context, target } = await setUp();
  const body = () => ({ ...configMap('a'), spec: { x: 1 }, metadata: { name: 'a', lables: {} } });
  const strict = context({ fieldValidation: 'Strict' });
  const status = await failing(verbs.create(strict, target('configmaps', 'default'), body()));
  t.match(status, { code: 400 });
  t.match(
    status.message,
    /cannot be handled as a ConfigMap: strict decoding error: .*unknown field "spec"/,
  );
  const warned = context({ dryRun: true });
  await verbs.create(warned, target('configmaps', 'default'), body());
  t.strictSame([...warned.warnings].sort(), [
    'unknown field "metadata.lables"',
    'unknown field "spec"',
  ]);
  const silent = context({ fieldValidation: 'Ignore' });
  const made = parse(await verbs.create(silent, target('configmaps', 'default'), body()));
  t.strictSame(silent.warnings, []);
  t.notOk('spec' in made);
});

t.test('create: a dry run answers as the real one and writes nothing', async (t) => {
  const { verbs, context, target, store } = await setUp();
  const before = store.revision();
  const dry = context({ dryRun: true });
  const made = parse(await verbs.create(dry, target('pods', 'default'), pod('a')));
  t.equal(made.spec.serviceAccountName, 'default');
  t.notOk('resourceVersion' in made.metadata);
  t.equal(store.revision(), before);
});

t.test('create: validation failures are causes of one Invalid', async (t) => {
  const { create } = await setUp();
  const body = pod('a', { spec: { containers: [{ name: 'Bad_Name' }] } });
  const status = await failing(create('pods', 'default', body));
  t.match(status, { code: 422, reason: 'Invalid', details: { name: 'a', kind: 'Pod' } });
  t.match(status.message, /^Pod "a" is invalid: \[spec\.containers\[0\]/);
  t.ok((status.details?.causes ?? []).length >= 2);
});

t.test('create: a manifest of 2015 is stored in the version of today', async (t) => {
  const { create, get } = await setUp();
  const template = {
    metadata: { labels: { app: 'web' } },
    spec: { containers: [{ name: 'web', image: 'web:1' }] },
  };
  const made = await create('extensions/v1beta1/deployments', 'default', {
    apiVersion: 'extensions/v1beta1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: { replicas: 2, template },
  });
  t.equal(made.apiVersion, 'extensions/v1beta1', 'the answer is in the version spoken');
  t.ok(made.metadata.resourceVersion);
  const stored = await get('apps/deployments', 'default', 'web');
  t.equal(stored.apiVersion, 'apps/v1');
  t.strictSame(stored.spec.selector, { matchLabels: { app: 'web' } });
  t.equal(stored.metadata.resourceVersion, made.metadata.resourceVersion);
});

t.test('create: a write of an ended leadership is refused, and says so', async (t) => {
  const { verbs, context, target, store, get } = await setUp();
  await store.claimFence('scheduler', 2);
  const stale = context({ fence: { name: 'scheduler', term: 1 } });
  const status = await failing(
    verbs.create(stale, target('configmaps', 'default'), configMap('a')),
  );
  t.match(status, { code: 409, reason: 'Fenced' });
  t.match(await failing(get('configmaps', 'default', 'a')), { code: 404 });
  const live = context({ fence: { name: 'scheduler', term: 2 } });
  await verbs.create(live, target('configmaps', 'default'), configMap('a'));
});
