import t from 'tap';
import { failing, pod, setUp } from './harness.ts';

t.test(
  'pods: get their service account, priority and the tolerations of a short node failure',
  async (t) => {
    const { create } = await setUp({ evictionTolerationSeconds: 20 });
    const { spec } = await create('pods', 'default', pod('a'));
    t.equal(spec.serviceAccountName, 'default');
    t.equal(spec.serviceAccount, 'default');
    t.equal(spec.priority, 0);
    t.equal(spec.preemptionPolicy, 'PreemptLowerPriority');
    const expected = ['not-ready', 'unreachable'].map((taint) => ({
      key: `node.kubernetes.io/${taint}`,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 20,
    }));
    t.strictSame(spec.tolerations, expected);
  },
);

t.test('pods: a toleration of their own is left as it is', async (t) => {
  const { create } = await setUp();
  const tolerations = [{ operator: 'Exists' }];
  const { spec } = await create('pods', 'default', pod('a', { spec: { tolerations } }));
  t.strictSame(spec.tolerations, tolerations);
});

t.test('pods: a system class gives its priority, an unknown one is Forbidden', async (t) => {
  const { create } = await setUp();
  const critical = pod('a', { spec: { priorityClassName: 'system-node-critical' } });
  t.equal((await create('pods', 'default', critical)).spec.priority, 2_000_001_000);
  const unknown = pod('b', { spec: { priorityClassName: 'gold' } });
  t.match(await failing(create('pods', 'default', unknown)), {
    code: 403,
    message: 'pods "b" is forbidden: no PriorityClass with name gold was found',
  });
});

t.test('pods: one whose service account comes a moment later is admitted', async (t) => {
  const { create } = await setUp();
  await create('namespaces', undefined, { metadata: { name: 'fresh' } });
  const made = create('pods', 'fresh', pod('a'));
  await create('serviceaccounts', 'fresh', { metadata: { name: 'default' } });
  t.equal((await made).spec.serviceAccountName, 'default');
});

t.test('pods: one whose service account never comes is Forbidden', async (t) => {
  const { create, clock } = await setUp();
  const made = create('pods', 'default', pod('a', { spec: { serviceAccountName: 'nobody' } }));
  const outcome = failing(made);
  // The wait starts after the body was read; let it, then let its time pass.
  for (let turn = 0; turn < 20 && clock.msToNext() === undefined; turn++) await Promise.resolve();
  clock.advance(1_000);
  t.match(await outcome, {
    code: 403,
    message:
      'pods "a" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found',
  });
});

t.test(
  'pods: with tokens mounted, every container sees the volume, unless it opts out',
  async (t) => {
    const { create } = await setUp({ mountServiceAccountTokens: true });
    const { spec } = await create('pods', 'default', pod('a'));
    const [volume] = spec.volumes;
    t.match(volume.name, /^kube-api-access-/);
    t.strictSame(spec.containers[0].volumeMounts, [
      {
        name: volume.name,
        readOnly: true,
        mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
      },
    ]);
    const without = pod('b', { spec: { automountServiceAccountToken: false } });
    t.notOk((await create('pods', 'default', without)).spec.volumes);
  },
);
