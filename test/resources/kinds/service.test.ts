import t from 'tap';
import { fieldErrorText } from '../../../src/resources/field-errors.ts';
import type { Service } from '../../../src/resources/generated/kinds.ts';
import { nodePortRangeError } from '../../../src/resources/validation/service.ts';
import { admit, MINIMAL_SERVICE, registry, updateErrors, withAt } from '../support.ts';

const kind = registry.builtIn('Service') as never;

/** A stored NodePort service with all that the server allocates. */
function allocated(): Service {
  const { object } = admit(withAt(MINIMAL_SERVICE, 'spec.type', 'NodePort'));
  const service = object as Service;
  service.spec.clusterIP = '10.96.0.10';
  service.spec.clusterIPs = ['10.96.0.10'];
  service.spec.ipFamilies = ['IPv4'];
  service.spec.ipFamilyPolicy = 'SingleStack';
  for (const port of service.spec.ports ?? []) port.nodePort = 30080;
  return service;
}

t.test('service: defaults are those of core/v1', async (t) => {
  const { object, errors } = admit(MINIMAL_SERVICE);
  t.same(errors, []);
  t.same((object as Service).spec, {
    selector: { app: 'web' },
    ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    sessionAffinity: 'None',
    type: 'ClusterIP',
    internalTrafficPolicy: 'Cluster',
  });
  t.same((object as Service).status, { loadBalancer: {} });
  const sticky = admit(withAt(MINIMAL_SERVICE, 'spec.sessionAffinity', 'ClientIP')).object;
  t.same((sticky as Service).spec.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10800 } });
});

t.test('service: failures are worded and placed as upstream does', async (t) => {
  const cases: [string, unknown, string[]][] = [
    ['spec.ports', [], ['spec.ports: Required value']],
    [
      'spec.ports',
      [{ port: 80 }, { port: 81 }],
      ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value'],
    ],
    [
      'spec.ports',
      [{ port: 80, nodePort: 30000 }],
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      'spec.ports',
      [{ port: 0 }],
      [
        'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
        'spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive',
      ],
    ],
    [
      'spec.type',
      'Magic',
      [
        'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      'spec.clusterIP',
      'nowhere',
      [
        'spec.clusterIPs[0]: Invalid value: "nowhere": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      ],
    ],
    [
      'spec.externalTrafficPolicy',
      'Local',
      [
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
      ],
    ],
    [
      'spec.loadBalancerSourceRanges',
      ['10.0.0.0/8', 'all'],
      [
        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        'spec.LoadBalancerSourceRanges[1]: Invalid value: "all": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
    ['spec', { type: 'ExternalName' }, ['spec.externalName: Required value']],
  ];
  for (const [path, value, expected] of cases) {
    t.same(admit(withAt(MINIMAL_SERVICE, path, value)).errors, expected, JSON.stringify(value));
  }
  t.match(admit(withAt(MINIMAL_SERVICE, 'metadata.name', '1web')).errors[0], /a DNS-1035 label/);
  t.same(admit(withAt(MINIMAL_SERVICE, 'spec', { clusterIP: 'None' })).errors, [], 'headless');
  t.equal(
    fieldErrorText(nodePortRangeError('spec.ports[0].nodePort', 80, '30000-32767')),
    'spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
  );
});

t.test('service: a replacement that names no address keeps the allocated ones', async (t) => {
  const old = allocated();
  const next = structuredClone(MINIMAL_SERVICE) as unknown as Service;
  next.spec.type = 'NodePort';
  t.same(updateErrors(kind, next, old), []);
  t.equal(next.spec.clusterIP, '10.96.0.10');
  t.equal(next.spec.ports?.[0]?.nodePort, 30080);
  t.same(next.spec.ipFamilies, ['IPv4']);
});

t.test('service: an allocated address may not change', async (t) => {
  const old = allocated();
  t.same(updateErrors(kind, withAt(old, 'spec.clusterIP', '10.96.0.11'), old), [
    'spec.clusterIPs[0]: Invalid value: ["10.96.0.11"]: may not change once set',
  ]);
});

t.test('service: a change of type drops what only the old type had', async (t) => {
  const old = allocated();
  const inside = withAt(old, 'spec.type', 'ClusterIP');
  t.same(updateErrors(kind, inside, old), []);
  t.equal(inside.spec.ports?.[0]?.nodePort, undefined);
  t.equal(inside.spec.externalTrafficPolicy, undefined);
  t.equal(inside.spec.clusterIP, '10.96.0.10');
  const alias = withAt(withAt(old, 'spec.type', 'ExternalName'), 'spec.externalName', 'a.example');
  t.same(updateErrors(kind, alias, old), []);
  t.equal(alias.spec.clusterIP, undefined);
});
