/** The status of a pod as the API shows it, from its record. */

import t from 'tap';
import type { PodRecord } from '../../../../agents/node/pods/record.ts';
import { newRecord, withContainer } from '../../../../agents/node/pods/record.ts';
import { statusOf } from '../../../../agents/node/pods/status.ts';
import { merged, statusPatch } from '../../../../agents/node/pods/status-patch.ts';
import { exit, exited, NOW, pod, running, started, withPhase } from './support/records.ts';

const node = { hostIPs: ['192.0.2.1'] };
const show = (record: PodRecord, previous?: ReturnType<typeof statusOf>) =>
  statusOf(record, { node, previous }, NOW);
const conditions = (record: PodRecord) =>
  Object.fromEntries((show(record).conditions ?? []).map(({ type, status }) => [type, status]));

const over = (record: PodRecord, cause: 'completed' | 'failed' | 'deleted'): PodRecord => ({
  ...record,
  lifecycle: {
    kind: 'finished',
    cause,
    ...(cause === 'failed' ? { reason: 'DeadlineExceeded' } : {}),
  },
});

t.test('status: a new pod is Pending with ContainerCreating', async (t) => {
  const status = show(newRecord(pod(), NOW));
  t.match(status, { phase: 'Pending', hostIP: '192.0.2.1', qosClass: 'BestEffort' });
  t.notOk('podIP' in status);
  t.same(status.containerStatuses, [
    {
      name: 'main',
      image: 'app:1',
      imageID: '',
      state: { waiting: { reason: 'ContainerCreating' } },
      lastState: {},
      ready: false,
      restartCount: 0,
      started: false,
    },
  ]);
  t.same(conditions(newRecord(pod(), NOW)), {
    PodReadyToStartContainers: 'False',
    Initialized: 'True',
    Ready: 'False',
    ContainersReady: 'False',
    PodScheduled: 'True',
  });
});

t.test('status: main containers of a pod with init containers show PodInitializing', async (t) => {
  const record = started(pod({ initContainers: [{ name: 'first', image: 'app:1' }] }));
  const status = show(record);
  t.equal(status.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing');
  t.match(
    status.conditions?.find(({ type }) => type === 'Initialized'),
    { status: 'False', message: 'containers with incomplete status: [first]' },
  );
});

t.test('status: a running pod is Running, Ready, with its address', async (t) => {
  const record = { ...withPhase(started(), 'main', running()), initialized: true };
  const status = show(record);
  t.match(status, { phase: 'Running', podIP: '10.0.0.9', podIPs: [{ ip: '10.0.0.9' }] });
  t.match(status.containerStatuses?.[0], {
    containerID: 'docker://c1',
    ready: true,
    started: true,
  });
  t.equal(conditions(record)['Ready'], 'True');
});

t.test('status: a pod on the host network has the addresses of the node', async (t) => {
  const record = withPhase(started(pod({ hostNetwork: true })), 'main', running());
  t.match(show(record), { podIP: '192.0.2.1' });
});

t.test('status: a pod in a crash loop stays Running and shows its last run', async (t) => {
  const phase = {
    kind: 'waiting',
    reason: 'CrashLoopBackOff',
    message: 'back-off 10s',
    sinceMs: NOW,
    notBeforeMs: NOW,
  } as const;
  const base = withPhase(started(), 'main', phase, { everCreated: true, restartCount: 3 });
  const record = { ...withContainer(base, 'main', { last: exit(1) }), initialized: true };
  const status = show(record);
  t.equal(status.phase, 'Running');
  t.match(status.containerStatuses?.[0], {
    restartCount: 3,
    state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
    lastState: { terminated: { exitCode: 1, reason: 'Error' } },
  });
});

t.test('status: an ended pod is Succeeded or Failed by its exit codes', async (t) => {
  t.match(show(over(withPhase(started(), 'main', exited(0)), 'completed')), {
    phase: 'Succeeded',
  });
  t.match(show(over(withPhase(started(), 'main', exited(1)), 'completed')), { phase: 'Failed' });
  t.match(show(over(withPhase(started(), 'main', exited(0)), 'failed')), {
    phase: 'Failed',
    reason: 'DeadlineExceeded',
  });
});

t.test('status: a completed pod is not ready because it completed', async (t) => {
  const status = show(over(withPhase(started(), 'main', exited(0)), 'completed'));
  t.match(
    status.conditions?.find(({ type }) => type === 'Ready'),
    { status: 'False', reason: 'PodCompleted' },
  );
});

t.test('status: readiness gates hold Ready back', async (t) => {
  const gated = pod({ readinessGates: [{ conditionType: 'example/lb' }] });
  const record = { ...withPhase(started(gated), 'main', running()), initialized: true };
  const of = (type: string) => show(record).conditions?.find((one) => one.type === type);
  t.match(of('ContainersReady'), { status: 'True' });
  t.match(of('Ready'), { status: 'False', reason: 'ReadinessGatesNotReady' });
});

t.test('status: the time of a transition stays until the condition changes', async (t) => {
  const record = { ...withPhase(started(), 'main', running()), initialized: true };
  const first = show(record);
  const later = statusOf(record, { node, previous: first }, NOW + 60_000);
  t.same(later.conditions, first.conditions);
  t.equal(statusPatch('uid-1', first, later), undefined);
});

t.test('status: a patch names what changed and clears what is no more', async (t) => {
  const before = show(started());
  const after = show({ ...withPhase(started(), 'main', running()), initialized: true }, before);
  const patch = statusPatch('uid-1', before, after) as {
    metadata: object;
    status: Record<string, unknown>;
  };
  t.same(patch.metadata, { uid: 'uid-1' });
  t.same(Object.keys(patch.status).sort(), ['conditions', 'containerStatuses', 'phase']);
  t.match(patch.status['conditions'], [
    { type: 'Ready', status: 'True', reason: null, message: null },
    { type: 'ContainersReady', status: 'True', reason: null, message: null },
  ]);
  t.equal(statusPatch('uid-1', merged(before, after), after), undefined);
});

t.test('status: an address that changed replaces the old one', async (t) => {
  const record = withPhase(started(), 'main', running());
  const before = show(record);
  const moved: PodRecord = {
    ...record,
    sandbox: { kind: 'ready', id: 'box2', attempt: 1, ips: ['10.0.0.10'] },
  };
  const patch = statusPatch('uid-1', before, show(moved, before)) as {
    status: { podIPs: unknown };
  };
  t.same(patch.status.podIPs, [{ $patch: 'replace' }, { ip: '10.0.0.10' }]);
});
