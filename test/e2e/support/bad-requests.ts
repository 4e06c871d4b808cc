/** Requests that must be refused, each with the code and reason that clients branch on. */

import type { Call } from '../../../src/chaos/api-client.ts';
import { CONFIG_MAPS } from './writes.ts';

export type Case = Call & {
  readonly what: string;
  readonly path: string;
  readonly code: number;
  readonly reason: string;
};

const META = { apiVersion: 'v1', kind: 'ConfigMap' };
const named = (name: unknown, more: object = {}) => ({ ...META, metadata: { name }, ...more });
const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
const fill = (length: number) => 'x'.repeat(length);

const body = (what: string, value: unknown, code = 400, reason = 'BadRequest'): Case => ({
  what,
  path: CONFIG_MAPS,
  method: 'POST',
  body: value,
  code,
  reason,
});

const typed = (what: string, type: string, value: unknown, code = 400, reason = 'BadRequest') => ({
  ...body(what, value, code, reason),
  headers: { 'content-type': type },
});

const strict = (what: string, value: unknown): Case => ({
  ...body(what, value),
  path: `${CONFIG_MAPS}?fieldValidation=Strict`,
});

export const BAD_BODIES: readonly Case[] = [
  body('cut JSON', '{"a":'),
  body('an empty body', ''),
  body('a list', []),
  body('a text', '"x"'),
  body('null', 'null'),
  body('no UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
  body('endless nesting', `{"metadata":{"name":"x"},"x":${deep}}`),
  body('another kind', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } }),
  body('an unknown kind', { apiVersion: 'v1', kind: 'Nonsense', metadata: { name: 'x' } }),
  body('an unknown version', { ...META, apiVersion: 'v9', metadata: { name: 'x' } }),
  body('data of numbers', named('x', { data: { a: 1 } })),
  body('data that is a list', named('x', { data: [] })),
  body('metadata that is a text', { ...META, metadata: 'x' }),
  body('a name that is a number', named(5)),
  body('labels of lists', { ...META, metadata: { name: 'x', labels: { a: [] } } }),
  strict('an unknown field', named('x', { nonsense: 1 })),
  strict('a field twice', '{"metadata":{"name":"x"},"data":{},"data":{}}'),
  body('10 MB', named('x', { data: { a: fill(10_000_000) } }), 413, 'RequestEntityTooLarge'),
  body('data of 2 MB', named('x', { data: { a: fill(2_000_000) } }), 422, 'Invalid'),
  body('a name in capitals', named('UPPER'), 422, 'Invalid'),
  body('a name with a slash', named('a/b'), 422, 'Invalid'),
  body('no name', { ...META, metadata: {} }, 422, 'Invalid'),
  body('a long name', named(fill(300)), 422, 'Invalid'),
  body('another namespace', { ...META, metadata: { name: 'x', namespace: 'other' } }),
  body('a resourceVersion', { ...META, metadata: { name: 'x', resourceVersion: '5' } }),
  {
    ...body('a namespace that is not', named('x'), 404, 'NotFound'),
    path: '/api/v1/namespaces/absent/configmaps',
  },
  {
    ...body('an object larger than the log takes', {}, 413, 'RequestEntityTooLarge'),
    path: '/api/v1/namespaces/default/events',
    body: {
      metadata: { name: 'large', namespace: 'default' },
      involvedObject: { namespace: 'default' },
      message: fill(2_500_000),
    },
  },
  {
    ...body('a hundred thousand faults', {}, 422, 'Invalid'),
    path: '/api/v1/namespaces/default/pods',
    body: {
      metadata: { name: 'faults' },
      spec: { containers: Array.from({ length: 100_000 }, () => ({})) },
    },
  },
  typed('cut YAML', 'application/yaml', 'a: [b'),
  typed('YAML of wrong types', 'application/yaml', 'metadata: {name: x}\ndata: {a: 1}'),
  typed('YAML within itself', 'application/yaml', `a: &a [*a, *a]\n#${fill(2000)}`),
  typed(
    'YAML that explodes',
    'application/yaml',
    Array.from({ length: 20 }, (_, at) => {
      const inner = Array.from({ length: 9 }, () => (at === 0 ? 'x' : `*a${at - 1}`));
      return `a${at}: &a${at} [${inner.join(',')}]`;
    }).join('\n'),
  ),
  typed('bytes as protobuf', 'application/vnd.kubernetes.protobuf', Buffer.alloc(100, 0xff)),
  typed(
    'cut protobuf',
    'application/vnd.kubernetes.protobuf',
    Buffer.from([0x6b, 0x38, 0x73, 0, 0x0a, 0xff, 0xff, 0xff, 0x0f]),
  ),
  ...['text/plain', 'application/xml', 'application/cbor', 'nonsense'].map((type) =>
    typed(`a body of ${type}`, type, named('x'), 415, 'UnsupportedMediaType'),
  ),
];

const list = (query: string, code = 400, reason = 'BadRequest'): Case => ({
  what: `list ?${query.slice(0, 60)}`,
  path: `${CONFIG_MAPS}?${query}`,
  code,
  reason,
});

const path = (method: string, at: string, code = 404, reason = 'NotFound'): Case => ({
  what: `${method} ${at}`,
  path: at,
  method,
  code,
  reason,
});

const POD = '/api/v1/namespaces/default/pods/absent';

export const BAD_REQUESTS: readonly Case[] = [
  list('labelSelector=a%3D%3D%3Db'),
  list('labelSelector=%21%21'),
  list('labelSelector=a+in+('),
  list(`labelSelector=${fill(300)}`),
  list('labelSelector=%ff'),
  list('fieldSelector=nonsense'),
  list('fieldSelector=spec.nonsense%3D1'),
  list('continue=garbage'),
  list(`continue=${Buffer.from('{"v":"meta.k8s.io/v1","rv":1,"start":"x"}').toString('base64')}`),
  list('resourceVersion=abc'),
  list('resourceVersion=-1'),
  list('resourceVersion=99999999999999999999'),
  list('resourceVersion=99999999', 504, 'Timeout'),
  list('resourceVersion=1&resourceVersionMatch=Nonsense', 422, 'Invalid'),
  list('resourceVersionMatch=Exact', 422, 'Invalid'),
  list('limit=-1'),
  list('limit=x'),
  list('watch=true&resourceVersion=abc'),
  list('watch=true&timeoutSeconds=x'),
  list('watch=true&sendInitialEvents=true', 422, 'Invalid'),
  { ...body('dryRun=Some', named('x')), path: `${CONFIG_MAPS}?dryRun=Some` },
  { ...body('fieldValidation=Some', named('x')), path: `${CONFIG_MAPS}?fieldValidation=Some` },
  path('GET', '/nonsense'),
  path('GET', '/api/v9'),
  path('GET', '/apis/none.example/v1'),
  path('GET', '/api/v1/nonsense'),
  path('GET', '/api/v1/namespaces/default/nonsense/x'),
  path('GET', `${CONFIG_MAPS}/x/y/z`),
  path('GET', `${CONFIG_MAPS}/absent`),
  path('GET', `${CONFIG_MAPS}/../secrets/x`),
  path('GET', `${CONFIG_MAPS}/%2e%2e%2fsecrets`),
  path('GET', `${CONFIG_MAPS}/%00`),
  path('GET', '/api/v1/pods/x'),
  path('GET', '/api/v1/namespaces/default/nodes'),
  path('GET', POD),
  path('GET', `${POD}/log`),
  path('GET', `${POD}/exec?command=x`),
  path('POST', `${POD}/attach`),
  path('POST', `${POD}/portforward`),
  path('POST', `${POD}/log`, 405, 'MethodNotAllowed'),
  path('PUT', CONFIG_MAPS, 405, 'MethodNotAllowed'),
  path('PATCH', CONFIG_MAPS, 405, 'MethodNotAllowed'),
  path('POST', `${CONFIG_MAPS}/x`, 405, 'MethodNotAllowed'),
  path('TRACE', CONFIG_MAPS, 405, 'MethodNotAllowed'),
  path('OPTIONS', CONFIG_MAPS, 405, 'MethodNotAllowed'),
  path('DELETE', '/api', 405, 'MethodNotAllowed'),
  path('POST', '/version', 405, 'MethodNotAllowed'),
  path('BREW', CONFIG_MAPS, 400, 'BadRequest'),
  ...['text/html', 'image/*', 'nonsense', 'application/json;as=Nonsense'].map((accept) => ({
    ...path('GET', CONFIG_MAPS, 406, 'NotAcceptable'),
    what: `accept ${accept}`,
    headers: { accept },
  })),
  {
    ...path('GET', CONFIG_MAPS, 431, 'RequestHeaderFieldsTooLarge'),
    what: 'a header of 70 kB',
    headers: { 'x-large': fill(70_000) },
  },
  {
    ...path('GET', CONFIG_MAPS, 403, 'Forbidden'),
    what: 'in the name of nobody',
    headers: { 'impersonate-user': 'nobody' },
  },
  {
    ...path('GET', CONFIG_MAPS, 400, 'BadRequest'),
    what: 'in the name of a group alone',
    headers: { 'impersonate-group': 'x' },
  },
];

const SEED = `${CONFIG_MAPS}/seed`;

const patch = (
  what: string,
  type: 'json-patch' | 'merge-patch' | 'strategic-merge-patch',
  value: unknown,
  code = 400,
  reason = 'BadRequest',
): Case => ({
  what: `${type}: ${what}`,
  path: SEED,
  method: 'PATCH',
  body: value,
  headers: { 'content-type': `application/${type}+json` },
  code,
  reason,
});

const operation = (op: string, at: string, more: object = {}) => [{ op, path: at, ...more }];

const update = (what: string, value: unknown, code = 400, reason = 'BadRequest'): Case => ({
  what: `update: ${what}`,
  path: SEED,
  method: 'PUT',
  body: value,
  code,
  reason,
});

const deletion = (what: string, value: unknown, code = 400, reason = 'BadRequest'): Case => ({
  what: `delete: ${what}`,
  path: SEED,
  method: 'DELETE',
  body: value,
  code,
  reason,
});

/** Of the ConfigMap `seed`, which has `data: {a: b}`. */
export const BAD_PATCHES: readonly Case[] = [
  patch('no list', 'json-patch', {}),
  patch('an unknown operation', 'json-patch', operation('nonsense', '/a'), 422, 'Invalid'),
  patch('a path that is not', 'json-patch', operation('remove', '/data/z'), 422, 'Invalid'),
  patch('a failed test', 'json-patch', operation('test', '/data/a', { value: 1 }), 422, 'Invalid'),
  patch('a wrong type', 'json-patch', operation('replace', '/data', { value: 5 })),
  patch('no object', 'json-patch', operation('replace', '', { value: 5 })),
  patch(
    'a prototype',
    'json-patch',
    operation('add', '/__proto__/x', { value: 1 }),
    422,
    'Invalid',
  ),
  patch(
    'copies of copies',
    'json-patch',
    Array.from({ length: 60 }, (_, at) => ({ op: 'copy', from: '/data', path: `/data/c${at}` })),
    422,
    'Invalid',
  ),
  patch(
    'too many operations',
    'json-patch',
    Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/data/a', value: 'b' })),
    413,
    'RequestEntityTooLarge',
  ),
  patch('a list', 'merge-patch', []),
  patch('another kind', 'merge-patch', { kind: 'Pod' }),
  patch('another name', 'merge-patch', { metadata: { name: 'other' } }),
  patch('another uid', 'merge-patch', { metadata: { uid: 'x' } }, 409, 'Conflict'),
  patch('an old revision', 'merge-patch', { metadata: { resourceVersion: '1' } }, 409, 'Conflict'),
  patch('endless nesting', 'merge-patch', `{"x":${deep}}`),
  patch('endless nesting', 'strategic-merge-patch', `{"x":${deep}}`),
  patch('a bad directive', 'strategic-merge-patch', { data: { $patch: 'nonsense' } }),
  {
    ...patch('no such type', 'json-patch', {}, 415, 'UnsupportedMediaType'),
    headers: { 'content-type': 'application/json' },
  },
  { ...patch('of nothing', 'merge-patch', {}, 404, 'NotFound'), path: `${CONFIG_MAPS}/absent` },
  update('another name', named('other')),
  update('no revision', { ...META, metadata: { name: 'seed', resourceVersion: 'x' } }),
  update(
    'an old revision',
    { ...META, metadata: { name: 'seed', resourceVersion: '1' } },
    409,
    'Conflict',
  ),
  { ...update('of nothing', named('absent'), 404, 'NotFound'), path: `${CONFIG_MAPS}/absent` },
  deletion('another uid', { preconditions: { uid: 'x' } }, 409, 'Conflict'),
  deletion('an old revision', { preconditions: { resourceVersion: '1' } }, 409, 'Conflict'),
  deletion('a grace period in words', { gracePeriodSeconds: 'x' }),
  deletion('an unknown policy', { propagationPolicy: 'x' }),
  deletion('another kind', { kind: 'Pod', apiVersion: 'v1' }),
  deletion('cut JSON', '{'),
  { ...deletion('of nothing', undefined, 404, 'NotFound'), path: `${CONFIG_MAPS}/absent` },
];
