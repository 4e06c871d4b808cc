import t from 'tap';
import type { Node } from '../../../../agents/cluster/kinds.ts';
import { clusterRange, decideSubnet } from '../../../../agents/cluster/node-ipam/decide.ts';
import { FakeNodes, node, TestCluster } from '../support.ts';

const RANGE = clusterRange('10.244.0.0/16', 24);
const having = (name: string, podCIDR: string): Node => ({ ...node(name), spec: { podCIDR } });

t.test('node ipam: hands out the first subnet that overlaps nobody’s', async (t) => {
  const fresh = node('new');
  t.match(decideSubnet(fresh, [fresh], RANGE), { cidr: '10.244.0.0/24' });
  const others = [having('a', '10.244.0.0/24'), having('b', '10.244.2.0/23')];
  t.match(decideSubnet(fresh, [...others, fresh], RANGE), { cidr: '10.244.1.0/24' });
  others.push(having('c', '10.244.1.128/25'));
  t.match(decideSubnet(fresh, [...others, fresh], RANGE), { cidr: '10.244.4.0/24' });
  const kept = having('d', '10.1.0.0/24');
  t.match(decideSubnet(kept, [kept], RANGE), { kind: 'kept' });
  const narrow = clusterRange('10.9.0.0/24', 25);
  const full = [having('a', '10.9.0.0/25'), having('b', '10.9.0.128/25')];
  t.match(decideSubnet(fresh, full, narrow), { kind: 'exhausted', subnets: 2 });
  t.throws(() => clusterRange('10.244.0.0/24', 16));
  t.throws(() => clusterRange('10.244.0.0', 24));
});

t.test('node ipam: no two nodes overlap, whoever leads', async (t) => {
  const cluster = await TestCluster.start();
  t.teardown(() => cluster.stop());
  const nodes = new FakeNodes(cluster);
  await cluster.lead('node-ipam');
  for (let index = 0; index < 12; index++) {
    await nodes.register(node(`n${index}`));
    if (index % 3 === 0) await cluster.lead('node-ipam');
    if (index === 6) await cluster.client.delete('Node', { name: 'n2' });
  }
  await cluster.until('all have one', () => cluster.list('Node').every(({ spec }) => spec.podCIDR));
  const cidrs = cluster.list('Node').map(({ spec }) => spec.podCIDR);
  t.equal(new Set(cidrs).size, 11);
  t.same(
    cluster.list('Node').map(({ spec }) => spec.podCIDRs?.[0]),
    cidrs,
  );
  nodes.stop();
});
