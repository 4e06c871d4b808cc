import t, { type Test } from 'tap';
import type { NodeHeartbeat } from '../../../../agents/cluster/node-lifecycle/protocol.ts';
import { isPodReady } from '../../../../agents/cluster/pods.ts';
import type { ActorRef } from '../../../../src/actors/types.ts';
import type { Timer } from '../../../../src/lib/clock.ts';
import { deployment, service } from '../objects.ts';
import { FakeNodes, node, TestCluster } from '../support.ts';

const NAMES = ['n1', 'n2', 'n3'];

/** Nodes that send heartbeats to whoever leads, and hear each other. */
class Hearts {
  readonly silent = new Set<string>();
  readonly complaints = new Map<string, string>();
  leader: ActorRef<NodeHeartbeat> | undefined;
  readonly #cluster: TestCluster;
  #timer: Timer | undefined;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    this.#beat();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #complaint(name: string): Pick<NodeHeartbeat, 'ready'> {
    const message = this.complaints.get(name);
    if (message === undefined) return {};
    return { ready: { status: 'False', reason: 'KubeletNotReady', message } };
  }

  #beat(): void {
    const alive = NAMES.filter((name) => !this.silent.has(name));
    for (const name of alive) {
      const heartbeat: NodeHeartbeat = {
        kind: 'heartbeat',
        node: name,
        sentAtMonotonic: this.#cluster.clock.monotonicMs(),
        peersHeard: alive.filter((peer) => peer !== name),
        load: 0,
        ...this.#complaint(name),
      };
      this.leader?.tell(heartbeat);
    }
    this.#timer = this.#cluster.clock.after(500, () => this.#beat());
  }
}

async function start(t: Test, ...agents: string[]) {
  const nodeLifecycle = { defaultTolerationSeconds: 5 };
  const cluster = await TestCluster.start({ agents: { nodeLifecycle }, tolerationSeconds: 5 });
  const nodes = new FakeNodes(cluster);
  const hearts = new Hearts(cluster);
  t.teardown(async () => {
    hearts.stop();
    nodes.stop();
    await cluster.stop();
  });
  await nodes.register(...NAMES.map((name) => node(name)));
  const lead = async () => {
    const running = await cluster.lead('node-lifecycle', ...agents);
    hearts.leader = running.get('node-lifecycle') as ActorRef<NodeHeartbeat> | undefined;
    return running;
  };
  await lead();
  return { cluster, nodes, hearts, lead };
}

const readiness = (cluster: TestCluster, name: string) =>
  cluster.client
    .informer('Node')
    .get({ name })
    ?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
const taintKeys = (cluster: TestCluster, name: string) =>
  (cluster.client.informer('Node').get({ name })?.spec.taints ?? []).map(({ key }) => key);

t.test('node lifecycle: an idle cluster writes nothing', async (t) => {
  const { cluster } = await start(t);
  await cluster.pass(500);
  const revision = cluster.store.revision();
  await cluster.pass(20_000);
  t.equal(cluster.store.revision(), revision);
});

t.test(
  'node lifecycle: a dead node loses its requests, then its pods; on return it is as before',
  async (t) => {
    const { cluster, nodes, hearts } = await start(
      t,
      'scheduler',
      'replicaset',
      'deployment',
      'endpoints',
    );
    await cluster.client.create('Service', service('web', 'web'));
    await cluster.client.create('Deployment', deployment('web', { replicas: 3 }));
    const serving = () =>
      cluster.list('Endpoints').flatMap(({ subsets }) => subsets?.[0]?.addresses ?? []);
    await cluster.until('three serve', () => serving().length === 3);
    await cluster.pass(4000);
    hearts.silent.add('n2');
    nodes.kill('n2');
    await cluster.until('given up', () => readiness(cluster, 'n2') === 'Unknown', 3000);
    await cluster.until('no requests', () => serving().every((one) => one.nodeName !== 'n2'), 50);
    t.same(taintKeys(cluster, 'n2'), [
      'node.kubernetes.io/unreachable',
      'node.kubernetes.io/unreachable',
    ]);
    const givenUpAt = cluster.clock.monotonicMs();
    await cluster.until('replaced', () => serving().length === 3, 7000);
    t.ok(cluster.clock.monotonicMs() - givenUpAt >= 4000, 'not before its time');
    t.ok(
      cluster.list('Pod').every(({ spec }) => spec.nodeName !== 'n2'),
      'removed by force',
    );
    nodes.revive('n2');
    hearts.silent.delete('n2');
    await cluster.until('back', () => readiness(cluster, 'n2') === 'True', 600);
    await cluster.until('untainted', () => taintKeys(cluster, 'n2').length === 0, 100);
  },
);

t.test('node lifecycle: what a node says of itself becomes its condition', async (t) => {
  const { cluster, hearts } = await start(t);
  await cluster.pass(1000);
  hearts.complaints.set('n1', 'no docker');
  await cluster.until('not ready', () => readiness(cluster, 'n1') === 'False', 600);
  await cluster.until('tainted', () => taintKeys(cluster, 'n1').length === 2, 50);
  t.equal(taintKeys(cluster, 'n1')[0], 'node.kubernetes.io/not-ready');
  const revision = cluster.store.revision();
  await cluster.pass(3000);
  t.ok(cluster.store.revision() - revision <= 1, 'a lasting complaint is written once');
  hearts.complaints.delete('n1');
  await cluster.until('ready', () => readiness(cluster, 'n1') === 'True', 600);
  await cluster.until('untainted', () => taintKeys(cluster, 'n1').length === 0, 50);
});

t.test('node lifecycle: a short silence costs nothing', async (t) => {
  const { cluster, hearts } = await start(t);
  await cluster.pass(4000);
  const revision = cluster.store.revision();
  hearts.silent.add('n3');
  await cluster.pass(1900);
  hearts.silent.delete('n3');
  await cluster.pass(3000);
  t.equal(cluster.store.revision(), revision);
});

t.test('node lifecycle: a return before the eviction keeps the pods', async (t) => {
  const { cluster, nodes, hearts } = await start(t, 'scheduler', 'replicaset');
  const { spec } = deployment('web', { replicas: 3 });
  const { selector, template } = spec;
  await cluster.client.create('ReplicaSet', {
    metadata: { name: 'web', namespace: 'default' },
    spec: { replicas: 3, selector, template },
  });
  await cluster.until('three run', () => cluster.list('Pod').filter(isPodReady).length === 3);
  const uids = () => cluster.list('Pod').map(({ metadata }) => metadata.uid);
  const before = uids();
  hearts.silent.add('n1');
  await cluster.until('given up', () => readiness(cluster, 'n1') === 'Unknown');
  await cluster.pass(3000);
  hearts.silent.delete('n1');
  await cluster.until('back', () => readiness(cluster, 'n1') === 'True');
  nodes.revive('n1');
  await cluster.pass(6000);
  t.same(uids(), before);
});

t.test('node lifecycle: a new leader gives everybody time, then the dead are seen', async (t) => {
  const { cluster, hearts, lead } = await start(t);
  await cluster.pass(1000);
  hearts.silent.add('n1');
  await lead();
  await cluster.pass(2500);
  t.equal(readiness(cluster, 'n1'), 'True', 'in grace');
  await cluster.until('given up', () => readiness(cluster, 'n1') === 'Unknown', 1000);
  await lead();
  await cluster.pass(1000);
  t.equal(readiness(cluster, 'n1'), 'Unknown', 'the next leader does not bring it back to life');
});
