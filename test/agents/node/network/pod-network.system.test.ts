import t from 'tap';
import { HOSTS, TwoHosts } from '../../../support/two-hosts.ts';

t.test('network: pods on two nodes reach each other through the tunnel', async (t) => {
  const hosts = new TwoHosts();
  t.teardown(() => hosts.end());
  await hosts.start('vxlan');
  const first = await hosts.addPod('a', 'pod1');
  const second = await hosts.addPod('b', 'pod2');
  t.match(first, /^10\.244\.1\./);
  t.match(second, /^10\.244\.2\./);
  await hosts.serve('pod2', 8080);
  t.equal(await hosts.ask('pod1', second, 8080), 'pod2', 'pod to pod');
  t.equal(await hosts.ask('a', second, 8080), 'pod2', 'node to a pod of another node');
  t.match(
    await hosts.namespaces.ip('a', 'route show'),
    /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev skein\.vxlan/,
  );
});

t.test('network: nodes on one link need no tunnel in mode auto', async (t) => {
  const hosts = new TwoHosts();
  t.teardown(() => hosts.end());
  await hosts.start('auto');
  await hosts.addPod('a', 'pod1');
  const second = await hosts.addPod('b', 'pod2');
  await hosts.serve('pod2', 8080);
  t.equal(await hosts.ask('pod1', second, 8080), 'pod2');
  t.match(await hosts.namespaces.ip('a', 'route show'), /10\.244\.2\.0\/24 via 10\.78\.0\.2/);
});

t.test('network: a node that left loses its route, and its entries', async (t) => {
  const hosts = new TwoHosts();
  t.teardown(() => hosts.end());
  await hosts.start('vxlan');
  const plan = { do: 'network', self: HOSTS.a, mode: 'vxlan', linkCidrs: [] } as const;
  await hosts.act('a', { ...plan, others: [] });
  t.notMatch(await hosts.namespaces.ip('a', 'route show'), /10\.244\.2/);
  t.notMatch(await hosts.namespaces.run('a', ['bridge', 'fdb', 'show']), /10\.78\.0\.2/);
  await hosts.act('a', { ...plan, others: [HOSTS.b] });
  t.match(await hosts.namespaces.ip('a', 'route show'), /10\.244\.2/, 'and gets it back');
});

t.test('network: attach and detach may be repeated, and addresses are released', async (t) => {
  const hosts = new TwoHosts();
  t.teardown(() => hosts.end());
  await hosts.start();
  const address = await hosts.addPod('a', 'pod1');
  const target = {
    containerId: 'container-pod1',
    netnsPath: hosts.namespaces.path('pod1'),
    hostPorts: [],
  };
  t.strictSame(await hosts.act('a', { do: 'attach', ...target }), { ips: [address] });
  await hosts.act('a', { do: 'detach', ...target });
  await hosts.act('a', { do: 'detach', ...target });
  t.notMatch(await hosts.namespaces.ip('a', 'route show'), new RegExp(address));
});

t.test(
  'network: what an incomplete view does not know stays; what moved is followed',
  async (t) => {
    const hosts = new TwoHosts();
    t.teardown(() => hosts.end());
    await hosts.start('vxlan');
    const plan = { do: 'network', self: HOSTS.a, mode: 'vxlan', linkCidrs: [] } as const;
    const forwarding = () => hosts.namespaces.run('a', ['bridge', 'fdb', 'show']);
    await hosts.act('a', { ...plan, others: [], keepUnknown: true });
    t.match(await hosts.namespaces.ip('a', 'route show'), /10\.244\.2/, 'the route');
    t.match(await forwarding(), /10\.78\.0\.2/, 'the way through the tunnel');
    const moved = { ...HOSTS.b, address: '10.78.0.9' };
    await hosts.act('a', { ...plan, others: [moved], keepUnknown: true });
    t.match(await forwarding(), /10\.78\.0\.9/);
    t.notMatch(await forwarding(), /10\.78\.0\.2/, 'a node is at one address');
    await hosts.act('a', { ...plan, others: [] });
    t.notMatch(
      await hosts.namespaces.ip('a', 'route show'),
      /10\.244\.2/,
      'a complete view decides',
    );
  },
);

t.test('network: a pod whose sandbox is made anew has its address again', async (t) => {
  const hosts = new TwoHosts();
  t.teardown(() => hosts.end());
  await hosts.start();
  const first = await hosts.addPod('a', 'pod1');
  await hosts.addPod('a', 'pod2');
  const gone = { containerId: 'container-pod1', netnsPath: '', hostPorts: [] };
  await hosts.act('a', { do: 'detach', ...gone });
  await hosts.namespaces.add('pod1-again');
  const again = await hosts.act('a', {
    do: 'attach',
    containerId: 'container-pod1-again',
    podUid: 'uid of container-pod1',
    netnsPath: hosts.namespaces.path('pod1-again'),
    hostPorts: [],
  });
  t.strictSame(again, { ips: [first] });
});
