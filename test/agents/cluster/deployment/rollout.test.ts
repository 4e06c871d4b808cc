import t, { type Test } from 'tap';
import type { Deployment, ReplicaSet } from '../../../../agents/cluster/kinds.ts';
import { isConflict } from '../../../../src/client/errors.ts';
import { deployment } from '../objects.ts';
import { FakeNodes, node, TestCluster } from '../support.ts';

const KEY = { namespace: 'default', name: 'web' };

async function start(t: Test, ...agents: string[]) {
  const cluster = await TestCluster.start();
  const nodes = new FakeNodes(cluster);
  t.teardown(async () => {
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(node('n1'), node('n2'), node('n3'));
  await cluster.lead('scheduler', 'replicaset', 'deployment', ...agents);
  return { cluster, nodes };
}

async function change(cluster: TestCluster, edit: (deployment: Deployment) => void): Promise<void> {
  for (;;) {
    const copy = structuredClone(await cluster.client.get('Deployment', KEY));
    edit(copy);
    try {
      await cluster.client.update('Deployment', copy);
      return;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

function setImage(image: string) {
  return ({ spec }: Deployment) => {
    const [container] = spec.template.spec.containers;
    if (container) container.image = image;
  };
}

/** As `kubectl rollout status` decides that a rollout has ended. */
function isRolledOut(cluster: TestCluster): boolean {
  const web = cluster.client.informer('Deployment').get(KEY);
  if (!web) return false;
  const { metadata, spec, status = {} } = web;
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status;
  return (
    (metadata.generation ?? 0) <= (status.observedGeneration ?? 0) &&
    updatedReplicas >= (spec.replicas ?? 1) &&
    replicas <= updatedReplicas &&
    availableReplicas >= updatedReplicas
  );
}

function sizes(cluster: TestCluster): Record<string, number> {
  const entries = cluster.list('ReplicaSet').map((rs: ReplicaSet) => {
    return [rs.spec.template.spec.containers[0]?.image ?? '', rs.spec.replicas ?? 1] as const;
  });
  return Object.fromEntries(entries);
}

t.test('deployment: becomes running pods, spread over the nodes', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('Deployment', deployment('web', { replicas: 6 }));
  await cluster.until('rolled out', () => isRolledOut(cluster));
  const perNode = new Map<string, number>();
  for (const { spec } of cluster.list('Pod')) {
    perNode.set(spec.nodeName ?? '', (perNode.get(spec.nodeName ?? '') ?? 0) + 1);
  }
  t.same([...perNode.values()], [2, 2, 2]);
  const [web] = cluster.list('Deployment');
  t.match(web?.metadata.annotations, { 'deployment.kubernetes.io/revision': '1' });
  t.match(web?.status, {
    observedGeneration: 1,
    replicas: 6,
    updatedReplicas: 6,
    readyReplicas: 6,
    availableReplicas: 6,
    conditions: [
      { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' },
      { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
    ],
  });
});

t.test('deployment: a rolling update keeps its limits and can be undone', async (t) => {
  const { cluster } = await start(t);
  const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 };
  const spec = { strategy: { type: 'RollingUpdate', rollingUpdate } };
  await cluster.client.create('Deployment', deployment('web', { replicas: 4, spec }));
  await cluster.until('rolled out', () => isRolledOut(cluster));
  await change(cluster, setImage('web:2'));
  await cluster.until('rolled out again', () => {
    const alive = cluster.list('Pod').filter((p) => p.metadata.deletionTimestamp === undefined);
    const ready = alive.filter((p) => p.status?.phase === 'Running');
    if (alive.length > 5) throw new Error(`${alive.length} pods at once`);
    if (ready.length < 4) throw new Error(`only ${ready.length} pods serve`);
    return isRolledOut(cluster);
  });
  t.same(sizes(cluster), { 'web:1': 0, 'web:2': 4 });
  // kubectl rollout undo: the old template is put back.
  await change(cluster, setImage('web:1'));
  await cluster.until('rolled back', () => isRolledOut(cluster));
  t.same(sizes(cluster), { 'web:1': 4, 'web:2': 0 });
  const [web] = cluster.list('Deployment');
  t.match(web?.metadata.annotations, { 'deployment.kubernetes.io/revision': '3' });
  const first = cluster.list('ReplicaSet').find(({ spec }) => spec.replicas === 4);
  t.match(first?.metadata.annotations, {
    'deployment.kubernetes.io/revision': '3',
    'deployment.kubernetes.io/revision-history': '1',
  });
  const messages = cluster.list('Event').map(({ message }) => message);
  const name = first?.metadata.name;
  t.ok(messages.includes(`Scaled up replica set ${name} from 0 to 4`), 'told as an event');
});

t.test('deployment: Recreate ends all old pods before it starts new ones', async (t) => {
  const { cluster, nodes } = await start(t);
  nodes.stopMs = 500;
  const spec = { strategy: { type: 'Recreate' } };
  await cluster.client.create('Deployment', deployment('web', { replicas: 3, spec }));
  await cluster.until('rolled out', () => isRolledOut(cluster));
  await change(cluster, setImage('web:2'));
  await cluster.until('rolled out again', () => {
    const images = cluster.list('Pod').map(({ spec }) => spec.containers[0]?.image);
    if (new Set(images).size > 1) throw new Error('old and new pods at once');
    return isRolledOut(cluster) && images.every((image) => image === 'web:2');
  });
  t.same(sizes(cluster), { 'web:1': 0, 'web:2': 3 });
});

t.test('deployment: held, it takes changes without a rollout; let go, it makes one', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('Deployment', deployment('web', { replicas: 2 }));
  await cluster.until('rolled out', () => isRolledOut(cluster));
  await change(cluster, (web) => {
    web.spec.paused = true;
    setImage('web:2')(web);
  });
  await cluster.pass(500);
  t.same(sizes(cluster), { 'web:1': 2 });
  const [held] = cluster.list('Deployment');
  const progressing = held?.status?.conditions?.find(({ type }) => type === 'Progressing');
  t.match(progressing, { status: 'Unknown', reason: 'DeploymentPaused' });
  await change(cluster, (web) => {
    web.spec.replicas = 3;
  });
  await cluster.until('scaled while held', () => sizes(cluster)['web:1'] === 3);
  await change(cluster, (web) => {
    delete web.spec.paused;
  });
  await cluster.until('rolled out', () => isRolledOut(cluster));
  t.same(sizes(cluster), { 'web:1': 0, 'web:2': 3 });
});

t.test(
  'deployment: scaled in the middle of a stuck rollout, all parts grow in proportion',
  async (t) => {
    const { cluster, nodes } = await start(t);
    nodes.becomesReady = ({ spec }) => spec.containers[0]?.image === 'web:1';
    const rollingUpdate = { maxSurge: 3, maxUnavailable: 2 };
    const spec = { strategy: { type: 'RollingUpdate', rollingUpdate } };
    await cluster.client.create('Deployment', deployment('web', { replicas: 10, spec }));
    await cluster.until('rolled out', () => isRolledOut(cluster));
    await change(cluster, setImage('web:broken'));
    await cluster.until('stuck', () => sizes(cluster)['web:broken'] === 5);
    t.same(sizes(cluster), { 'web:1': 8, 'web:broken': 5 });
    await change(cluster, (web) => {
      web.spec.replicas = 30;
    });
    await cluster.until('scaled', () => sizes(cluster)['web:broken'] === 13);
    t.same(sizes(cluster), { 'web:1': 20, 'web:broken': 13 }, '33 = 30 and a surge of 3');
  },
);

t.test('deployment: history is kept to its limit', async (t) => {
  const { cluster } = await start(t);
  const spec = { revisionHistoryLimit: 1 };
  await cluster.client.create('Deployment', deployment('web', { replicas: 1, spec }));
  for (const image of ['web:2', 'web:3', 'web:4']) {
    await cluster.until('rolled out', () => isRolledOut(cluster));
    await change(cluster, setImage(image));
  }
  await cluster.until('cleaned up', () => cluster.list('ReplicaSet').length === 2);
  t.same(sizes(cluster), { 'web:3': 0, 'web:4': 1 });
});

t.test('deployment: without progress it reports the missed deadline', async (t) => {
  const { cluster, nodes } = await start(t);
  nodes.becomesReady = () => false;
  const spec = { progressDeadlineSeconds: 5 };
  await cluster.client.create('Deployment', deployment('web', { replicas: 1, spec }));
  await cluster.until('deadline missed', () => {
    const [web] = cluster.list('Deployment');
    const progressing = web?.status?.conditions?.find(({ type }) => type === 'Progressing');
    return progressing?.reason === 'ProgressDeadlineExceeded' && progressing.status === 'False';
  });
  const [rs] = cluster.list('ReplicaSet');
  const [web] = cluster.list('Deployment');
  const progressing = web?.status?.conditions?.find(({ type }) => type === 'Progressing');
  t.equal(progressing?.message, `ReplicaSet "${rs?.metadata.name}" has timed out progressing.`);
});

t.test('deployment: minReadySeconds holds availability back', async (t) => {
  const { cluster } = await start(t);
  const spec = { minReadySeconds: 3 };
  await cluster.client.create('Deployment', deployment('web', { replicas: 2, spec }));
  await cluster.until('ready', () => cluster.list('Deployment')[0]?.status?.readyReplicas === 2);
  const readyAt = cluster.clock.monotonicMs();
  t.equal(cluster.list('Deployment')[0]?.status?.availableReplicas, undefined);
  await cluster.until('available', () => isRolledOut(cluster));
  const waited = cluster.clock.monotonicMs() - readyAt;
  t.ok(waited >= 1900 && waited <= 4200, `became available ${waited} ms after it was ready`);
});

t.test('deployment: a new leader goes on where the old one stopped', async (t) => {
  const { cluster } = await start(t);
  await cluster.client.create('Deployment', deployment('web', { replicas: 8 }));
  for (let change_ = 2; change_ <= 5; change_++) {
    await cluster.pass(15);
    // The old leader is not stopped: its writes must be refused for its term.
    await cluster.lead('scheduler', 'replicaset', 'deployment');
    await change(cluster, setImage(`web:${change_}`));
  }
  await cluster.until('rolled out', () => isRolledOut(cluster));
  await cluster.pass(1000);
  t.equal(sizes(cluster)['web:5'], 8);
  t.equal(cluster.list('Pod').length, 8, 'nobody made a pod too many that stayed');
});
