/** The pure parts of the HTTP layer, case by case. */

import { EventEmitter } from 'node:events';
import t from 'tap';
import { drained } from '../../../src/api/http/drain.ts';
import { duplicateKeys } from '../../../src/api/http/duplicate-keys.ts';
import { bodyFormatOf, negotiate, patchTypeOf } from '../../../src/api/http/negotiate.ts';
import { parsePath } from '../../../src/api/http/path.ts';
import { deleteOptions, listOptions, Query, watchOptions } from '../../../src/api/http/query.ts';
import { addWarnings } from '../../../src/api/http/respond.ts';
import { ApiError } from '../../../src/api/status.ts';
import { VirtualClock } from '../../../src/lib/clock.ts';

/** The status code that `action` fails with. */
function codeOf(action: () => unknown): number {
  try {
    action();
  } catch (error) {
    if (error instanceof ApiError) return error.status.code;
    throw error;
  }
  return 0;
}

t.test('path: what each form names', async (t) => {
  const resource = (path: string, expected: object) =>
    t.match(parsePath(path), { kind: 'resource', watchPrefix: false, ...expected }, path);
  resource('/api/v1/pods', { group: '', version: 'v1', plural: 'pods', name: undefined });
  resource('/api/v1/namespaces', { plural: 'namespaces', name: undefined });
  resource('/api/v1/namespaces/a', { plural: 'namespaces', name: 'a', namespace: undefined });
  resource('/api/v1/namespaces/a/status', {
    plural: 'namespaces',
    name: 'a',
    subresource: 'status',
  });
  resource('/api/v1/namespaces/a/finalize', { plural: 'namespaces', subresource: 'finalize' });
  resource('/api/v1/namespaces/a/pods', { namespace: 'a', plural: 'pods', name: undefined });
  resource('/api/v1/namespaces/a/pods/', { namespace: 'a', plural: 'pods', name: undefined });
  resource('/api/v1/namespaces/a/pods/b/log', { name: 'b', subresource: 'log' });
  resource('/apis/apps/v1/namespaces/a/deployments/b/scale', {
    group: 'apps',
    version: 'v1',
    namespace: 'a',
    plural: 'deployments',
    name: 'b',
    subresource: 'scale',
  });
  resource('/api/v1/namespaces/a/services/b/proxy/x/y', { subresource: 'proxy', rest: 'x/y' });
  resource('/api/v1/watch/namespaces/a/pods/b', { watchPrefix: true, namespace: 'a', name: 'b' });
  resource('/api/v1/nodes/a%3Ab', { plural: 'nodes', name: 'a:b' });
  t.match(parsePath('/api'), { kind: 'core-versions' });
  t.match(parsePath('/apis/'), { kind: 'groups' });
  t.match(parsePath('/apis/apps'), { kind: 'group', group: 'apps' });
  t.match(parsePath('/api/v1'), { kind: 'resources', group: '', version: 'v1' });
  t.match(parsePath('/apis/apps/v1'), { kind: 'resources', group: 'apps', version: 'v1' });
  for (const path of [
    '/',
    '/apix/v1/pods',
    '/api/v1/namespaces//pods',
    '/api/v1/pods/%zz',
    '/api/v1/nodes/a%2Fb',
  ]) {
    t.match(parsePath(path), { kind: 'other' }, path);
  }
});

t.test('negotiate: the best alternative that is spoken', async (t) => {
  const shape = (accept: string) => {
    const { format, shape: found, metaVersion } = negotiate(accept);
    return `${format} ${found} ${metaVersion}`;
  };
  t.equal(shape('*/*'), 'json Object v1');
  t.equal(shape('application/vnd.kubernetes.protobuf;q=1, */*;q=0.1'), 'json Object v1');
  t.equal(shape('application/yaml, application/json;q=0.5'), 'yaml Object v1');
  t.equal(
    shape(
      'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json',
    ),
    'json Table v1',
  );
  t.equal(shape('application/json;as=Table;v=v9;g=meta.k8s.io,application/json'), 'json Object v1');
  t.equal(
    codeOf(() => negotiate('text/html')),
    406,
  );
  t.equal(
    codeOf(() => negotiate('application/json;as=Nonsense')),
    406,
  );
  t.equal(bodyFormatOf(undefined), 'json');
  t.equal(bodyFormatOf('application/json; charset=utf-8'), 'json');
  t.equal(bodyFormatOf('application/vnd.kubernetes.protobuf'), 'protobuf');
  t.equal(patchTypeOf('application/strategic-merge-patch+json'), 'strategic');
  t.equal(
    codeOf(() => patchTypeOf(undefined)),
    415,
  );
});

t.test('query: options as upstream reads them', async (t) => {
  t.same(listOptions(new Query('')), {});
  t.same(listOptions(new Query('limit=5&continue=x&labelSelector=a%3Db')), {
    limit: 5,
    continueToken: 'x',
    labelSelector: 'a=b',
  });
  t.match(watchOptions(new Query('allowWatchBookmarks=true&timeoutSeconds=3')), {
    allowWatchBookmarks: true,
    timeoutSeconds: 3,
  });
  t.equal(new Query('watch').flag('watch'), true);
  t.equal(new Query('watch=0').flag('watch'), false);
  t.equal(new Query('watch=False').flag('watch'), false);
  const body = { gracePeriodSeconds: 0, preconditions: { uid: 'u' }, propagationPolicy: null };
  t.same(deleteOptions(new Query('gracePeriodSeconds=9&propagationPolicy=Orphan'), body), {
    gracePeriodSeconds: 0,
    preconditions: { uid: 'u' },
  });
  t.equal(
    codeOf(() => deleteOptions(new Query('propagationPolicy=X'), undefined)),
    400,
  );
});

t.test('duplicate keys: found at any depth, and nowhere else', async (t) => {
  t.same(duplicateKeys('{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}'), []);
  t.same(duplicateKeys('{"a":1,"a":2}'), ['a']);
  t.same(duplicateKeys('{"s":{"c":[{"x":"a,b{"},{"i":1,"i":2}]}}'), ['s.c[1].i']);
  t.same(duplicateKeys(String.raw`{"a\"b":1,"a\"b":2,"c":"\\"}`), ['a"b']);
  t.same(duplicateKeys(String.raw`{"a":1,"\u0061":2}`), ['a'], 'spelled differently');
  t.same(duplicateKeys('{"a":{},"b":[],"a":{}}'), ['a']);
});

t.test('warnings: one header each, safe to send', async (t) => {
  const headers: string[] = [];
  addWarnings(headers, ['say "x"', 'two\nlines', 'say "x"', 'naïve']);
  t.equal(headers[1], String.raw`299 - "say \"x\""`);
  t.equal(headers[3], '299 - "two lines"');
  t.equal(Buffer.from(headers[5] ?? '', 'latin1').toString(), '299 - "naïve"');
  t.equal(headers.length, 6, 'the same warning is sent once');
});

t.test('drain: waits for the client, within limits', async (t) => {
  const clock = new VirtualClock();
  const stream = new EventEmitter();
  const first = drained(stream, clock);
  stream.emit('drain');
  await first;
  const gone = drained(stream, clock);
  stream.emit('close');
  await t.rejects(gone, { code: 'stream-closed' });
  const slow = drained(stream, clock, { deadlineMs: 1000 });
  clock.advance(1000);
  await t.rejects(slow, { code: 'deadline-exceeded' });
  t.equal(
    stream.listenerCount('drain') + stream.listenerCount('close'),
    0,
    'nothing is left behind',
  );
  t.equal(clock.msToNext(), undefined);
});
