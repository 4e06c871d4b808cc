/** Protobuf bodies, as Go's clients write them. */

import t from 'tap';
import { decodeProtobuf } from '../../../src/api/protobuf/decode.ts';
import { type Message, messageNamed, messageOfKind } from '../../../src/api/protobuf/messages.ts';
import { schemaTable } from '../../../src/resources/schema.ts';

/** Bytes of the wire format, written out by hand. */
const varint = (value: number): number[] =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(Math.floor(value / 128))];
const bytes = (number: number, content: readonly number[] | string): number[] => {
  const data = typeof content === 'string' ? [...Buffer.from(content)] : content;
  return [...varint(number * 8 + 2), ...varint(data.length), ...data];
};
const whole = (number: number, value: number): number[] => [
  ...varint(number * 8),
  ...varint(value),
];
const body = (apiVersion: string, kind: string, raw: readonly number[]): Buffer =>
  Buffer.from([
    ...[0x6b, 0x38, 0x73, 0],
    ...bytes(1, [...bytes(1, apiVersion), ...bytes(2, kind)]),
    ...bytes(2, raw),
    ...bytes(3, ''),
    ...bytes(4, ''),
  ]);

t.test('protobuf: a config map with maps, bytes and an unset time', async (t) => {
  const meta = bytes(1, [
    ...bytes(1, 'a'),
    ...bytes(2, ''),
    ...bytes(8, []),
    ...bytes(11, [...bytes(1, 'k'), ...bytes(2, 'v')]),
  ]);
  const raw = [
    ...meta,
    ...bytes(2, [...bytes(1, 'x'), ...bytes(2, 'y')]),
    ...bytes(2, [...bytes(1, '__proto__'), ...bytes(2, 'z')]),
    ...bytes(3, [...bytes(1, 'bin'), ...bytes(2, [0, 255])]),
    ...whole(4, 0),
  ];
  const object = decodeProtobuf(body('v1', 'ConfigMap', raw));
  t.equal(
    JSON.stringify(object),
    '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","labels":{"k":"v"}},"data":{"x":"y","__proto__":"z"},"binaryData":{"bin":"AP8="},"immutable":false}',
  );
});

t.test('protobuf: zeros mean something only where the field is optional', async (t) => {
  const spec = bytes(2, [...whole(1, 0), ...bytes(2, []), ...whole(5, 0), ...whole(7, 0)]);
  const object = decodeProtobuf(body('apps/v1', 'Deployment', spec));
  t.match(object, { spec: { replicas: 0, selector: {} } });
  t.notOk('paused' in (object as { spec: object }).spec);
  t.notOk('minReadySeconds' in (object as { spec: object }).spec);
});

t.test('protobuf: embedded structs, quantities and numbers that may be names', async (t) => {
  const limits = bytes(1, [...bytes(1, 'cpu'), ...bytes(2, bytes(1, '100m'))]);
  const tcp = bytes(3, bytes(1, [...whole(1, 1), ...whole(2, 0), ...bytes(3, 'http')]));
  const container = [
    ...bytes(1, 'c'),
    ...bytes(8, limits),
    ...bytes(10, [...bytes(1, tcp), ...whole(3, 5)]),
  ];
  const volume = [...bytes(1, 'data'), ...bytes(2, bytes(2, []))];
  const object = decodeProtobuf(
    body('v1', 'Pod', bytes(2, [...bytes(1, volume), ...bytes(2, container)])),
  );
  t.same(object, {
    kind: 'Pod',
    apiVersion: 'v1',
    spec: {
      volumes: [{ name: 'data', emptyDir: {} }],
      containers: [
        {
          name: 'c',
          resources: { limits: { cpu: '100m' } },
          livenessProbe: { tcpSocket: { port: 'http' }, timeoutSeconds: 5 },
        },
      ],
    },
  });
});

t.test('protobuf: what is broken is refused in words', async (t) => {
  const refused = (bytes: Buffer, message: RegExp) =>
    t.throws(() => decodeProtobuf(bytes), { name: 'WireError', message });
  refused(Buffer.from('{}'), /does not appear to be a protobuf message/);
  refused(body('v1', 'Nosuch', []), /no kind "Nosuch" is registered for version "v1"/);
  refused(body('v1', 'ConfigMap', [0x0a, 0x7f]), /unexpected EOF/);
  refused(body('v1', 'ConfigMap', [0x08, 0x01]), /wrong wireType/);
  refused(body('v1', 'ConfigMap', Array(11).fill(0xff)), /overflow/);
  let deep: number[] = [];
  for (let level = 0; level < 200; level++) deep = bytes(1, deep);
  t.doesNotThrow(() => decodeProtobuf(body('v1', 'Pod', bytes(99, deep))), 'unknown is skipped');
});

t.test('protobuf: integers of every size and sign', async (t) => {
  const minusOne = [...varint(1 * 8), ...Array(9).fill(0xff), 0x01];
  const options = decodeProtobuf(body('v1', 'DeleteOptions', minusOne));
  t.match(options, { gracePeriodSeconds: -1 });
  const large = decodeProtobuf(body('v1', 'DeleteOptions', whole(1, 2 ** 40 + 5)));
  t.match(large, { gracePeriodSeconds: 2 ** 40 + 5 });
});

/** Fields that protobuf and JSON name or nest differently. */
const INLINE = ['volumeSource', 'persistentVolumeSource', 'handler', 'ephemeralContainerCommon'];

t.test('protobuf: messages and schemas name the same fields', async (t) => {
  const names = (message: Message): string[] =>
    [...message.values()].flatMap(({ name, type }) => {
      const inline = INLINE.includes(name) || name === 'localObjectReference';
      if (!inline || type.kind !== 'message') return [name];
      return names(messageNamed(type.message) ?? new Map());
    });
  let compared = 0;
  for (const [type, schema] of Object.entries(schemaTable())) {
    const message = messageNamed(type.replace(/^io\.k8s\./, 'k8s.io.'));
    if (message === undefined || Object.keys(schema.fields).length === 0) continue;
    compared++;
    const known = new Set(names(message));
    const missing = Object.keys(schema.fields).filter(
      (field) => !known.has(field) && field !== 'apiVersion' && field !== 'kind',
    );
    t.same(missing, [], type);
  }
  t.ok(compared > 200, `${compared} compared`);
});

t.test('protobuf: kinds are found in their packages', async (t) => {
  const found = (apiVersion: string, kind: string) => messageOfKind(apiVersion, kind) ?? '';
  t.equal(found('v1', 'Pod'), 'k8s.io.api.core.v1.Pod');
  t.equal(found('rbac.authorization.k8s.io/v1', 'Role'), 'k8s.io.api.rbac.v1.Role');
  t.equal(found('extensions/v1beta1', 'Deployment'), 'k8s.io.api.extensions.v1beta1.Deployment');
  t.match(found('apps/v1', 'DeleteOptions'), /meta\.v1\.DeleteOptions$/);
  t.match(
    found('apiextensions.k8s.io/v1', 'CustomResourceDefinition'),
    /apiextensions\.v1\.CustomResourceDefinition$/,
  );
});
