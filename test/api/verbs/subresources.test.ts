import t from 'tap';
import type { TokenRequest } from '../../../src/api/types.ts';
import { failing, type Harness, parse, pod, setUp } from './harness.ts';

async function withDeployment(harness: Harness) {
  const labels = { app: 'web' };
  const spec = { containers: [{ name: 'main', image: 'x' }] };
  return harness.create('apps/deployments', 'default', {
    metadata: { name: 'web' },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec },
    },
  });
}

function bind(harness: Harness, name: string, node: string, metadata = {}) {
  const { verbs, context, target } = harness;
  const body = { metadata: { name, ...metadata }, target: { kind: 'Node', name: node } };
  return verbs.create(context(), target('pods', 'default', name, 'binding'), body);
}

t.test('scale: shows replicas and selector, and changes replicas', async (t) => {
  const harness = await setUp();
  const made = await withDeployment(harness);
  const { verbs, context, target, get } = harness;
  const where = target('apps/deployments', 'default', 'web', 'scale');
  const scale = parse(await verbs.get(context(), where));
  t.match(scale, {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name: 'web', namespace: 'default', uid: made.metadata.uid },
    spec: { replicas: 2 },
    status: { selector: 'app=web' },
  });
  scale.spec.replicas = 5;
  t.equal(parse(await verbs.update(context(), where, scale)).spec.replicas, 5);
  const after = await get('apps/deployments', 'default', 'web');
  t.equal(after.spec.replicas, 5);
  t.equal(after.metadata.generation, 2);
  t.match(await failing(verbs.update(context(), where, scale)), { code: 409, reason: 'Conflict' });
});

t.test('scale: a merge patch sets replicas; a negative number is Invalid', async (t) => {
  const harness = await setUp();
  await withDeployment(harness);
  const { verbs, context, target, get } = harness;
  const where = target('apps/deployments', 'default', 'web', 'scale');
  await verbs.patch(context(), where, { type: 'merge', body: { spec: { replicas: 0 } } });
  t.equal((await get('apps/deployments', 'default', 'web')).spec.replicas, 0);
  const negative = { type: 'merge', body: { spec: { replicas: -1 } } } as const;
  t.match(await failing(verbs.patch(context(), where, negative)), { code: 422 });
});

t.test('binding: assigns a pod once', async (t) => {
  const harness = await setUp();
  await harness.create('pods', 'default', pod('a'));
  const answer = await bind(harness, 'a', 'n1', { annotations: { why: 'room' } });
  t.equal(answer.code, 201);
  t.match(parse(answer), { kind: 'Status', status: 'Success' });
  const bound = await harness.get('pods', 'default', 'a');
  t.equal(bound.spec.nodeName, 'n1');
  t.equal(bound.metadata.annotations.why, 'room');
  t.match(bound.status.conditions, [{ type: 'PodScheduled', status: 'True' }]);
  t.match(await failing(bind(harness, 'a', 'n2')), {
    code: 409,
    message: 'Operation cannot be fulfilled on pods "a": pod a is already assigned to node "n1"',
  });
});

t.test('binding: of two at once one wins', async (t) => {
  const harness = await setUp();
  await harness.create('pods', 'default', pod('a'));
  const outcomes = await Promise.allSettled(
    ['n1', 'n2', 'n3'].map((node) => bind(harness, 'a', node)),
  );
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
});

t.test(
  'binding: a missing pod is NotFound, another uid is Conflict, no target is Invalid',
  async (t) => {
    const harness = await setUp();
    t.match(await failing(bind(harness, 'a', 'n1')), { code: 404 });
    await harness.create('pods', 'default', pod('a'));
    t.match(await failing(bind(harness, 'a', 'n1', { uid: 'x' })), { code: 409 });
    t.match(await failing(bind(harness, 'a', '')), { code: 422 });
  },
);

t.test('eviction: deletes the pod by its grace period', async (t) => {
  const harness = await setUp();
  const { create, get, verbs, context, target } = harness;
  await create('pods', 'default', pod('a'));
  await bind(harness, 'a', 'n1');
  const where = target('pods', 'default', 'a', 'eviction');
  const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'a' } };
  t.equal((await verbs.create(context(), where, body)).code, 201);
  t.ok((await get('pods', 'default', 'a')).metadata.deletionTimestamp);
});

t.test('token: is issued for the account, its uid and the audience asked for', async (t) => {
  const asked: TokenRequest[] = [];
  const tokens = {
    issue: async (request: TokenRequest) => {
      asked.push(request);
      return { token: 'secret', expirationTimestamp: '2020-01-01T01:00:00Z', audiences: ['api'] };
    },
  };
  const harness = await setUp({}, { tokens });
  const { verbs, context, target, get, create } = harness;
  const account = await get('serviceaccounts', 'default', 'default');
  const { metadata } = await create('pods', 'default', pod('a'));
  const where = target('serviceaccounts', 'default', 'default', 'token');
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'a', uid: metadata.uid };
  const spec = { audiences: ['vault'], expirationSeconds: 600, boundObjectRef };
  const answer = parse(await verbs.create(context(), where, { spec }));
  t.match(answer, { kind: 'TokenRequest', status: { token: 'secret' } });
  t.strictSame(asked, [
    {
      namespace: 'default',
      serviceAccount: 'default',
      serviceAccountUid: account.metadata.uid,
      audiences: ['vault'],
      expirationSeconds: 600,
      boundObject: { kind: 'Pod', name: 'a', uid: metadata.uid },
    },
  ]);
  const short = verbs.create(context(), where, { spec: { expirationSeconds: 5 } });
  t.match(await failing(short), { code: 422 });
});

t.test('subresources: one that a kind does not have is MethodNotAllowed', async (t) => {
  const { verbs, context, target, create } = await setUp();
  await create('pods', 'default', pod('a'));
  const where = target('pods', 'default', 'a', 'scale');
  t.match(await failing(verbs.get(context(), where)), { code: 405 });
  t.match(await failing(verbs.patch(context(), where, { type: 'merge', body: {} })), { code: 405 });
});
