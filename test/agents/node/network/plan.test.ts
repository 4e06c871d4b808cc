import t from 'tap';
import { nodeNetwork } from '../../../../agents/node/network/network.ts';
import {
  contains,
  isSubnet,
  macOf,
  planNetwork,
  subnetAddress,
} from '../../../../agents/node/network/plan.ts';
import type { Node } from '../../../../src/resources/generated/kinds.ts';

const node = (number: number, address = `10.0.0.${number}`) => ({
  name: `node${number}`,
  address,
  podCidr: `10.244.${number}.0/24`,
});

t.test('plan: every other node has a route over the tunnel, in the order of subnets', async (t) => {
  const nodes = [node(3), node(1), node(2)];
  const plan = planNetwork(node(1), nodes, { mode: 'vxlan', linkCidrs: ['10.0.0.0/24'] });
  t.strictSame(plan, {
    link: { address: '10.244.1.0', mac: '0a:58:0a:f4:01:00' },
    remotes: [2, 3].map((number) => ({
      podCidr: `10.244.${number}.0/24`,
      nodeAddress: `10.0.0.${number}`,
      via: 'vxlan',
      gateway: `10.244.${number}.0`,
      mac: `0a:58:0a:f4:0${number}:00`,
    })),
  });
});

t.test('plan: in mode auto, nodes on a shared link are reached without the tunnel', async (t) => {
  const far = node(3, '192.168.7.7');
  const plan = planNetwork(node(1), [node(2), far], { mode: 'auto', linkCidrs: ['10.0.0.1/24'] });
  t.match(plan.remotes, [
    { via: 'direct', gateway: '10.0.0.2' },
    { via: 'vxlan', gateway: '10.244.3.0', nodeAddress: '192.168.7.7' },
  ]);
});

t.test('plan: a node that claims our subnet gets no route', async (t) => {
  const thief = { ...node(2), podCidr: node(1).podCidr };
  const options = { mode: 'vxlan', linkCidrs: [] } as const;
  t.strictSame(planNetwork(node(1), [thief], options).remotes, []);
});

t.test('plan: addresses, ranges and hardware addresses', async (t) => {
  t.equal(subnetAddress('10.244.3.0/24'), '10.244.3.0');
  t.equal(macOf('10.244.255.0'), '0a:58:0a:f4:ff:00');
  t.ok(contains('10.0.0.0/8', '10.255.1.1'));
  t.notOk(contains('10.0.0.0/24', '10.0.1.0'));
  t.ok(contains('0.0.0.0/0', '255.255.255.255'));
  t.ok(contains('128.0.0.0/1', '200.1.1.1'));
  t.notOk(contains('128.0.0.0/1', '100.1.1.1'));
  t.ok(contains('10.0.0.7', '10.0.0.7'), 'an address is a range of one');
});

t.test('network: only a node whose address and subnet are such is given to commands', async (t) => {
  const object = (address: string, podCIDR: string): Node =>
    ({
      metadata: { name: 'node2' },
      spec: { podCIDR },
      status: { addresses: [{ type: 'InternalIP', address }] },
    }) as Node;
  t.strictSame(nodeNetwork(object('10.0.0.2', '10.244.2.0/24')), {
    name: 'node2',
    address: '10.0.0.2',
    podCidr: '10.244.2.0/24',
  });
  for (const bad of ['', 'node2', '::1', '10.0.0.2\nlink del eth0', '10.0.0.2 dev lo']) {
    t.equal(nodeNetwork(object(bad, '10.244.2.0/24')), undefined, JSON.stringify(bad));
  }
  for (const bad of ['', '10.244.2.0', '10.244.2.0/33', '10.244.2.0/24\nlink del eth0', 'x/24']) {
    t.equal(nodeNetwork(object('10.0.0.2', bad)), undefined, JSON.stringify(bad));
    t.notOk(isSubnet(bad));
  }
  t.equal(nodeNetwork({ metadata: { name: 'node2' }, spec: {} } as Node), undefined);
});
