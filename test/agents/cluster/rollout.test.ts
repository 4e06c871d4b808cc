import t from 'tap';
import type { Deployment } from '../../../agents/cluster/kinds.ts';
import { FakeNodes, node, TestCluster } from './support.ts';

function deployment(name: string, replicas: number, image = 'web:1'): Deployment {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'web', image }] } },
    },
  };
}

t.test('cluster: a deployment becomes running pods', async (t) => {
  const cluster = await TestCluster.start();
  const nodes = new FakeNodes(cluster);
  t.teardown(() => cluster.stop());
  await nodes.register(node('n1'), node('n2'), node('n3'));
  await cluster.lead('scheduler', 'replicaset', 'deployment');
  await cluster.client.create('Deployment', deployment('web', 6));
  await cluster.until('six pods are available', () => {
    const [web] = cluster.list('Deployment');
    return web?.status?.availableReplicas === 6;
  });
  const perNode = new Map<string, number>();
  for (const { spec } of cluster.list('Pod')) {
    perNode.set(spec.nodeName ?? '', (perNode.get(spec.nodeName ?? '') ?? 0) + 1);
  }
  t.same([...perNode.values()], [2, 2, 2], 'spread over the nodes');
  const [web] = cluster.list('Deployment');
  t.match(web?.status, {
    observedGeneration: 1,
    replicas: 6,
    updatedReplicas: 6,
    readyReplicas: 6,
    conditions: [
      { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' },
      { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
    ],
  });
});
