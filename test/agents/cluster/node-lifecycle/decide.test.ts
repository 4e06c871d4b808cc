import t from 'tap';
import type { Node, Pod, Taint } from '../../../../agents/cluster/kinds.ts';
import {
  decideConditions,
  decideEviction,
  decideTaints,
  podsToMarkNotReady,
} from '../../../../agents/cluster/node-lifecycle/decide.ts';
import { HeartbeatTracker } from '../../../../agents/cluster/node-lifecycle/tracker.ts';
import { node, pod } from '../support.ts';

const NOW = Date.parse('2020-01-01T00:01:00Z');
const SILENT = { silent: true, speaking: false, reported: undefined };
const SPEAKING = { silent: false, speaking: true, reported: undefined };

const beat = (name: string, at: number, peersHeard: readonly string[] = []) => {
  return { kind: 'heartbeat', node: name, sentAtMonotonic: at, peersHeard, load: 0 } as const;
};

t.test('node lifecycle: a node is silent only when nobody hears it', async (t) => {
  const tracker = new HeartbeatTracker(0, { silenceMs: 2500, graceMs: 3000 });
  t.equal(tracker.verdict('a', 2999), 'heard', 'grace after the election');
  t.equal(tracker.verdict('a', 3000), 'silent', 'never heard of');
  tracker.hear(beat('a', 1), 4000);
  tracker.hear(beat('b', 1, ['a']), 4000);
  t.equal(tracker.verdict('a', 6500), 'heard');
  tracker.hear(beat('b', 2, ['a']), 6500);
  t.equal(tracker.verdict('a', 6501), 'heard', 'another live node hears it');
  tracker.hear(beat('b', 3, []), 7000);
  t.equal(tracker.verdict('a', 7001), 'silent');
  tracker.hear(beat('c', 1, ['a']), 7000);
  t.equal(tracker.verdict('a', 7002), 'heard');
  t.equal(tracker.verdict('a', 9600), 'silent', 'its witness has fallen silent too');
  tracker.hear(beat('a', 2), 9700);
  t.equal(tracker.verdict('a', 9701), 'heard', 'back at once');
});

t.test('node lifecycle: an overtaken heartbeat brings no old news', async (t) => {
  const tracker = new HeartbeatTracker(0, { silenceMs: 2500, graceMs: 0 });
  tracker.hear(beat('b', 10, []), 1000);
  tracker.hear(beat('b', 9, ['a']), 1001);
  t.equal(tracker.verdict('a', 1002), 'silent');
  tracker.hear(beat('b', 1, ['a']), 5000);
  t.equal(
    tracker.verdict('a', 5001),
    'heard',
    'a node that started anew counts from the beginning',
  );
});

function withConditions(...conditions: [string, string][]): Node {
  const made = node('a');
  const list = conditions.map(([type, status]) => ({ type, status, reason: 'Old', message: '' }));
  return { ...made, status: { ...made.status, conditions: list } };
}

t.test(
  'node lifecycle: silence makes what a node said unknown, its word restores it',
  async (t) => {
    const before = withConditions(
      ['Ready', 'True'],
      ['MemoryPressure', 'False'],
      ['Custom', 'True'],
    );
    const unknown = decideConditions(before, SILENT, NOW) ?? [];
    t.match(unknown, [
      { type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' },
      { type: 'MemoryPressure', status: 'Unknown', lastTransitionTime: '2020-01-01T00:01:00Z' },
      { type: 'Custom', status: 'True' },
    ]);
    const silent = { ...before, status: { ...before.status, conditions: unknown } };
    t.equal(decideConditions(silent, SILENT, NOW), undefined, 'written once');
    t.equal(
      decideConditions(silent, { ...SPEAKING, speaking: false }, NOW),
      undefined,
      'grace after an election does not bring the dead to life',
    );
    t.match(decideConditions(silent, SPEAKING, NOW), [
      { type: 'Ready', status: 'True', reason: 'KubeletReady' },
      { type: 'MemoryPressure', status: 'False', reason: 'KubeletHasSufficientMemory' },
      { type: 'Custom' },
    ]);
    const reported = { status: 'False', reason: 'RuntimeDown', message: 'no docker' } as const;
    t.match(decideConditions(silent, { ...SPEAKING, reported }, NOW), [reported, {}, {}]);
    t.equal(decideConditions(before, SPEAKING, NOW), undefined, 'nothing to do for a healthy node');
    const complaining = { ...SPEAKING, reported };
    const broken = decideConditions(before, complaining, NOW) ?? [];
    t.match(broken[0], { type: 'Ready', ...reported }, 'the node complains');
    const brokenNode = { ...before, status: { ...before.status, conditions: broken } };
    t.equal(decideConditions(brokenNode, complaining, NOW), undefined, 'once');
    t.match(
      decideConditions(brokenNode, SPEAKING, NOW),
      [{ status: 'True' }, {}, {}],
      'it is well again',
    );
  },
);

const keys = (taints: readonly Taint[] | undefined) => taints?.map((t) => `${t.key}:${t.effect}`);

t.test('node lifecycle: taints follow from conditions; those of users stay', async (t) => {
  const mine = { key: 'mine', effect: 'NoSchedule' };
  const unreachable = ['NoSchedule', 'NoExecute'].map((e) => `node.kubernetes.io/unreachable:${e}`);
  const healthy = node('a', { taints: [mine] });
  const unknown = [{ type: 'Ready', status: 'Unknown' }];
  const tainted = decideTaints(healthy, unknown, NOW);
  t.same(keys(tainted), ['mine:NoSchedule', ...unreachable]);
  t.equal(tainted?.[1]?.timeAdded, '2020-01-01T00:01:00Z');
  const dead: Node = { ...healthy, spec: { taints: tainted ?? [] } };
  t.equal(
    decideTaints(dead, unknown, NOW + 5000),
    undefined,
    'the time stays that of the beginning',
  );
  const notReady = decideTaints(dead, [{ type: 'Ready', status: 'False' }], NOW);
  t.match(keys(notReady)?.[1], 'node.kubernetes.io/not-ready');
  t.same(keys(decideTaints(dead, [{ type: 'Ready', status: 'True' }], NOW)), ['mine:NoSchedule']);
  const cordoned: Node = { ...healthy, spec: { unschedulable: true } };
  const pressed = [
    { type: 'Ready', status: 'True' },
    { type: 'DiskPressure', status: 'True' },
  ];
  t.same(keys(decideTaints(cordoned, pressed, NOW)), [
    'node.kubernetes.io/disk-pressure:NoSchedule',
    'node.kubernetes.io/unschedulable:NoSchedule',
  ]);
});

t.test('node lifecycle: who leaves a tainted node, and when', async (t) => {
  const added = '2020-01-01T00:00:58Z';
  const unreachable = {
    key: 'node.kubernetes.io/unreachable',
    effect: 'NoExecute',
    timeAdded: added,
  };
  const custom = { key: 'role', value: 'db', effect: 'NoExecute', timeAdded: added };
  const tolerating = (...tolerations: NonNullable<Pod['spec']['tolerations']>) =>
    pod('p', { tolerations });
  const forever = { key: 'role', operator: 'Exists' };
  const brief = { key: 'role', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 10 };
  const leaving = pod('p');
  leaving.metadata.deletionTimestamp = added;
  const cases: readonly [string, Pod, Taint[], object][] = [
    ['no taint', pod('p'), [], { kind: 'stays' }],
    ['a mild taint', pod('p'), [{ ...custom, effect: 'NoSchedule' }], { kind: 'stays' }],
    ['not tolerated', pod('p'), [custom], { kind: 'leaves', inMs: 0, force: false }],
    ['tolerated for ever', tolerating(forever), [custom], { kind: 'stays' }],
    ['tolerated for a while', tolerating(brief, forever), [custom], { inMs: 8000 }],
    ['silence, by default', pod('p'), [unreachable], { kind: 'leaves', inMs: 3000, force: true }],
    ['on its way from a live node', leaving, [custom], { kind: 'stays' }],
    ['on its way from a dead node', leaving, [unreachable], { inMs: 3000, force: true }],
  ];
  for (const [name, one, taints, wanted] of cases) {
    const options = { defaultTolerationSeconds: 5, nowMs: NOW };
    t.match(decideEviction(one, taints, options), wanted, name);
  }
});

t.test('node lifecycle: pods of a node that is not ready take no more requests', async (t) => {
  const ready = pod('p');
  ready.status = { conditions: [{ type: 'Ready', status: 'True' }] };
  t.equal(podsToMarkNotReady([{ type: 'Ready', status: 'Unknown' }], [ready, pod('q')]).length, 1);
  t.equal(podsToMarkNotReady([{ type: 'Ready', status: 'True' }], [ready]).length, 0);
});
