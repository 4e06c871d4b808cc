import t from 'tap';
import type { Node, Pod, Service } from '../../../../agents/cluster/kinds.ts';
import { decide } from '../../../../agents/cluster/scheduler/decide.ts';
import type { ClusterView } from '../../../../agents/cluster/scheduler/plugin.ts';
import { decidePreemption } from '../../../../agents/cluster/scheduler/preemption.ts';
import { podInfo } from '../../../../agents/cluster/scheduler/requests.ts';
import { Snapshot } from '../../../../agents/cluster/scheduler/snapshot.ts';
import { seededRandom } from '../../../../src/lib/random.ts';
import { node, pod, podAsking } from '../support.ts';

type World = {
  readonly nodes: readonly Node[];
  /** Pods already bound (spec.nodeName says where). */
  readonly pods?: readonly Pod[];
  readonly services?: readonly Service[];
};

function viewOf(world: World): ClusterView {
  const snapshot = new Snapshot();
  for (const one of world.nodes) snapshot.setNode(one);
  for (const one of world.pods ?? []) snapshot.setPod(one);
  return {
    nodeCount: snapshot.nodeCount,
    nodes: () => snapshot.nodes(),
    services: () => world.services ?? [],
    namespaceLabels: (name) => ({ 'kubernetes.io/metadata.name': name }),
  };
}

function place(incoming: Pod, world: World) {
  return decide(podInfo(incoming), viewOf(world), seededRandom(1));
}

function on(nodeName: string, one: Pod): Pod {
  return { ...one, spec: { ...one.spec, nodeName } };
}

const NO_SCHEDULE = { key: 'role', value: 'db', effect: 'NoSchedule' };
const zone = (name: string) => ({ 'topology.kubernetes.io/zone': name });
const sized = (request: string) => podAsking('incoming', { cpu: request });

const REFUSALS: readonly {
  readonly name: string;
  readonly incoming: Pod;
  readonly world: World;
  readonly message: string;
}[] = [
  {
    name: 'an empty cluster',
    incoming: pod('p'),
    world: { nodes: [] },
    message: 'no nodes available to schedule pods',
  },
  {
    name: 'cordoned nodes',
    incoming: pod('p'),
    world: { nodes: [{ ...node('a'), spec: { unschedulable: true } }] },
    message: '0/1 nodes are available: 1 node(s) were unschedulable.',
  },
  {
    name: 'several reasons, counted and in order',
    incoming: podAsking('p', { cpu: '2' }),
    world: {
      nodes: [
        node('a', { taints: [{ key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' }] }),
        node('b', { cpu: '1' }),
        node('c', { cpu: '500m' }),
      ],
    },
    message:
      '0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 2 Insufficient cpu.',
  },
  {
    name: 'a node that lacks two resources',
    incoming: podAsking('p', { cpu: '8', memory: '32Gi', 'example.com/gpu': '1' }),
    world: { nodes: [node('a')] },
    message:
      '0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory.',
  },
  {
    name: 'too many pods',
    incoming: pod('p'),
    world: { nodes: [node('a', { pods: '1' })], pods: [on('a', pod('q'))] },
    message: '0/1 nodes are available: 1 Too many pods.',
  },
  {
    name: 'a node selector nobody meets',
    incoming: pod('p', { nodeSelector: { disk: 'ssd' } }),
    world: { nodes: [node('a'), node('b', { labels: { disk: 'hdd' } })] },
    message: "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
  },
  {
    name: 'a host port that is taken, on any address',
    incoming: pod('p', {
      containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80, hostIP: '10.0.0.1' }] }],
    }),
    world: {
      nodes: [node('a')],
      pods: [
        on(
          'a',
          pod('q', { containers: [{ name: 'c', ports: [{ containerPort: 1, hostPort: 80 }] }] }),
        ),
      ],
    },
    message:
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  },
  {
    name: 'required anti-affinity to its own kind',
    incoming: pod('p', antiAffine(), { app: 'db' }),
    world: { nodes: [node('a')], pods: [on('a', pod('q', {}, { app: 'db' }))] },
    message: "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
  },
  {
    name: 'anti-affinity of a pod that is there already',
    incoming: pod('p', {}, { app: 'db' }),
    world: { nodes: [node('a')], pods: [on('a', pod('q', antiAffine(), { app: 'other' }))] },
    message: "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
  },
  {
    name: 'required affinity without company',
    incoming: pod('p', affine('cache')),
    world: { nodes: [node('a')] },
    message: "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
  },
  {
    name: 'a hard spread constraint',
    incoming: pod('p', spread('DoNotSchedule'), { app: 'web' }),
    world: {
      nodes: [
        node('a', { labels: zone('z1') }),
        { ...node('b', { labels: zone('z2') }), spec: { unschedulable: true } },
        node('c'),
      ],
      pods: [on('a', pod('q', {}, { app: 'web' }))],
    },
    message:
      "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable.",
  },
  {
    name: 'a claim that cannot be honoured',
    incoming: pod('p', {
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
    }),
    world: { nodes: [node('a')] },
    message:
      '0/1 nodes are available: volume "data" uses a persistent volume claim, which this cluster does not support.',
  },
];

function term(app: string, topologyKey = 'kubernetes.io/hostname') {
  return { labelSelector: { matchLabels: { app } }, topologyKey };
}

function antiAffine(app = 'db'): Partial<Pod['spec']> {
  const requiredDuringSchedulingIgnoredDuringExecution = [term(app)];
  return { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution } } };
}

function affine(app: string): Partial<Pod['spec']> {
  const requiredDuringSchedulingIgnoredDuringExecution = [term(app)];
  return { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution } } };
}

function spread(whenUnsatisfiable: string): Partial<Pod['spec']> {
  const labelSelector = { matchLabels: { app: 'web' } };
  const topologyKey = 'topology.kubernetes.io/zone';
  return {
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey, whenUnsatisfiable, labelSelector }],
  };
}

t.test('scheduler: says why a pod fits nowhere', async (t) => {
  for (const { name, incoming, world, message } of REFUSALS) {
    const decision = place(incoming, world);
    t.equal(decision.kind === 'unschedulable' ? decision.message : decision.node, message, name);
  }
});

t.test('scheduler: hard spread constraints keep domains level', async (t) => {
  const nodes = [node('a', { labels: zone('z1') }), node('b', { labels: zone('z2') }), node('c')];
  const pods = [on('a', pod('q', {}, { app: 'web' }))];
  const incoming = pod('p', spread('DoNotSchedule'), { app: 'web' });
  t.match(place(incoming, { nodes, pods }), { kind: 'fits', node: 'b' });
  const cramped = [nodes[0] as Node, node('c')];
  t.match(
    place(incoming, { nodes: cramped, pods: [...pods, on('a', pod('r', {}, { app: 'web' }))] }),
    {
      kind: 'fits',
      node: 'a',
    },
    'a single domain is level with itself',
  );
});

const CHOICES: readonly {
  readonly name: string;
  readonly incoming: Pod;
  readonly world: World;
  readonly node: string;
}[] = [
  {
    name: 'the emptier node',
    incoming: sized('1'),
    world: { nodes: [node('a'), node('b')], pods: [on('a', podAsking('q', { cpu: '3' }))] },
    node: 'b',
  },
  {
    name: 'the only node whose taint it tolerates, when the other is full',
    incoming: {
      ...sized('2'),
      spec: {
        ...sized('2').spec,
        tolerations: [{ key: 'role', operator: 'Equal', value: 'db', effect: 'NoSchedule' }],
      },
    },
    world: { nodes: [node('a', { cpu: '1' }), node('b', { taints: [NO_SCHEDULE] })] },
    node: 'b',
  },
  {
    name: 'a node without a taint it would rather avoid',
    incoming: pod('p'),
    world: {
      nodes: [node('a', { taints: [{ key: 'x', effect: 'PreferNoSchedule' }] }), node('b')],
    },
    node: 'b',
  },
  {
    name: 'the node its preferred affinity names',
    incoming: pod('p', {
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            {
              weight: 50,
              preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] },
            },
          ],
        },
      },
    }),
    world: { nodes: [node('a'), node('b', { labels: { disk: 'ssd' } })] },
    node: 'b',
  },
  {
    name: 'a node apart from its siblings',
    incoming: owned(pod('p')),
    world: { nodes: [node('a'), node('b')], pods: [on('a', owned(pod('q')))] },
    node: 'b',
  },
  {
    name: 'a node apart from those behind the same Service',
    incoming: pod('p', {}, { app: 'web' }),
    world: {
      nodes: [node('a'), node('b')],
      pods: [on('a', pod('q', {}, { app: 'web' }))],
      services: [
        { metadata: { name: 's', namespace: 'default' }, spec: { selector: { app: 'web' } } },
      ],
    },
    node: 'b',
  },
  {
    name: 'the node beside the pods it wants to be with',
    incoming: pod('p', affine('cache')),
    world: { nodes: [node('a'), node('b')], pods: [on('b', pod('q', {}, { app: 'cache' }))] },
    node: 'b',
  },
  {
    name: 'a node apart from pods it would rather avoid',
    incoming: pod('p', {
      affinity: {
        podAntiAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 100, podAffinityTerm: term('noisy') },
          ],
        },
      },
    }),
    world: { nodes: [node('a'), node('b')], pods: [on('a', pod('q', {}, { app: 'noisy' }))] },
    node: 'b',
  },
  {
    name: 'the node that has its image',
    incoming: pod('p', { containers: [{ name: 'c', image: 'big' }] }),
    world: { nodes: [node('a'), withImage(node('b'), 'big:latest'), node('c')] },
    node: 'b',
  },
  {
    name: 'a domain with fewer of its kind',
    incoming: pod('p', spread('ScheduleAnyway'), { app: 'web' }),
    world: {
      nodes: [node('a', { labels: zone('z1') }), node('b', { labels: zone('z2') })],
      pods: [on('a', pod('q', {}, { app: 'web' }))],
    },
    node: 'b',
  },
];

function owned(one: Pod): Pod {
  const owner = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: 'rs',
    uid: 'rs',
    controller: true,
  };
  return { ...one, metadata: { ...one.metadata, ownerReferences: [owner] } };
}

function withImage(one: Node, name: string): Node {
  return { ...one, status: { ...one.status, images: [{ names: [name], sizeBytes: 900_000_000 }] } };
}

t.test('scheduler: prefers', async (t) => {
  for (const { name, incoming, world, node: wanted } of CHOICES) {
    t.match(place(incoming, world), { kind: 'fits', node: wanted }, name);
  }
});

t.test('scheduler: the first of a group that seeks its own kind may go anywhere', async (t) => {
  t.match(place(pod('p', affine('cache'), { app: 'cache' }), { nodes: [node('a')] }), {
    kind: 'fits',
  });
});

t.test('scheduler: init containers count by their peak, sidecars on top', async (t) => {
  const c = (cpu: string, extra = {}) => ({
    name: cpu,
    resources: { requests: { cpu } },
    ...extra,
  });
  const info = podInfo(
    pod('p', {
      initContainers: [c('100m', { restartPolicy: 'Always' }), c('900m')],
      containers: [c('200m'), c('300m')],
      overhead: { cpu: '50m' },
    }),
  );
  t.equal(info.requests.get('cpu'), 1050, 'init peak 900+100, above 200+300+100; overhead 50');
});

t.test('scheduler: preemption takes as few and as unimportant pods as possible', async (t) => {
  const ranked = (name: string, priority: number, cpu: string) =>
    podAsking(name, { cpu }, { priority });
  const world = {
    nodes: [node('a'), node('b'), node('c', { cpu: '1' })],
    pods: [
      on('a', ranked('a-high', 50, '2')),
      on('a', ranked('a-low', 10, '2')),
      on('b', ranked('b-low', 10, '1')),
      on('b', ranked('b-lower', 5, '3')),
    ],
  };
  const incoming = podInfo(ranked('p', 100, '2'));
  const view = viewOf(world);
  const decision = decide(incoming, view, seededRandom(1));
  if (decision.kind !== 'unschedulable') return t.fail('it must not fit');
  t.same(decision.candidates, ['a', 'b'], 'c is too small whatever leaves it');
  const preemption = decidePreemption(incoming, view, decision.candidates);
  if (preemption.kind !== 'evict') return t.fail('preemption must help');
  t.equal(preemption.node, 'b');
  t.same(
    preemption.victims.map(({ key }) => key),
    ['default/b-lower'],
  );
});

t.test('scheduler: without lesser pods preemption says so', async (t) => {
  const world = {
    nodes: [node('a', { cpu: '1' }), node('b', { cpu: '4' })],
    pods: [on('b', podAsking('q', { cpu: '3' }))],
  };
  const incoming = podInfo(podAsking('p', { cpu: '2' }));
  const preemption = decidePreemption(incoming, viewOf(world), ['b']);
  t.match(preemption, {
    kind: 'none',
    message:
      ' preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.',
  });
});
