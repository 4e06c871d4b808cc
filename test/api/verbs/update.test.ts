import t from 'tap';
import { configMap, failing, parse, pod, setUp } from './harness.ts';

const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

function deployment(name: string) {
  const labels = { app: name };
  const spec = { containers: [{ name: 'main', image: 'x' }] };
  return {
    metadata: { name },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
}

t.test('update: a stale resourceVersion answers Conflict in the known words', async (t) => {
  const { create, update } = await setUp();
  const first = await create('configmaps', 'default', configMap('a', { n: '1' }));
  await update('configmaps', { ...first, data: { n: '2' } });
  const status = await failing(update('configmaps', { ...first, data: { n: '3' } }));
  t.match(status, {
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on configmaps "a": ${MODIFIED}`,
    details: { name: 'a', kind: 'configmaps' },
  });
});

t.test(
  'update: without a resourceVersion it replaces what is there, whoever writes meanwhile',
  async (t) => {
    const { create, update, get } = await setUp();
    await create('configmaps', 'default', configMap('a'));
    const bodies = Array.from({ length: 20 }, (_, n) => configMap('a', { n: String(n) }));
    await Promise.all(
      bodies.map((body) =>
        update('configmaps', { ...body, metadata: { name: 'a', namespace: 'default' } }),
      ),
    );
    t.match((await get('configmaps', 'default', 'a')).data, { n: /^\d+$/ });
  },
);

t.test('update: without effect it makes no revision, whatever the order of keys', async (t) => {
  const { create, update, store } = await setUp();
  const made = await create('configmaps', 'default', configMap('a', { x: '1', y: '2' }));
  const before = store.revision();
  const same = await update('configmaps', { ...made, data: { y: '2', x: '1' } });
  t.equal(same.metadata.resourceVersion, made.metadata.resourceVersion);
  t.equal(store.revision(), before);
});

t.test('update: what the server owns in metadata is kept', async (t) => {
  const { create, update } = await setUp();
  const made = await create('configmaps', 'default', configMap('a'));
  const bare = { metadata: { name: 'a', namespace: 'default' }, data: { n: '1' } };
  const updated = await update('configmaps', bare);
  t.equal(updated.metadata.uid, made.metadata.uid);
  t.equal(updated.metadata.creationTimestamp, made.metadata.creationTimestamp);
});

t.test('update: an immutable field of metadata is refused with its name', async (t) => {
  const { create, update } = await setUp();
  const made = await create('configmaps', 'default', configMap('a'));
  made.metadata.creationTimestamp = '2001-01-01T00:00:00Z';
  const status = await failing(update('configmaps', made));
  t.match(status, { code: 422, details: { causes: [{ field: 'metadata.creationTimestamp' }] } });
});

t.test('update: the uid of another object of that name answers Conflict', async (t) => {
  const { create, update } = await setUp();
  const made = await create('configmaps', 'default', configMap('a'));
  made.metadata.uid = 'other';
  delete made.metadata.resourceVersion;
  const status = await failing(update('configmaps', made));
  t.match(status, { code: 409, reason: 'Conflict', message: /Precondition failed: UID/ });
});

t.test(
  'update: an absent object is NotFound, a kind that may be created so is created',
  async (t) => {
    const { update, get } = await setUp();
    const body = configMap('a', {}, { namespace: 'default' });
    t.match(await failing(update('configmaps', body)), { code: 404 });
    const lease = { metadata: { name: 'l', namespace: 'default' }, spec: { holderIdentity: 'me' } };
    await update('coordination.k8s.io/leases', lease);
    t.equal((await get('coordination.k8s.io/leases', 'default', 'l')).spec.holderIdentity, 'me');
  },
);

t.test('update: the main resource leaves status alone, status leaves the spec alone', async (t) => {
  const { create, update, get } = await setUp();
  const made = await create('apps/deployments', 'default', deployment('web'));
  const changed = { ...made, spec: { ...made.spec, replicas: 3 }, status: { replicas: 9 } };
  const main = await update('apps/deployments', changed);
  t.equal(main.spec.replicas, 3);
  t.not(main.status?.replicas, 9);
  const seen = { ...main, spec: { ...main.spec, replicas: 7 }, status: { replicas: 2 } };
  seen.metadata = { ...seen.metadata, annotations: { seen: 'yes' }, labels: { no: 'no' } };
  await update('apps/deployments', seen, 'status');
  const after = await get('apps/deployments', 'default', 'web');
  t.equal(after.spec.replicas, 3);
  t.equal(after.status.replicas, 2);
  t.strictSame(after.metadata.annotations, { seen: 'yes' });
  t.notOk(after.metadata.labels?.no);
});

t.test('update: generation counts changes of the spec only', async (t) => {
  const { create, update } = await setUp();
  const made = await create('apps/deployments', 'default', deployment('web'));
  t.equal(made.metadata.generation, 1);
  const labelled = await update('apps/deployments', {
    ...made,
    metadata: { ...made.metadata, labels: { a: 'b' } },
  });
  t.equal(labelled.metadata.generation, 1);
  const scaled = await update('apps/deployments', {
    ...labelled,
    spec: { ...labelled.spec, replicas: 5 },
  });
  t.equal(scaled.metadata.generation, 2);
  const status = await update('apps/deployments', { ...scaled, status: { replicas: 5 } }, 'status');
  t.equal(status.metadata.generation, 2);
});

t.test('update: taking the last finalizer off a deleting object removes it', async (t) => {
  const { create, update, get, verbs, context, target } = await setUp();
  const body = configMap('a', {}, { finalizers: ['x.io/a', 'x.io/b'] });
  await create('configmaps', 'default', body);
  await verbs.delete(context(), target('configmaps', 'default', 'a'));
  const marked = await get('configmaps', 'default', 'a');
  t.ok(marked.metadata.deletionTimestamp);
  marked.metadata.finalizers = ['x.io/b'];
  const one = await update('configmaps', marked);
  const more = { ...one, metadata: { ...one.metadata, finalizers: ['x.io/b', 'x.io/c'] } };
  t.match(await failing(update('configmaps', more)), { code: 422 });
  delete one.metadata.finalizers;
  await update('configmaps', one);
  t.match(await failing(get('configmaps', 'default', 'a')), { code: 404 });
});

t.test('update: a pod keeps what admission and defaults gave it', async (t) => {
  const { create, update } = await setUp();
  const made = await create('pods', 'default', pod('a'));
  const again = await update('pods', {
    ...made,
    metadata: { ...made.metadata, labels: { x: 'y' } },
  });
  t.strictSame(again.spec, made.spec);
  t.strictSame(again.status, made.status);
});

t.test('update: an object in an older version is answered in that version', async (t) => {
  const { create, verbs, context, target } = await setUp();
  await create('apps/deployments', 'default', deployment('web'));
  const where = target('extensions/v1beta1/deployments', 'default', 'web');
  const old = parse(await verbs.get(context(), where));
  t.equal(old.apiVersion, 'extensions/v1beta1');
  old.spec.replicas = 4;
  const updated = parse(await verbs.update(context(), where, old));
  t.equal(updated.apiVersion, 'extensions/v1beta1');
  t.equal(updated.spec.replicas, 4);
});
