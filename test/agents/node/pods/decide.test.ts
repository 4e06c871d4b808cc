/** The policy of a pod, as tables: what is known, and the steps that follow. */

import t from 'tap';
import { type Action, decide } from '../../../../agents/node/pods/decide.ts';
import type { Pod } from '../../../../agents/node/pods/kinds.ts';
import { newRecord, type PodRecord, withContainer } from '../../../../agents/node/pods/record.ts';
import { begin, podVanished } from '../../../../agents/node/pods/transitions.ts';
import { exit, exited, NOW, pod, running, started, withPhase } from './support/records.ts';

/** The steps in short: `start-container main`. */
function steps(record: PodRecord, nowMs = NOW): string[] {
  return decide(record, nowMs).actions.map((action) =>
    'name' in action ? `${action.kind} ${action.name}` : action.kind,
  );
}

const withInit = pod({
  initContainers: [
    { name: 'first', image: 'app:1' },
    { name: 'proxy', image: 'app:1', restartPolicy: 'Always' },
    { name: 'second', image: 'app:1' },
  ],
});

const deleted = (of: Pod): Pod => ({
  ...of,
  metadata: { ...of.metadata, deletionTimestamp: 'now', deletionGracePeriodSeconds: 7 },
});

const stopping = (record: PodRecord): PodRecord => ({
  ...record,
  lifecycle: { kind: 'stopping', cause: 'deleted', deadlineMs: NOW + 5_000 },
});

const fresh = newRecord(pod(), NOW);
const volumesReady: PodRecord = { ...fresh, volumes: { kind: 'ready' } };
const never = (spec: Partial<Pod['spec']> = {}) => pod({ restartPolicy: 'Never', ...spec });
const onFailure = pod({ restartPolicy: 'OnFailure' });
const two = never({
  containers: [
    { name: 'main', image: 'app:1' },
    { name: 'other', image: 'app:1' },
  ],
});

const table: readonly [claim: string, record: PodRecord, expected: readonly string[]][] = [
  ['volumes come first', fresh, ['mount-volumes']],
  ['nothing while volumes are mounted', { ...fresh, volumes: { kind: 'mounting' } }, []],
  ['then the sandbox', volumesReady, ['create-sandbox']],
  ['nothing while it is made', { ...volumesReady, sandbox: { kind: 'creating', attempt: 0 } }, []],
  ['then the container', started(), ['start-container main']],
  ['nothing while it starts', withPhase(started(), 'main', { kind: 'starting' }), []],
  ['nothing while it runs', withPhase(started(), 'main', running()), []],
  ['the first init container alone', started(withInit), ['start-container first']],
  [
    'a sidecar after the init container before it',
    withPhase(started(withInit), 'first', exited(0)),
    ['start-container proxy'],
  ],
  [
    'the next init container once the sidecar has started',
    withPhase(withPhase(started(withInit), 'first', exited(0)), 'proxy', running()),
    ['start-container second'],
  ],
  [
    'an init container that failed is tried again',
    withPhase(started(withInit), 'first', exited(1)),
    ['start-container first'],
  ],
  [
    'the main container when all init containers are through',
    ['first', 'second'].reduce(
      (record, name) => withPhase(record, name, exited(0)),
      withPhase(started(withInit), 'proxy', running()),
    ),
    ['start-container main'],
  ],
  [
    'Always: exit 0 runs again at once the first time',
    withPhase(started(), 'main', exited(0)),
    ['start-container main'],
  ],
  [
    'Always: the second exit waits',
    withPhase(started(), 'main', exited(1), { backoff: { delayMs: 10_000, setAtMs: NOW - 5_000 } }),
    ['back-off main'],
  ],
  [
    'OnFailure: exit 0 ends the pod',
    withPhase(started(onFailure), 'main', exited(0)),
    ['stop-pod'],
  ],
  [
    'OnFailure: another code runs again',
    withPhase(started(onFailure), 'main', exited(2)),
    ['start-container main'],
  ],
  ['Never: any exit ends the pod', withPhase(started(never()), 'main', exited(2)), ['stop-pod']],
  [
    'Never: the pod goes on while one container runs',
    withPhase(withPhase(started(two), 'main', exited(0)), 'other', running()),
    [],
  ],
  [
    'Never: a failed init container ends the pod',
    withPhase(
      started(never({ initContainers: [{ name: 'first', image: 'app:1' }] })),
      'first',
      exited(1),
    ),
    ['stop-pod'],
  ],
  [
    'a changed image ends the container',
    withPhase(started(), 'main', running(), { hash: 'older' }),
    ['stop-container main'],
  ],
  [
    'a lost sandbox ends what still runs in it',
    withPhase(
      { ...started(), sandbox: { kind: 'lost', id: 'box', attempt: 0, ips: [], notBeforeMs: 0 } },
      'main',
      running(),
    ),
    ['stop-container main'],
  ],
  [
    'then it is taken down',
    withPhase(
      { ...started(), sandbox: { kind: 'lost', id: 'box', attempt: 0, ips: [], notBeforeMs: 0 } },
      'main',
      exited(137),
    ),
    ['remove-sandbox'],
  ],
  ['a deletion stops the pod', withPhase(started(deleted(pod())), 'main', running()), ['stop-pod']],
  [
    'stopping ends the containers',
    withPhase(stopping(started()), 'main', running()),
    ['stop-container main'],
  ],
  [
    'sidecars are ended after the others',
    withPhase(withPhase(stopping(started(withInit)), 'proxy', running()), 'main', running()),
    ['stop-container main'],
  ],
  [
    'then the sidecar',
    withPhase(withPhase(stopping(started(withInit)), 'proxy', running()), 'main', exited(0)),
    ['stop-container proxy'],
  ],
  [
    'a start under way is waited for',
    withPhase(stopping(started()), 'main', { kind: 'starting' }),
    [],
  ],
  ['then the sandbox goes', withPhase(stopping(started()), 'main', exited(0)), ['remove-sandbox']],
  [
    'then the volumes',
    { ...stopping(started()), sandbox: { kind: 'removed', ips: [] } },
    ['release-volumes'],
  ],
  [
    'then the pod is finished',
    {
      ...stopping(started()),
      sandbox: { kind: 'removed', ips: [] },
      volumes: { kind: 'released' },
    },
    ['finish-pod'],
  ],
  [
    'a finished pod stays until it is deleted',
    { ...started(), lifecycle: { kind: 'finished', cause: 'completed' } },
    [],
  ],
  [
    'a finished pod that is deleted leaves the API',
    { ...started(deleted(pod())), lifecycle: { kind: 'finished', cause: 'completed' } },
    ['delete-object'],
  ],
  [
    'a finished pod that is gone from the API is forgotten',
    { ...started(), lifecycle: { kind: 'finished', cause: 'vanished' } },
    ['forget'],
  ],
  [
    'a pod waiting for its volumes can be deleted',
    { ...newRecord(deleted(pod()), NOW), volumes: { kind: 'absent', notBeforeMs: NOW + 60_000 } },
    ['stop-pod'],
  ],
];

for (const [claim, record, expected] of table) {
  t.test(`decide: ${claim}`, async (t) => {
    t.same(steps(record), expected);
  });
}

t.test('decide: a step that is under way is not decided again', async (t) => {
  for (const [claim, record] of table) {
    let next = record;
    for (const action of decide(record, NOW).actions) next = begin(next, action, NOW);
    for (const again of decide(next, NOW).actions) {
      const twice = decide(record, NOW).actions.some((first) => same(first, again));
      t.notOk(twice, `${claim}: ${again.kind}`);
    }
  }
});

t.test('decide: the deletion grace is what the deletion says', async (t) => {
  const record = withPhase(started(deleted(pod())), 'main', running());
  const [action] = decide(record, NOW).actions;
  t.match(action, { kind: 'stop-pod', cause: 'deleted', deadlineMs: NOW + 7_000 });
});

t.test('decide: an active deadline wakes, then fails the pod', async (t) => {
  const record = withPhase(started(pod({ activeDeadlineSeconds: 60 })), 'main', running());
  t.equal(decide(record, NOW).wakeAtMs, NOW + 60_000);
  const [action] = decide(record, NOW + 60_000).actions;
  t.match(action, { kind: 'stop-pod', cause: 'failed', reason: 'DeadlineExceeded' });
});

t.test('decide: the crash-loop delay counts from the exit, doubles and is forgotten', async (t) => {
  let record = withPhase(started(), 'main', exited(1));
  const delays: number[] = [];
  let nowMs = NOW;
  for (let run = 0; run < 8; run++) {
    record = withPhase(record, 'main', {
      kind: 'exited',
      exit: { ...exit(1), finishedAtMs: nowMs },
    });
    const [first] = decide(record, nowMs).actions;
    if (first?.kind === 'back-off') {
      delays.push(first.delayMs);
      record = begin(record, first, nowMs);
      t.equal(decide(record, nowMs).wakeAtMs, first.untilMs);
      nowMs = first.untilMs;
    } else delays.push(0);
    const [start] = decide(record, nowMs).actions;
    t.match(start, { kind: 'start-container', restartCount: run + 1 });
    if (start) record = begin(record, start, nowMs);
    record = withContainer(record, 'main', { restartCount: run + 1 });
    nowMs += 1_000;
  }
  t.same(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  const late = nowMs + 601_000;
  record = withPhase(record, 'main', { kind: 'exited', exit: { ...exit(1), finishedAtMs: late } });
  t.match(decide(record, late).actions[0], {
    kind: 'start-container',
    backoff: { delayMs: 10_000 },
  });
});

t.test('decide: who is deleted by force gets two seconds, whatever the grace was', async (t) => {
  const patient = pod({ terminationGracePeriodSeconds: 300 });
  const active = podVanished(withPhase(started(patient), 'main', running()), NOW);
  t.match(active.lifecycle, { kind: 'stopping', cause: 'vanished', deadlineMs: NOW + 2_000 });
  const halfway = podVanished(
    {
      ...withPhase(started(patient), 'main', {
        kind: 'stopping',
        id: 'c1',
        startedAtMs: NOW,
        ready: true,
        deadlineMs: NOW + 290_000,
        killed: false,
      }),
      lifecycle: { kind: 'stopping', cause: 'deleted', deadlineMs: NOW + 290_000 },
    },
    NOW,
  );
  t.match(halfway.lifecycle, { cause: 'vanished', deadlineMs: NOW + 2_000 });
  t.match(halfway.containers.get('main')?.phase, { deadlineMs: NOW + 2_000 });
  const hasty = podVanished(started(pod({ terminationGracePeriodSeconds: 0 })), NOW);
  t.match(hasty.lifecycle, { deadlineMs: NOW });
});

t.test('decide: SIGKILL follows when the runtime does not end a container in time', async (t) => {
  const phase = {
    kind: 'stopping',
    id: 'c1',
    startedAtMs: NOW,
    ready: true,
    deadlineMs: NOW,
    killed: false,
  } as const;
  const record = withPhase(stopping(started()), 'main', phase);
  const { actions, wakeAtMs } = decide(record, NOW);
  t.same(actions, []);
  t.same(steps(record, wakeAtMs), ['kill-container main']);
  const killed = withPhase(record, 'main', { ...phase, killed: true });
  t.same(steps(killed, wakeAtMs), []);
});

t.test('decide: ErrImagePull turns into ImagePullBackOff while the delay runs', async (t) => {
  const phase = {
    kind: 'waiting',
    reason: 'ErrImagePull',
    message: 'no such image',
    sinceMs: NOW,
    notBeforeMs: NOW + 10_000,
  } as const;
  let record = withPhase(started(), 'main', phase);
  const { wakeAtMs = 0 } = decide(record, NOW);
  const [action] = decide(record, wakeAtMs).actions;
  t.match(action, { kind: 'image-back-off', name: 'main' });
  if (action) record = begin(record, action, wakeAtMs);
  t.match(record.containers.get('main')?.phase, {
    reason: 'ImagePullBackOff',
    message: 'Back-off pulling image "app:1": ErrImagePull: no such image',
  });
  t.same(steps(record, NOW + 10_000), ['start-container main']);
});

function same(a: Action, b: Action): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
