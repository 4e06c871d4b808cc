import t from 'tap';
import type { DeleteOptions } from '../../../src/api/types.ts';
import { configMap, failing, type Harness, NOW_ISO, names, parse, pod, setUp } from './harness.ts';

async function scheduledPod(harness: Harness, name: string, seconds = 30) {
  const { create, verbs, context, target } = harness;
  const spec = { terminationGracePeriodSeconds: seconds };
  await create('pods', 'default', pod(name, { spec }));
  const binding = { metadata: { name }, target: { kind: 'Node', name: 'n1' } };
  await verbs.create(context(), target('pods', 'default', name, 'binding'), binding);
}

function removal(harness: Harness, resource: string, name: string, options: DeleteOptions = {}) {
  const { verbs, context, target } = harness;
  const namespace = resource === 'namespaces' ? undefined : 'default';
  return verbs.delete(context(), target(resource, namespace, name), options);
}

t.test('delete: an object without obstacles goes at once, answered with Success', async (t) => {
  const harness = await setUp();
  const made = await harness.create('configmaps', 'default', configMap('a'));
  const status = parse(await removal(harness, 'configmaps', 'a'));
  t.match(status, {
    kind: 'Status',
    status: 'Success',
    details: { name: 'a', kind: 'configmaps', uid: made.metadata.uid },
  });
  t.match(await failing(harness.get('configmaps', 'default', 'a')), { code: 404 });
  t.match(await failing(removal(harness, 'configmaps', 'a')), { code: 404, reason: 'NotFound' });
});

t.test(
  'delete: a precondition that does not hold answers Conflict and deletes nothing',
  async (t) => {
    const harness = await setUp();
    const { metadata } = await harness.create('configmaps', 'default', configMap('a'));
    const preconditions = [{ uid: 'other' }, { resourceVersion: '1' }];
    for (const one of preconditions) {
      const status = await failing(removal(harness, 'configmaps', 'a', { preconditions: one }));
      t.match(status, { code: 409, reason: 'Conflict', message: /Precondition failed/ });
    }
    const { uid, resourceVersion } = metadata;
    await removal(harness, 'configmaps', 'a', { preconditions: { uid, resourceVersion } });
  },
);

t.test('delete: a pod on a node gets its grace period', async (t) => {
  const harness = await setUp();
  await scheduledPod(harness, 'a', 30);
  const answer = parse(await removal(harness, 'pods', 'a'));
  t.equal(answer.kind, 'Pod');
  t.equal(answer.metadata.deletionTimestamp, '2020-01-01T00:00:30Z');
  t.equal(answer.metadata.deletionGracePeriodSeconds, 30);
  t.ok(await harness.get('pods', 'default', 'a'));
});

t.test('delete: a second delete may shorten the grace period and not lengthen it', async (t) => {
  const harness = await setUp();
  await scheduledPod(harness, 'a', 30);
  await removal(harness, 'pods', 'a');
  const longer = parse(await removal(harness, 'pods', 'a', { gracePeriodSeconds: 60 }));
  t.equal(longer.metadata.deletionGracePeriodSeconds, 30);
  const shorter = parse(await removal(harness, 'pods', 'a', { gracePeriodSeconds: 5 }));
  t.equal(shorter.metadata.deletionGracePeriodSeconds, 5);
  t.equal(shorter.metadata.deletionTimestamp, '2020-01-01T00:00:05Z');
  await removal(harness, 'pods', 'a', { gracePeriodSeconds: 0 });
  t.match(await failing(harness.get('pods', 'default', 'a')), { code: 404 });
});

t.test('delete: a pod without a node, or with grace 0, goes at once', async (t) => {
  const harness = await setUp();
  await harness.create('pods', 'default', pod('a'));
  await removal(harness, 'pods', 'a');
  t.match(await failing(harness.get('pods', 'default', 'a')), { code: 404 });
  await scheduledPod(harness, 'b');
  await removal(harness, 'pods', 'b', { gracePeriodSeconds: 0 });
  t.match(await failing(harness.get('pods', 'default', 'b')), { code: 404 });
});

t.test('delete: finalizers keep the object, marked', async (t) => {
  const harness = await setUp();
  const body = configMap('a', {}, { finalizers: ['x.io/wait'] });
  await harness.create('configmaps', 'default', body);
  const answer = parse(await removal(harness, 'configmaps', 'a'));
  t.equal(answer.metadata.deletionTimestamp, NOW_ISO);
  t.equal(answer.metadata.deletionGracePeriodSeconds, 0);
  const before = harness.store.revision();
  await removal(harness, 'configmaps', 'a');
  t.equal(harness.store.revision(), before, 'a second delete changes nothing');
});

t.test('delete: propagation is asked for by finalizers', async (t) => {
  const harness = await setUp();
  const cases = [
    [{ propagationPolicy: 'Foreground' }, ['foregroundDeletion']],
    [{ propagationPolicy: 'Orphan' }, ['orphan']],
    [{ orphanDependents: true }, ['orphan']],
  ] as const;
  for (const [index, [options, finalizers]] of cases.entries()) {
    await harness.create('configmaps', 'default', configMap(`a${index}`));
    const answer = parse(await removal(harness, 'configmaps', `a${index}`, options));
    t.strictSame(answer.metadata.finalizers, finalizers);
    t.ok(answer.metadata.deletionTimestamp);
  }
  await harness.create('configmaps', 'default', configMap('b'));
  await removal(harness, 'configmaps', 'b', { propagationPolicy: 'Background' });
  t.match(await failing(harness.get('configmaps', 'default', 'b')), { code: 404 });
});

t.test('delete: contradicting options are Invalid', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  const options = { propagationPolicy: 'Orphan', orphanDependents: true } as const;
  t.match(await failing(removal(harness, 'configmaps', 'a', options)), { code: 422 });
});

t.test('delete: a namespace turns Terminating and goes when it is finalized', async (t) => {
  const harness = await setUp();
  const { create, get, verbs, context, target } = harness;
  await create('namespaces', undefined, { metadata: { name: 'going' } });
  const marked = parse(await removal(harness, 'namespaces', 'going'));
  t.equal(marked.status.phase, 'Terminating');
  t.strictSame(marked.spec.finalizers, ['kubernetes']);
  const body = { ...marked, spec: { finalizers: [] } };
  await verbs.update(context(), target('namespaces', undefined, 'going', 'finalize'), body);
  t.match(await failing(get('namespaces', undefined, 'going')), { code: 404 });
});

t.test('delete: the namespaces that the cluster needs may not be deleted', async (t) => {
  const harness = await setUp();
  const status = await failing(removal(harness, 'namespaces', 'default'));
  t.match(status, { code: 403, reason: 'Forbidden', message: /this namespace may not be deleted/ });
});

t.test('delete collection: what the selector wants goes, the rest stays', async (t) => {
  const { create, verbs, context, target } = await setUp();
  for (let n = 0; n < 40; n++) {
    const labels = { half: n % 2 === 0 ? 'even' : 'odd' };
    await create('configmaps', 'default', configMap(`c${n}`, {}, { labels }));
  }
  const where = target('configmaps', 'default');
  const gone = await verbs.deleteCollection(context(), where, {}, { labelSelector: 'half=even' });
  t.equal(gone.items.length, 20);
  const rest = names(await verbs.list(context(), where));
  t.equal(rest.length, 20);
  t.ok(rest.every((name) => Number(name.slice(1)) % 2 === 1));
});
