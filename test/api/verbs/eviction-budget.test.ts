import t from 'tap';
import { encodeObject } from '../../../src/api/verbs/encode.ts';
import { allKinds, createKindRegistry } from '../../../src/resources/registry.ts';
import type { ResourceKind } from '../../../src/resources/types.ts';
import { failing, type Harness, type Loose, pod, setUp } from './harness.ts';

const present = createKindRegistry().byKind('PodDisruptionBudget');

/** Enough of a declaration to store budgets, until the real one is there. */
const budgetKind: ResourceKind = present ?? {
  ...(createKindRegistry().builtIn('ConfigMap') as unknown as ResourceKind),
  group: 'policy',
  version: 'v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
};
const kinds = present === undefined ? [...allKinds, budgetKind] : allKinds;

async function withBudget(allowed: number, observedGeneration = 1): Promise<Harness> {
  const harness = await setUp({}, { kinds });
  const budget: Loose = {
    metadata: { name: 'budget', namespace: 'default', generation: 1 },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } },
    status: {
      observedGeneration,
      disruptionsAllowed: allowed,
      currentHealthy: 2,
      desiredHealthy: 1,
    },
  };
  const key = '/policy/poddisruptionbudgets/default/budget';
  const put = { op: 'put', key, ...encodeObject(budgetKind, budget) } as const;
  await harness.store.transact({ checks: [], operations: [put] });
  for (const name of ['a', 'b']) await runningPod(harness, name);
  return harness;
}

async function runningPod({ create, update }: Harness, name: string): Promise<void> {
  const body = pod(name, { metadata: { labels: { app: 'web' } }, spec: { nodeName: 'n1' } });
  const made = await create('pods', 'default', body);
  await update('pods', { ...made, status: { ...made.status, phase: 'Running' } }, 'status');
}

function evict({ verbs, context, target }: Harness, name: string) {
  const where = target('pods', 'default', name, 'eviction');
  return verbs.create(context(), where, { metadata: { name } });
}

function budgetOf({ store }: Harness): Loose {
  return store.get('/policy/poddisruptionbudgets/default/budget')?.object;
}

t.test('eviction: spends the allowance of the budget with the pod', async (t) => {
  const harness = await withBudget(1);
  await evict(harness, 'a');
  t.equal(budgetOf(harness).status.disruptionsAllowed, 0);
  t.strictSame(Object.keys(budgetOf(harness).status.disruptedPods), ['a']);
  t.match(await failing(evict(harness, 'b')), {
    code: 429,
    reason: 'TooManyRequests',
    message: "Cannot evict pod as it would violate the pod's disruption budget.",
    details: {
      causes: [
        {
          reason: 'DisruptionBudget',
          message: 'The disruption budget budget needs 1 healthy pods and has 2 currently',
        },
      ],
    },
  });
  t.notOk((await harness.get('pods', 'default', 'b')).metadata.deletionTimestamp);
});

t.test('eviction: two at once cannot spend one allowance', async (t) => {
  const harness = await withBudget(1);
  const outcomes = await Promise.allSettled([evict(harness, 'a'), evict(harness, 'b')]);
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  t.equal(budgetOf(harness).status.disruptionsAllowed, 0);
});

t.test('eviction: a budget that nobody has looked at yet allows nothing', async (t) => {
  const harness = await withBudget(5, 0);
  const status = await failing(evict(harness, 'a'));
  t.match(status, { code: 429, details: { retryAfterSeconds: 10 } });
});

t.test('eviction: a pod that is going already costs nothing', async (t) => {
  const harness = await withBudget(0);
  const { verbs, context, target } = harness;
  await verbs.delete(context(), target('pods', 'default', 'a'));
  t.equal((await evict(harness, 'a')).code, 201);
});
