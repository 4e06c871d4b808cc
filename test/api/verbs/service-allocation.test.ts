import t from 'tap';
import { failing, type Harness, parse, service, setUp } from './harness.ts';

const RANGE = { serviceCidr: '10.96.0.0/24', nodePorts: { first: 30_000, last: 30_009 } };

function taken(harness: Harness): string[] {
  const listed = harness.store.list('/skein/allocations//');
  return listed.kind === 'listed' ? listed.items.map(({ key }) => key.split('/').at(-1) ?? '') : [];
}

function remove(harness: Harness, name: string) {
  const { verbs, context, target } = harness;
  return verbs.delete(context(), target('services', 'default', name));
}

t.test('services: an address is given from the range, with families and policy', async (t) => {
  const harness = await setUp(RANGE);
  const { spec } = await harness.create('services', 'default', service('web'));
  t.match(spec.clusterIP, /^10\.96\.0\.\d+$/);
  t.strictSame(spec.clusterIPs, [spec.clusterIP]);
  t.strictSame(spec.ipFamilies, ['IPv4']);
  t.equal(spec.ipFamilyPolicy, 'SingleStack');
  t.equal(spec.type, 'ClusterIP');
  t.strictSame(taken(harness), [`cluster-ip-${spec.clusterIP}`]);
});

t.test(
  'services: no two get the same address or port, however many are created at once',
  async (t) => {
    const harness = await setUp(RANGE);
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        harness.create('services', 'default', service(`s${n}`, { type: 'NodePort' })),
      ),
    );
    t.equal(new Set(made.map(({ spec }) => spec.clusterIP)).size, 10);
    t.equal(new Set(made.map(({ spec }) => spec.ports[0].nodePort)).size, 10);
    const more = harness.create('services', 'default', service('more', { type: 'NodePort' }));
    t.match(await failing(more), {
      code: 500,
      message: /failed to allocate a nodePort: range is full/,
    });
  },
);

t.test('services: an address or port asked for is given once', async (t) => {
  const harness = await setUp(RANGE);
  const wanted = {
    clusterIP: '10.96.0.10',
    type: 'NodePort',
    ports: [{ port: 80, nodePort: 30_005 }],
  };
  const { spec } = await harness.create('services', 'default', service('dns', wanted));
  t.equal(spec.clusterIP, '10.96.0.10');
  t.equal(spec.ports[0].nodePort, 30_005);
  const address = service('a', { clusterIP: '10.96.0.10' });
  t.match(await failing(harness.create('services', 'default', address)), {
    code: 422,
    message:
      'Service "a" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated',
  });
  const port = service('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_005 }] });
  t.match(await failing(harness.create('services', 'default', port)), {
    code: 422,
    message:
      'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30005: provided port is already allocated',
  });
  t.equal(taken(harness).length, 2, 'a refused service holds nothing');
});

t.test('services: outside of the range is Invalid, with the range named', async (t) => {
  const harness = await setUp(RANGE);
  const port = service('a', { type: 'NodePort', ports: [{ port: 80, nodePort: 8080 }] });
  t.match(await failing(harness.create('services', 'default', port)), {
    message: /provided port is not in the valid range\. The range of valid ports is 30000-30009/,
  });
  const address = service('b', { clusterIP: '10.97.0.1' });
  t.match(await failing(harness.create('services', 'default', address)), {
    message: /provided IP is not in the valid range\. The range of valid IPs is 10\.96\.0\.0\/24/,
  });
});

t.test('services: what a deleted service held is free again', async (t) => {
  const harness = await setUp(RANGE);
  const first = await harness.create('services', 'default', service('a', { type: 'NodePort' }));
  await remove(harness, 'a');
  t.strictSame(taken(harness), []);
  const { clusterIP, ports } = first.spec;
  const again = service('b', {
    type: 'NodePort',
    clusterIP,
    ports: [{ port: 80, nodePort: ports[0].nodePort }],
  });
  t.equal((await harness.create('services', 'default', again)).spec.clusterIP, clusterIP);
});

t.test('services: a change of type gives and takes node ports', async (t) => {
  const harness = await setUp(RANGE);
  let made = await harness.create('services', 'default', service('a'));
  made.spec.type = 'NodePort';
  made = await harness.update('services', made);
  const { nodePort } = made.spec.ports[0];
  t.ok(nodePort >= 30_000);
  t.equal(taken(harness).length, 2);
  made.spec.type = 'ClusterIP';
  made = await harness.update('services', made);
  t.notOk('nodePort' in made.spec.ports[0]);
  t.strictSame(taken(harness), [`cluster-ip-${made.spec.clusterIP}`]);
});

t.test('services: a replacement that leaves out what was filled in keeps it', async (t) => {
  const harness = await setUp(RANGE);
  const made = await harness.create('services', 'default', service('a', { type: 'NodePort' }));
  const bare = service('a', {
    type: 'NodePort',
    ports: [{ port: 80 }, { port: 443, name: 'tls' }],
  });
  bare.spec.ports[0].name = 'http';
  bare.metadata.namespace = 'default';
  const updated = await harness.update('services', bare);
  t.equal(updated.spec.clusterIP, made.spec.clusterIP);
  t.equal(updated.spec.ports[0].nodePort, made.spec.ports[0].nodePort);
  t.ok(updated.spec.ports[1].nodePort);
  t.equal(taken(harness).length, 3);
});

t.test('services: headless and external ones hold nothing', async (t) => {
  const harness = await setUp(RANGE);
  const headless = service('h', { clusterIP: 'None' });
  const { spec } = await harness.create('services', 'default', headless);
  t.strictSame([spec.clusterIP, spec.clusterIPs], ['None', ['None']]);
  const external = service('e', { type: 'ExternalName', externalName: 'x.example' });
  const made = await harness.create('services', 'default', external);
  t.notOk(made.spec.clusterIP);
  t.strictSame(taken(harness), []);
});

t.test('services: one node port may serve two protocols of one service', async (t) => {
  const harness = await setUp(RANGE);
  const ports = [
    { name: 'u', port: 53, protocol: 'UDP' },
    { name: 't', port: 53, protocol: 'TCP' },
  ];
  const { spec } = await harness.create(
    'services',
    'default',
    service('dns', { type: 'NodePort', ports }),
  );
  t.equal(spec.ports[0].nodePort, spec.ports[1].nodePort);
});

t.test('services: a dry run takes nothing', async (t) => {
  const harness = await setUp(RANGE);
  const { verbs, context, target } = harness;
  const dry = context({ dryRun: true });
  const made = parse(await verbs.create(dry, target('services', 'default'), service('a')));
  t.ok(made.spec.clusterIP);
  t.strictSame(taken(harness), []);
});
