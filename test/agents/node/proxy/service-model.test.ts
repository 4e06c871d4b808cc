import t from 'tap';
import { modelService } from '../../../../agents/node/proxy/service-model.ts';
import type { EndpointSlice, Service } from '../../../../src/resources/generated/kinds.ts';

type Spec = NonNullable<Service['spec']>;
type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

const service = (spec: Partial<Spec> = {}, status: Service['status'] = {}): Service => ({
  metadata: { namespace: 'default', name: 'web' },
  spec: {
    clusterIP: '10.96.0.10',
    clusterIPs: ['10.96.0.10'],
    ports: [{ port: 80, protocol: 'TCP' }],
    ...spec,
  },
  status,
});

const endpoint = (ip: string, nodeName: string, conditions: Endpoint['conditions'] = {}) => ({
  addresses: [ip],
  nodeName,
  conditions: { ready: true, ...conditions },
});

const slice = (endpoints: Endpoint[], more: Partial<EndpointSlice> = {}): EndpointSlice => ({
  metadata: { namespace: 'default', name: 'web-1' },
  addressType: 'IPv4',
  ports: [{ port: 8080, protocol: 'TCP' }],
  endpoints,
  ...more,
});

const LOCAL = endpoint('10.244.1.2', 'node1');
const REMOTE = endpoint('10.244.2.2', 'node2');
const ipsOf = (backends: readonly { ip: string }[] | undefined) => backends?.map(({ ip }) => ip);

t.test(
  'service-model: one entry per port, with sorted backends that know where they are',
  async (t) => {
    const [model, ...others] = modelService(service(), [slice([REMOTE, LOCAL])], 'node1');
    t.strictSame(others, []);
    t.strictSame(model, {
      id: 'default/web/tcp/80',
      protocol: 'tcp',
      clusterIps: ['10.96.0.10'],
      externalIps: [],
      port: 80,
      nodePort: undefined,
      affinitySeconds: undefined,
      backends: [
        { ip: '10.244.1.2', port: 8080, local: true },
        { ip: '10.244.2.2', port: 8080, local: false },
      ],
      externalBackends: [
        { ip: '10.244.1.2', port: 8080, local: true },
        { ip: '10.244.2.2', port: 8080, local: false },
      ],
      externalLocal: false,
    });
  },
);

t.test('service-model: headless and external-name services are not routed', async (t) => {
  const none: readonly Partial<Spec>[] = [
    { clusterIP: 'None', clusterIPs: ['None'] },
    { type: 'ExternalName', externalName: 'example.com' },
    { clusterIP: '', clusterIPs: [] },
    { clusterIP: 'fd00::1', clusterIPs: ['fd00::1'] },
    { ports: [] },
    { ports: [{ port: 80, protocol: 'SCTP' }] },
  ];
  for (const spec of none) {
    t.strictSame(modelService(service(spec), [slice([LOCAL])], 'node1'), [], JSON.stringify(spec));
  }
  const bare = { metadata: { namespace: 'default', name: 'web' } } as Service;
  t.strictSame(modelService(bare, [slice([LOCAL])], 'node1'), []);
});

t.test('service-model: an IPv4 address beside another is routed', async (t) => {
  const dual = service({ clusterIPs: ['10.96.0.10', 'fd00::1'] });
  t.strictSame(modelService(dual, [], 'node1')[0]?.clusterIps, ['10.96.0.10']);
});

t.test('service-model: named ports find the slice’s port of that name and protocol', async (t) => {
  const spec = {
    ports: [
      { name: 'http', port: 80, targetPort: 'web', nodePort: 30080 },
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
    ],
  };
  const ports = [
    { name: 'http', port: 8080, protocol: 'TCP' },
    { name: 'dns', port: 5353, protocol: 'UDP' },
    { name: 'dns-tcp', port: 5354, protocol: 'TCP' },
  ];
  const models = modelService(service(spec), [slice([LOCAL], { ports })], 'node1');
  t.strictSame(
    models.map(({ id, nodePort, backends }) => [id, nodePort, backends[0]?.port]),
    [
      ['default/web/tcp/http', 30080, 8080],
      ['default/web/udp/dns', undefined, 5353],
      ['default/web/tcp/dns-tcp', undefined, 5354],
    ],
  );
});

t.test('service-model: pods may differ in what a port’s name means', async (t) => {
  const spec = { ports: [{ name: 'http', port: 80 }] };
  const models = modelService(
    service(spec),
    [
      slice([LOCAL], { ports: [{ name: 'http', port: 8080 }] }),
      slice([REMOTE], { ports: [{ name: 'http', port: 9090 }] }),
    ],
    'node1',
  );
  t.strictSame(
    models[0]?.backends.map(({ ip, port }) => `${ip}:${port}`),
    ['10.244.1.2:8080', '10.244.2.2:9090'],
  );
});

t.test(
  'service-model: the ready serve; without one, those that are leaving but still serve',
  async (t) => {
    const leaving = { ready: false, serving: true, terminating: true };
    const cases: [string, Endpoint[], string[]][] = [
      ['ready only', [endpoint('10.0.0.1', 'n', leaving), LOCAL], ['10.244.1.2']],
      ['leaving', [endpoint('10.0.0.1', 'n', leaving)], ['10.0.0.1']],
      ['leaving and not serving', [endpoint('10.0.0.1', 'n', { ...leaving, serving: false })], []],
      ['not ready', [endpoint('10.0.0.1', 'n', { ready: false })], []],
      [
        'not ready, serving, but not leaving',
        [endpoint('10.0.0.1', 'n', { ready: false, serving: true })],
        [],
      ],
    ];
    for (const [name, endpoints, ips] of cases) {
      const [model] = modelService(service(), [slice(endpoints)], 'node1');
      t.strictSame(ipsOf(model?.backends), ips, name);
    }
    const unsaid = { addresses: ['10.0.0.1'] };
    t.strictSame(
      ipsOf(modelService(service(), [slice([unsaid])], 'node1')[0]?.backends),
      ['10.0.0.1'],
      'what says nothing is ready',
    );
  },
);

t.test('service-model: a pod in two slices is one backend', async (t) => {
  const [model] = modelService(service(), [slice([LOCAL]), slice([LOCAL, REMOTE])], 'node1');
  t.equal(model?.backends.length, 2);
});

t.test('service-model: policies keep traffic on this node, each for its side', async (t) => {
  const both = [slice([LOCAL, REMOTE])];
  const [internal] = modelService(service({ internalTrafficPolicy: 'Local' }), both, 'node1');
  t.strictSame(ipsOf(internal?.backends), ['10.244.1.2']);
  t.strictSame(ipsOf(internal?.externalBackends), ['10.244.1.2', '10.244.2.2']);
  t.notOk(internal?.externalLocal);
  const [external] = modelService(service({ externalTrafficPolicy: 'Local' }), both, 'node1');
  t.strictSame(ipsOf(external?.backends), ['10.244.1.2', '10.244.2.2']);
  t.strictSame(ipsOf(external?.externalBackends), ['10.244.1.2']);
  t.ok(external?.externalLocal);
  const [elsewhere] = modelService(service({ externalTrafficPolicy: 'Local' }), both, 'node3');
  t.strictSame(ipsOf(elsewhere?.externalBackends), [], 'none here: refused, not forwarded');
});

t.test(
  'service-model: outside addresses are the external ones and the load balancer’s',
  async (t) => {
    const given = service(
      { externalIPs: ['192.0.2.1', '2001:db8::1'] },
      { loadBalancer: { ingress: [{ ip: '198.51.100.1' }, { hostname: 'lb.example' }] } },
    );
    const [model] = modelService(given, [slice([LOCAL])], 'node1');
    t.strictSame(model?.externalIps, ['192.0.2.1', '198.51.100.1']);
  },
);

t.test(
  'service-model: malformed addresses are left out: one would cost the whole transaction',
  async (t) => {
    const ips = ['999.1.1.1', '1.2.3', '10.0.0.1 }', '', '::1', '01.2.3.4'];
    const endpoints = [...ips.map((ip) => endpoint(ip, 'n')), { addresses: [] }, LOCAL];
    const [model] = modelService(service({ externalIPs: ips }), [slice(endpoints)], 'node1');
    t.strictSame(ipsOf(model?.backends), ['10.244.1.2']);
    t.strictSame(model?.externalIps, []);
    const ipv6 = slice([LOCAL], { addressType: 'IPv6' });
    t.strictSame(modelService(service(), [ipv6], 'node1')[0]?.backends, []);
  },
);

t.test('service-model: affinity has the time asked for, or three hours', async (t) => {
  const seconds = (spec: Partial<Spec>) =>
    modelService(service(spec), [], 'node1')[0]?.affinitySeconds;
  t.equal(seconds({ sessionAffinity: 'ClientIP' }), 10_800);
  const sessionAffinityConfig = { clientIP: { timeoutSeconds: 60 } };
  t.equal(seconds({ sessionAffinity: 'ClientIP', sessionAffinityConfig }), 60);
  t.equal(seconds({ sessionAffinity: 'None', sessionAffinityConfig }), undefined);
});
