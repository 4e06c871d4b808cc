import t, { type Test } from 'tap';
import { podCondition } from '../../../../agents/cluster/pods.ts';
import { FakeNodes, node, pod, podAsking, TestCluster } from '../support.ts';

async function start(t: Test, ...nodes: ReturnType<typeof node>[]) {
  const cluster = await TestCluster.start();
  const fakes = new FakeNodes(cluster);
  t.teardown(async () => {
    fakes.stop();
    await cluster.stop();
  });
  await fakes.register(...nodes);
  await cluster.lead('scheduler');
  return { cluster, fakes };
}

const bound = (cluster: TestCluster) => cluster.list('Pod').filter(({ spec }) => spec.nodeName);

t.test('scheduler: thirty pods are bound in one go, spread evenly', async (t) => {
  const { cluster } = await start(t, node('a'), node('b'), node('c'));
  for (let index = 0; index < 30; index++) await cluster.client.create('Pod', pod(`p${index}`));
  await cluster.until('all bound', () => bound(cluster).length === 30, 100);
  const counts = new Map<string, number>();
  for (const { spec } of bound(cluster)) {
    counts.set(spec.nodeName ?? '', (counts.get(spec.nodeName ?? '') ?? 0) + 1);
  }
  t.same([...counts.values()], [10, 10, 10]);
  await cluster.pass(100);
  const messages = cluster.list('Event').map(({ message }) => message);
  t.ok(
    messages.includes(`Successfully assigned default/p0 to ${bound(cluster)[0]?.spec.nodeName}`),
  );
});

t.test('scheduler: pods of one batch do not share the same room', async (t) => {
  const { cluster } = await start(t, node('a', { cpu: '2' }), node('b', { cpu: '2' }));
  for (let index = 0; index < 6; index++) {
    await cluster.client.create('Pod', podAsking(`p${index}`, { cpu: '900m' }));
  }
  await cluster.until('four are bound', () => bound(cluster).length === 4);
  await cluster.pass(1000);
  t.equal(bound(cluster).length, 4);
});

t.test(
  'scheduler: a refused pod says why, waits without noise, and goes when there is room',
  async (t) => {
    const { cluster } = await start(t, node('a', { cpu: '2' }));
    await cluster.client.create('Pod', podAsking('first', { cpu: '2' }));
    await cluster.until('the first is bound', () => bound(cluster).length === 1);
    await cluster.client.create('Pod', podAsking('second', { cpu: '1' }));
    const second = () =>
      cluster.client.informer('Pod').get({ namespace: 'default', name: 'second' });
    await cluster.until('it is refused', () => {
      const current = second();
      return current !== undefined && podCondition(current, 'PodScheduled')?.status === 'False';
    });
    const refused = second();
    t.match(refused && podCondition(refused, 'PodScheduled'), {
      reason: 'Unschedulable',
      message:
        '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.',
    });
    await cluster.pass(1000);
    const revision = cluster.store.revision();
    await cluster.pass(60_000);
    t.equal(cluster.store.revision(), revision, 'nothing is written while nothing changes');
    await cluster.client.delete('Pod', { namespace: 'default', name: 'first' });
    await cluster.until('it is bound', () => Boolean(second()?.spec.nodeName), 1000);
  },
);

t.test('scheduler: a node that comes takes the waiting pods', async (t) => {
  const { cluster, fakes } = await start(t);
  for (let index = 0; index < 5; index++) await cluster.client.create('Pod', pod(`p${index}`));
  await cluster.pass(100);
  t.equal(bound(cluster).length, 0);
  await fakes.register(node('a'));
  await cluster.until('all bound', () => bound(cluster).length === 5, 1000);
});

t.test('scheduler: a pod of higher priority takes the place of a lesser one', async (t) => {
  const { cluster, fakes } = await start(t, node('a', { cpu: '2' }));
  fakes.stopMs = 2000;
  await cluster.client.create('Pod', podAsking('lesser', { cpu: '2' }));
  await cluster.until('the lesser is bound', () => bound(cluster).length === 1);
  const important = podAsking(
    'important',
    { cpu: '2' },
    { priorityClassName: 'system-cluster-critical' },
  );
  await cluster.client.create('Pod', important);
  await cluster.until('the important pod is bound', () => {
    const current = cluster.client.informer('Pod').get({ namespace: 'default', name: 'important' });
    return Boolean(current?.spec.nodeName);
  });
  t.same(
    cluster.list('Pod').map(({ metadata }) => metadata.name),
    ['important'],
  );
});

t.test('scheduler: room that was made for a pod is not taken by a lesser one', async (t) => {
  const { cluster, fakes } = await start(t, node('a', { cpu: '2' }));
  fakes.stopMs = 2000;
  await cluster.client.create('Pod', podAsking('first', { cpu: '1' }));
  await cluster.client.create('Pod', podAsking('second', { cpu: '1' }));
  await cluster.until('both are bound', () => bound(cluster).length === 2);
  const priorityClassName = 'system-cluster-critical';
  await cluster.client.create('Pod', podAsking('important', { cpu: '2' }, { priorityClassName }));
  await cluster.until('they make way', () => {
    return bound(cluster).every(({ metadata }) => metadata.deletionTimestamp !== undefined);
  });
  await cluster.client.create('Pod', podAsking('late', { cpu: '1' }));
  await cluster.client.delete(
    'Pod',
    { namespace: 'default', name: 'first' },
    { gracePeriodSeconds: 0 },
  );
  await cluster.pass(500);
  t.same(
    bound(cluster).map(({ metadata }) => metadata.name),
    ['second'],
    'the free half stays free',
  );
  await cluster.until('the important pod is bound', () => {
    return bound(cluster).some(({ metadata }) => metadata.name === 'important');
  });
});

t.test('scheduler: of two leaders only the newer binds, and no pod twice', async (t) => {
  const { cluster } = await start(t, node('a'), node('b'), node('c'));
  await cluster.lead('scheduler');
  const seen = new Map<string, string>();
  let moved = 0;
  cluster.client.informer('Pod').subscribe(({ object }) => {
    const { nodeName } = object.spec;
    if (!nodeName) return;
    const before = seen.get(object.metadata.name);
    if (before !== undefined && before !== nodeName) moved++;
    seen.set(object.metadata.name, nodeName);
  });
  for (let index = 0; index < 20; index++) await cluster.client.create('Pod', pod(`p${index}`));
  await cluster.until('all bound', () => bound(cluster).length === 20);
  t.equal(moved, 0);
});

t.test('scheduler: gated pods and pods of other schedulers are left alone', async (t) => {
  const { cluster } = await start(t, node('a'));
  await cluster.client.create('Pod', pod('gated', { schedulingGates: [{ name: 'wait' }] }));
  await cluster.client.create('Pod', pod('foreign', { schedulerName: 'other' }));
  await cluster.client.create('Pod', pod('ours'));
  await cluster.until('ours is bound', () => bound(cluster).length === 1);
  await cluster.pass(200);
  t.same(
    bound(cluster).map(({ metadata }) => metadata.name),
    ['ours'],
  );
});
