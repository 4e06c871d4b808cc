import t from 'tap';
import type { Event, Namespace, Secret } from '../../../src/resources/generated/kinds.ts';
import { admit, kindOf, registry, updateErrors, withAt } from '../support.ts';

function object(apiVersion: string, kind: string, rest: object = {}) {
  return { apiVersion, kind, metadata: { name: 'x' }, ...rest };
}

t.test('namespace: gets phase, finalizer and the label with its name', async (t) => {
  const { object: made, errors } = admit(object('v1', 'Namespace'));
  t.same(errors, []);
  t.same(made as Namespace, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'x', labels: { 'kubernetes.io/metadata.name': 'x' } },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  });
  t.match(admit({ ...object('v1', 'Namespace'), metadata: { name: 'a.b' } }).errors, [
    'metadata.name: Invalid value: "a.b": must not contain dots',
  ]);
});

t.test('namespace: objects of the cluster may not name one', async (t) => {
  const node = { ...object('v1', 'Node'), metadata: { name: 'n', namespace: 'default' } };
  t.same(admit(node).errors, ['metadata.namespace: Forbidden: not allowed on this type']);
});

t.test('config map: keys are checked, and an immutable one stays as it is', async (t) => {
  const good = object('v1', 'ConfigMap', { data: { 'app.properties': 'a=b' }, immutable: true });
  const made = admit(good);
  t.same(made.errors, []);
  t.match(
    admit(object('v1', 'ConfigMap', { data: { 'a/b': '' } })).errors[0],
    /^data\[a\/b\]: Invalid value: "a\/b": a valid config key must consist of/,
  );
  t.same(updateErrors(made.kind, withAt(made.object, 'data', { a: 'b' }), made.object), [
    'data: Forbidden: field is immutable when `immutable` is set',
  ]);
  const large = object('v1', 'ConfigMap', { data: { a: 'x'.repeat(1024 * 1024 + 1) } });
  t.same(admit(large).errors, ['[]: Too long: may not be more than 1048576 bytes']);
});

t.test('secret: text becomes data, the type defaults and stays', async (t) => {
  const made = admit(object('v1', 'Secret', { stringData: { user: 'root' } }));
  t.same(made.errors, []);
  const secret = made.object as Secret;
  t.same(secret.data, { user: 'cm9vdA==' });
  t.equal(secret.stringData, undefined);
  t.equal(secret.type, 'Opaque');
  const retyped = withAt(secret, 'type', 'example.com/other');
  t.same(updateErrors(made.kind, retyped, secret), [
    'type: Invalid value: "example.com/other": field is immutable',
  ]);
});

t.test('secret: each type holds what it must', async (t) => {
  const cases: [string, object, string[]][] = [
    ['kubernetes.io/tls', {}, ['data[tls.crt]: Required value', 'data[tls.key]: Required value']],
    [
      'kubernetes.io/basic-auth',
      {},
      ['data[username]: Required value', 'data[password]: Required value'],
    ],
    ['kubernetes.io/ssh-auth', {}, ['data[ssh-privatekey]: Required value']],
    ['kubernetes.io/dockerconfigjson', {}, ['data[.dockerconfigjson]: Required value']],
    [
      'kubernetes.io/service-account-token',
      {},
      ['metadata.annotations[kubernetes.io/service-account.name]: Required value'],
    ],
  ];
  for (const [type, data, expected] of cases) {
    t.same(admit(object('v1', 'Secret', { type, data })).errors, expected, type);
  }
});

t.test('node: taints are unique and pod addresses are given once', async (t) => {
  const taint = { key: 'a', effect: 'NoSchedule' };
  const twice = admit(object('v1', 'Node', { spec: { taints: [taint, taint] } }));
  t.same(twice.errors, [
    'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
  ]);
  const spec = { podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24'] };
  const node = admit(object('v1', 'Node', { spec }));
  t.same(node.errors, []);
  const moved = withAt(node.object, 'spec', { podCIDR: '10.2.0.0/24', podCIDRs: ['10.2.0.0/24'] });
  t.same(updateErrors(node.kind, moved, node.object), [
    'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
  ]);
});

t.test('endpoints: subsets have addresses that can be reached', async (t) => {
  t.same(admit(object('v1', 'Endpoints', { subsets: [{ ports: [{ port: 80 }] }] })).errors, [
    'subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`',
  ]);
  const loopback = { subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ port: 80 }] }] };
  t.same(admit(object('v1', 'Endpoints', loopback)).errors, [
    'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ]);
});

t.test('endpoint slice: addresses are of the type the slice declares', async (t) => {
  const slice = object('discovery.k8s.io/v1', 'EndpointSlice', {
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ports: [{ port: 80 }],
  });
  const made = admit(slice);
  t.same(made.errors, []);
  t.match(made.object, { ports: [{ name: '', port: 80, protocol: 'TCP' }] });
  t.same(admit(withAt(slice, 'addressType', undefined)).errors.slice(0, 1), [
    'addressType: Required value',
  ]);
});

t.test('lease: a duration is positive', async (t) => {
  const lease = object('coordination.k8s.io/v1', 'Lease', { spec: { leaseDurationSeconds: 0 } });
  t.same(admit(lease).errors, [
    'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
  ]);
});

t.test('event: is one object in both groups', async (t) => {
  const event = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'web.1', namespace: 'default' },
    eventTime: '2026-01-01T00:00:00.000000Z',
    regarding: { kind: 'Pod', name: 'web', namespace: 'default' },
    reason: 'Started',
    note: 'Started container web',
    type: 'Normal',
    action: 'Start',
    reportingController: 'skein.io/node',
    reportingInstance: 'n1',
    deprecatedCount: 2,
  };
  const made = admit(event);
  t.same(made.errors, []);
  const core = made.object as Event;
  t.match(core, {
    apiVersion: 'v1',
    involvedObject: { kind: 'Pod', name: 'web' },
    message: 'Started container web',
    count: 2,
    reportingComponent: 'skein.io/node',
  });
  const found = kindOf({ apiVersion: 'events.k8s.io/v1', kind: 'Event' });
  t.same(found?.served?.fromStorage(core), event, 'and back again');
  const elsewhere = withAt(event, 'regarding.namespace', 'other');
  t.same(admit(elsewhere).errors, [
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ]);
});

t.test('metadata: owners name one controller, finalizers are qualified', async (t) => {
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'a', uid: 'u', controller: true };
  const map = object('v1', 'ConfigMap');
  const errors = admit(
    withAt(map, 'metadata.ownerReferences', [owner, { ...owner, name: 'b' }]),
  ).errors;
  t.match(
    errors[0],
    /^metadata\.ownerReferences: Invalid value: .*Only one reference can have Controller set to true\. Found "true" in references for Pod\/a and Pod\/b$/,
  );
  t.match(
    admit(withAt(map, 'metadata.finalizers', ['/'])).errors[0],
    /^metadata\.finalizers\[0\]: Invalid value: "\/": prefix part must be non-empty/,
  );
  t.same(admit(withAt(map, 'metadata.annotations', { a: 'x'.repeat(262_144) })).errors, [
    'metadata.annotations: Too long: may not be more than 262144 bytes',
  ]);
});

t.test('metadata: an object that is being deleted gets no new finalizers', async (t) => {
  const made = admit(object('v1', 'ConfigMap'));
  const old = withAt(made.object, 'metadata.deletionTimestamp', '2026-01-01T00:00:00Z');
  const next = withAt(old, 'metadata.finalizers', ['example.com/late']);
  t.same(updateErrors(registry.builtIn('ConfigMap') as never, next, old), [
    'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ["example.com/late"]',
  ]);
});
