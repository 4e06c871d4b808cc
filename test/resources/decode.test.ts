import t from 'tap';
import {
  checkStructure,
  decodeFailure,
  strictFailure,
  unknownFieldWarnings,
} from '../../src/resources/decode.ts';
import { MINIMAL_DEPLOYMENT, MINIMAL_POD, withAt } from './support.ts';

const POD = 'io.k8s.api.core.v1.Pod';
const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment';

function messages(object: unknown, schema = POD): string[] {
  return checkStructure(object, schema, { onUnknown: 'keep' }).map(({ message }) => message);
}

t.test('decode: an object of the right shape has no problems', async (t) => {
  t.same(messages(MINIMAL_POD), []);
  t.same(messages(MINIMAL_DEPLOYMENT, DEPLOYMENT), []);
});

t.test('decode: wrong types are named as upstream names them', async (t) => {
  const cases: [string, unknown, string][] = [
    [
      'spec.containers',
      'x',
      'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
    ],
    [
      'spec.containers.0.image',
      5,
      'json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string',
    ],
    [
      'spec.hostNetwork',
      'true',
      'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool',
    ],
    [
      'spec.terminationGracePeriodSeconds',
      1.5,
      'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64',
    ],
    [
      'metadata.labels',
      { a: 1 },
      'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    [
      'spec.securityContext',
      [],
      'json: cannot unmarshal array into Go struct field PodSpec.spec.securityContext of type v1.PodSecurityContext',
    ],
    [
      'spec.containers.0.resources.limits',
      { cpu: 'lots' },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [
      'metadata.creationTimestamp',
      'yesterday',
      'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
    ],
  ];
  for (const [path, value, message] of cases) {
    t.same(messages(withAt(MINIMAL_POD, path, value)), [message], path);
  }
  t.same(messages(withAt(MINIMAL_DEPLOYMENT, 'spec.replicas', 3_000_000_000), DEPLOYMENT), [
    'json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32',
  ]);
  t.same(messages({ data: { a: 'not base64!' } }, 'io.k8s.api.core.v1.Secret'), [
    'illegal base64 data at input byte 3',
  ]);
  t.match(messages('text')[0], /cannot unmarshal string into Go value of type Pod/);
});

t.test('decode: the sentence of a 400 says which kind could not be decoded', async (t) => {
  const bad = withAt(MINIMAL_DEPLOYMENT, 'spec.replicas', 'three');
  const problems = checkStructure(bad, DEPLOYMENT);
  t.equal(
    decodeFailure(problems, { kind: 'Deployment', version: 'v1' }),
    'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
  );
  t.equal(strictFailure(problems, { kind: 'Deployment', version: 'v1' }), undefined);
});

t.test('decode: unknown fields are found by path and dropped unless kept', async (t) => {
  const object = withAt(withAt(MINIMAL_POD, 'spec.foo', 1), 'spec.containers.0.imagee', 'x');
  const problems = checkStructure(object, POD);
  const sentences = ['unknown field "spec.containers[0].imagee"', 'unknown field "spec.foo"'];
  t.same(unknownFieldWarnings(problems), sentences);
  t.equal(
    strictFailure(problems, { kind: 'Pod', version: 'v1' }),
    `Pod in version "v1" cannot be handled as a Pod: strict decoding error: ${sentences.join(', ')}`,
  );
  t.same(object, MINIMAL_POD, 'what nobody knows is gone');
});

t.test('decode: nulls count as absent, and quantities take their canonical form', async (t) => {
  const object = {
    metadata: { name: 'x', creationTimestamp: null, labels: { a: null } },
    spec: {
      nodeName: null,
      containers: [
        {
          name: 'c',
          resources: { limits: { cpu: 1, memory: '1024Mi' }, requests: { cpu: '0.5' } },
        },
      ],
    },
  };
  t.same(checkStructure(object, POD), []);
  t.same(object, {
    metadata: { name: 'x', labels: { a: '' } },
    spec: {
      containers: [
        {
          name: 'c',
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } },
        },
      ],
    },
  });
});

t.test('decode: times are stored in UTC, to the second or the microsecond', async (t) => {
  const lease = {
    metadata: { name: 'l', creationTimestamp: '2026-01-02T03:04:05.678+02:00' },
    spec: { renewTime: '2026-01-02T03:04:05.1234567Z' },
  };
  t.same(checkStructure(lease, 'io.k8s.api.coordination.v1.Lease'), []);
  t.equal(lease.metadata.creationTimestamp, '2026-01-02T01:04:05Z');
  t.equal(lease.spec.renewTime, '2026-01-02T03:04:05.123456Z');
});

t.test('decode: names that every object inherits are unknown fields like others', async (t) => {
  const object = JSON.parse('{"metadata":{"name":"x"},"constructor":1,"__proto__":{"a":1}}');
  t.same(messages(object).sort(), ['unknown field "__proto__"', 'unknown field "constructor"']);
});

t.test('decode: what stands behind many unknown fields is checked all the same', async (t) => {
  const unknown = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`u${at}`, at]));
  const make = (spec: object) => ({ metadata: { name: 'x' }, ...unknown, spec, more: 1 });
  const wrong = checkStructure(make({ containers: 'x' }), POD);
  t.ok(
    wrong.some(({ kind }) => kind === 'type'),
    'a wrong type is found',
  );
  const object = make({ containers: [{ name: 'c' }], nodeName: null, bogus: 1 });
  const problems = checkStructure(object, POD);
  t.equal(problems.length, 20, 'twenty are reported');
  t.same(object, { metadata: { name: 'x' }, spec: { containers: [{ name: 'c' }] } }, 'all dropped');
});
