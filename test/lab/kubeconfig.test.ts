import t from 'tap';
import { spreadContexts } from '../../src/lab/kubeconfig.ts';
import { hostOf, planLab } from '../../src/lab/plan.ts';

const plan = planLab({ root: '/labs', name: 'lab', index: 0, nodes: 2 });
const given = {
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'skein', cluster: { server: 'https://10.77.0.12:7443', ca: 'data' } }],
  users: [{ name: 'admin', user: { key: 'secret' } }],
  contexts: [{ name: 'skein', context: { cluster: 'skein', user: 'admin' } }],
};

t.test(
  'lab: the kubeconfig has a context per host, and the one that answered is current',
  async (t) => {
    t.strictSame(spreadContexts(plan, hostOf(plan, 'node2'), given), {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 'node1', cluster: { server: 'https://10.77.0.11:7443', ca: 'data' } },
        { name: 'node2', cluster: { server: 'https://10.77.0.12:7443', ca: 'data' } },
      ],
      users: [{ name: 'admin', user: { key: 'secret' } }],
      contexts: [
        { name: 'node1', context: { cluster: 'node1', user: 'admin' } },
        { name: 'node2', context: { cluster: 'node2', user: 'admin' } },
      ],
      'current-context': 'node2',
    });
  },
);

t.test('lab: a kubeconfig without a cluster or a user is refused', async (t) => {
  const current = hostOf(plan, 'node1');
  t.throws(() => spreadContexts(plan, current, { ...given, clusters: [] }), {
    code: 'config-invalid',
  });
  t.throws(() => spreadContexts(plan, current, { ...given, users: [] }), {
    code: 'config-invalid',
  });
});
