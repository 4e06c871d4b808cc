import t from 'tap';
import { fieldErrorText } from '../../../src/resources/field-errors.ts';
import type { Deployment, ReplicaSet } from '../../../src/resources/generated/kinds.ts';
import { deploymentKind } from '../../../src/resources/kinds/deployment.ts';
import { admit, kindOf, MINIMAL_DEPLOYMENT, registry, updateErrors, withAt } from '../support.ts';

const kind = registry.builtIn('Deployment') as never;

function stored(input: object = MINIMAL_DEPLOYMENT): Deployment {
  const { object, errors } = admit(input);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return object as Deployment;
}

t.test('deployment: defaults are those of apps/v1', async (t) => {
  const { spec, status, metadata } = stored();
  t.match(spec, {
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    strategy: {
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' },
    },
  });
  t.same(status, {});
  t.equal(metadata.generation, 1);
  t.equal(spec.template.spec.enableServiceLinks, undefined, 'templates do not get this one');
  t.equal(spec.template.spec.dnsPolicy, 'ClusterFirst');
});

t.test('deployment: each older version has its own defaults', async (t) => {
  const inVersion = (apiVersion: string) => {
    const input = withAt({ ...MINIMAL_DEPLOYMENT, apiVersion }, 'spec.selector', undefined);
    return admit(input);
  };
  const beta1 = inVersion('apps/v1beta1').object as Deployment;
  t.match(beta1.spec, {
    revisionHistoryLimit: 2,
    progressDeadlineSeconds: 600,
    selector: { matchLabels: { app: 'web' } },
    strategy: { rollingUpdate: { maxSurge: '25%' } },
  });
  t.match(
    inVersion('apps/v1beta2').errors,
    ['spec.selector: Required value'],
    'from apps/v1beta2 on the selector must be given',
  );
});

t.test('deployment: older versions show the stored object under their own name', async (t) => {
  const found = kindOf({ apiVersion: 'extensions/v1beta1', kind: 'Deployment' });
  const object = stored();
  const shown = found?.served?.fromStorage(object) as Deployment;
  t.equal(shown.apiVersion, 'extensions/v1beta1');
  t.equal(object.apiVersion, 'apps/v1', 'the stored object is left alone');
  const rollback = {
    ...MINIMAL_DEPLOYMENT,
    apiVersion: 'extensions/v1beta1',
    spec: { ...MINIMAL_DEPLOYMENT.spec, rollbackTo: { revision: 3 } },
  };
  const converted = stored(rollback);
  t.equal(converted.metadata.annotations?.['deprecated.deployment.rollback.to'], '3');
  const again = found?.served?.fromStorage(converted) as { spec?: { rollbackTo?: object } };
  t.same(again.spec?.rollbackTo, { revision: 3 });
});

t.test('deployment: failures are worded and placed as upstream does', async (t) => {
  const cases: [string, unknown, string[]][] = [
    ['spec.selector', undefined, ['spec.selector: Required value']],
    [
      'spec.selector',
      {},
      ['spec.selector: Invalid value: {}: empty selector is invalid for deployment'],
    ],
    [
      'spec.template.metadata.labels',
      { app: 'db' },
      [
        'spec.template.metadata.labels: Invalid value: {"app":"db"}: `selector` does not match template `labels`',
      ],
    ],
    ['spec.replicas', -1, ['spec.replicas: Invalid value: -1: must be greater than or equal to 0']],
    [
      'spec.template.spec.restartPolicy',
      'Never',
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      'spec.strategy',
      { type: 'Recreate', rollingUpdate: {} },
      [
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
      ],
    ],
    [
      'spec.strategy',
      { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } },
      [
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
      ],
    ],
    [
      'spec.strategy',
      { rollingUpdate: { maxUnavailable: '101%' } },
      [
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
      ],
    ],
    [
      'spec.progressDeadlineSeconds',
      0,
      ['spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds'],
    ],
    ['spec.template', undefined, ['spec.template: Required value']],
  ];
  for (const [path, value, expected] of cases) {
    t.same(admit(withAt(MINIMAL_DEPLOYMENT, path, value)).errors, expected, path);
  }
});

t.test('deployment: the selector stays, and generation counts changes of the spec', async (t) => {
  const old = stored();
  const selected = withAt(old, 'spec.selector.matchLabels', { app: 'web', more: 'x' });
  selected.spec.template.metadata = { labels: { app: 'web', more: 'x' } };
  t.same(updateErrors(kind, selected, old), [
    'spec.selector: Invalid value: {"matchLabels":{"app":"web","more":"x"}}: field is immutable',
  ]);
  const scaled = withAt(old, 'spec.replicas', 5);
  t.same(updateErrors(kind, scaled, old), []);
  t.equal(scaled.metadata.generation, 2);
  const labelled = withAt(old, 'metadata.labels', { a: 'b' });
  t.same(updateErrors(kind, labelled, old), []);
  t.equal(labelled.metadata.generation, 1);
});

t.test('deployment: the scale subresource reads and writes replicas', async (t) => {
  const deployment = stored();
  deploymentKind.scale?.setReplicas(deployment, 7);
  t.equal(deploymentKind.scale?.getReplicas(deployment), 7);
  t.equal(deploymentKind.scale?.getSelector(deployment), 'app=web');
});

t.test('replica set: the extensions version derives selector and labels', async (t) => {
  const { object, errors } = admit({
    apiVersion: 'extensions/v1beta1',
    kind: 'ReplicaSet',
    metadata: { name: 'web' },
    spec: { template: MINIMAL_DEPLOYMENT.spec.template },
  });
  t.same(errors, []);
  const replicaSet = object as ReplicaSet;
  t.same(replicaSet.spec.selector, { matchLabels: { app: 'web' } });
  t.same(replicaSet.metadata.labels, { app: 'web' });
  t.equal(replicaSet.spec.replicas, 1);
});

t.test('workloads: a status cannot count more of a sort than there are', async (t) => {
  const old = stored();
  const status = { replicas: 2, updatedReplicas: 3, readyReplicas: 1, availableReplicas: 2 };
  const next = withAt(old, 'status', status);
  t.same((deploymentKind.validateStatusUpdate?.(next, old) ?? []).map(fieldErrorText), [
    'status.updatedReplicas: Invalid value: 3: cannot be greater than status.replicas',
    'status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas',
  ]);
});
