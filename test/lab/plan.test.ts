import t from 'tap';
import {
  checkLabName,
  checkNewAddress,
  freeIndex,
  hostOf,
  LAB_NODES_MAX,
  planLab,
} from '../../src/lab/plan.ts';

const LAB = { root: '/labs', name: 'lab', index: 3, nodes: 3 };

t.test('plan: names, addresses and devices of a lab follow from its name and index', async (t) => {
  const plan = planLab(LAB);
  t.strictSame(
    plan.hosts.map(({ name, address, netns, port, mac, dir }) => [
      name,
      address,
      netns,
      port,
      mac,
      dir,
    ]),
    [
      ['node1', '10.77.3.11', 'skein-lab-node1', 'p-node1', '02:77:00:00:03:0b', '/labs/lab/node1'],
      ['node2', '10.77.3.12', 'skein-lab-node2', 'p-node2', '02:77:00:00:03:0c', '/labs/lab/node2'],
      ['node3', '10.77.3.13', 'skein-lab-node3', 'p-node3', '02:77:00:00:03:0d', '/labs/lab/node3'],
    ],
  );
  t.equal(plan.switchNetns, 'skein-lab-switch');
});

t.test('plan: labs of other names or indexes share nothing', async (t) => {
  const facts = (plan: ReturnType<typeof planLab>) => [
    plan.dir,
    plan.switchNetns,
    plan.uplink,
    plan.gateway,
    ...plan.hosts.flatMap(({ address, netns, mac, dir }) => [address, netns, mac, dir]),
  ];
  const one = new Set(facts(planLab({ ...LAB, nodes: LAB_NODES_MAX })));
  const other = facts(planLab({ ...LAB, name: 'other', index: 4, nodes: LAB_NODES_MAX }));
  t.strictSame(
    other.filter((fact) => one.has(fact)),
    [],
  );
  t.equal(one.size, 4 + LAB_NODES_MAX * 4, 'nor do hosts of one lab');
});

t.test('plan: interface names fit the kernel even for the longest lab', async (t) => {
  const plan = planLab({ ...LAB, name: 'abcdefghijkl', index: 255, nodes: LAB_NODES_MAX });
  for (const name of [plan.uplink, ...plan.hosts.map(({ port }) => port)]) {
    t.ok(name.length <= 15, name);
  }
});

t.test('plan: a host with another address keeps everything else', async (t) => {
  const plan = planLab({ ...LAB, addresses: { node2: '10.77.3.99' } });
  const before = planLab(LAB);
  t.strictSame(hostOf(plan, 'node2'), { ...hostOf(before, 'node2'), address: '10.77.3.99' });
  t.strictSame(hostOf(plan, 'node1'), hostOf(before, 'node1'));
});

t.test('plan: a new address must lie in the lab and be free', async (t) => {
  const plan = planLab(LAB);
  const host = hostOf(plan, 'node1');
  for (const good of ['10.77.3.99', '10.77.3.11']) {
    t.doesNotThrow(() => checkNewAddress(plan, host, good), good);
  }
  const bad = [
    '10.77.3.12',
    '10.77.3.1',
    '10.77.3.254',
    '10.77.3.255',
    '10.77.4.9',
    '10.77.3.',
    'x',
  ];
  for (const address of bad) {
    t.throws(() => checkNewAddress(plan, host, address), { code: 'config-invalid' }, address);
  }
});

t.test('plan: what cannot be a lab is refused with the flag and what is expected', async (t) => {
  for (const nodes of [0, -1, 1.5, Number.NaN, LAB_NODES_MAX + 1]) {
    t.throws(() => planLab({ ...LAB, nodes }), {
      code: 'config-invalid',
      message: /--nodes.*1 to 50/,
    });
  }
  for (const name of ['', 'Lab', '1lab', 'a'.repeat(13), '../x', 'a b', '_locks']) {
    t.throws(() => checkLabName(name), { code: 'config-invalid', message: /--name/ }, name);
  }
  for (const name of ['lab', 'a', 'e2e-faults', 'a1-']) t.doesNotThrow(() => checkLabName(name));
  t.throws(() => hostOf(planLab(LAB), 'node9'), { message: /hosts are node1, node2, node3/ });
});

t.test('plan: the lowest free index is taken; the 257th lab is refused', async (t) => {
  t.equal(freeIndex(new Set()), 0);
  t.equal(freeIndex(new Set([0, 1, 3])), 2);
  t.throws(() => freeIndex(new Set(Array.from({ length: 256 }, (_, n) => n))), {
    code: 'config-invalid',
  });
});
