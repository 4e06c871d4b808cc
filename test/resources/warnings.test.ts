import t from 'tap';
import type { Deployment, Pod } from '../../src/resources/generated/kinds.ts';
import { deploymentKind } from '../../src/resources/kinds/deployment.ts';
import { podKind } from '../../src/resources/kinds/pod.ts';
import { MINIMAL_DEPLOYMENT, MINIMAL_POD, withAt } from './support.ts';

t.test('warnings: a pod hears of renamed labels and variables given twice', async (t) => {
  const env = [
    { name: 'A', value: '1' },
    { name: 'A', value: '2' },
  ];
  const pod = withAt(withAt(MINIMAL_POD, 'spec.containers.0.env', env), 'spec.nodeSelector', {
    'beta.kubernetes.io/os': 'linux',
  }) as unknown as Pod;
  t.same(podKind.warnings?.(pod), [
    'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
    'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
  ]);
  t.same(podKind.warnings?.(MINIMAL_POD as unknown as Pod), []);
});

t.test('warnings: a template is spoken of by its place in the workload', async (t) => {
  const old = { 'beta.kubernetes.io/arch': 'amd64' };
  const deployment = withAt(MINIMAL_DEPLOYMENT, 'spec.template.spec.nodeSelector', old);
  t.match(
    deploymentKind.warnings?.(deployment as unknown as Deployment)[0],
    /^spec\.template\.spec\.nodeSelector/,
  );
});
