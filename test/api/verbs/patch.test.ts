import t from 'tap';
import type { Patch } from '../../../src/api/types.ts';
import { configMap, failing, type Harness, parse, pod, setUp } from './harness.ts';

function patch(harness: Harness, resource: string, document: Patch, subresource?: string) {
  const { verbs, context, target } = harness;
  return verbs.patch(context(), target(resource, 'default', 'a', subresource), document);
}

t.test('patch: each type changes the object', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a', { x: '1', y: '2' }));
  const merge = parse(
    await patch(harness, 'configmaps', { type: 'merge', body: { data: { x: null } } }),
  );
  t.strictSame(merge.data, { y: '2' });
  const strategic = { type: 'strategic', body: { data: { z: '3' } } } as const;
  t.strictSame(parse(await patch(harness, 'configmaps', strategic)).data, { y: '2', z: '3' });
  const body = [
    { op: 'test', path: '/data/y', value: '2' },
    { op: 'replace', path: '/data/y', value: '4' },
    { op: 'add', path: '/metadata/labels', value: { 'a/b': 'c' } },
    { op: 'remove', path: '/metadata/labels/a~1b' },
  ];
  const json = parse(await patch(harness, 'configmaps', { type: 'json', body }));
  t.strictSame(json.data, { y: '4', z: '3' });
});

t.test('patch: many at once all take effect', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  await Promise.all(
    Array.from({ length: 30 }, (_, n) =>
      patch(harness, 'configmaps', { type: 'merge', body: { data: { [`k${n}`]: 'v' } } }),
    ),
  );
  const { data } = await harness.get('configmaps', 'default', 'a');
  t.equal(Object.keys(data).length, 30);
});

t.test('patch: one that names a resourceVersion holds only for that', async (t) => {
  const harness = await setUp();
  const { metadata } = await harness.create('configmaps', 'default', configMap('a'));
  const { resourceVersion } = metadata;
  const document = (n: string): Patch => ({
    type: 'merge',
    body: { metadata: { resourceVersion }, data: { n } },
  });
  await patch(harness, 'configmaps', document('1'));
  t.match(await failing(patch(harness, 'configmaps', document('2'))), { code: 409 });
});

t.test('patch: a JSON patch whose test fails is unprocessable and changes nothing', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a', { x: '1' }));
  const body = [
    { op: 'replace', path: '/data/x', value: '2' },
    { op: 'test', path: '/data/x', value: 'no' },
  ];
  const status = await failing(patch(harness, 'configmaps', { type: 'json', body }));
  t.match(status, { code: 422, reason: 'Invalid' });
  t.strictSame((await harness.get('configmaps', 'default', 'a')).data, { x: '1' });
});

t.test('patch: without effect it makes no revision', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a', { x: '1' }));
  const before = harness.store.revision();
  await patch(harness, 'configmaps', { type: 'merge', body: { data: { x: '1' } } });
  t.equal(harness.store.revision(), before);
});

t.test('patch: of status leaves the rest alone', async (t) => {
  const harness = await setUp();
  await harness.create('pods', 'default', pod('a'));
  const body = { status: { phase: 'Running' }, spec: { nodeName: 'x' } };
  const { status, spec } = parse(await patch(harness, 'pods', { type: 'merge', body }, 'status'));
  t.equal(status.phase, 'Running');
  t.notOk(spec.nodeName);
});

t.test('patch: may not rename, nor make an object that is Invalid', async (t) => {
  const harness = await setUp();
  await harness.create('pods', 'default', pod('a'));
  const rename: Patch = { type: 'merge', body: { metadata: { name: 'b' } } };
  t.match(await failing(patch(harness, 'pods', rename)), { code: 400 });
  const bad: Patch = { type: 'strategic', body: { spec: { containers: [{ name: 'new' }] } } };
  t.match(await failing(patch(harness, 'pods', bad)), { code: 422 });
});

t.test('patch: a strategic merge knows the lists of a pod', async (t) => {
  const harness = await setUp();
  const made = await harness.create('pods', 'default', pod('a'));
  const body = { spec: { containers: [{ name: 'main', image: 'busybox:2' }] } };
  const { spec } = parse(await patch(harness, 'pods', { type: 'strategic', body }));
  t.equal(spec.containers.length, 1);
  t.equal(spec.containers[0].image, 'busybox:2');
  t.equal(spec.containers[0].imagePullPolicy, made.spec.containers[0].imagePullPolicy);
});

t.test('patch: server-side apply is answered with what is supported', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  const status = await failing(patch(harness, 'configmaps', { type: 'apply', body: {} }));
  t.match(status, { code: 415, reason: 'UnsupportedMediaType', message: /strategic-merge-patch/ });
});

t.test('patch: names that mean something to JavaScript are plain data', async (t) => {
  const harness = await setUp();
  await harness.create('configmaps', 'default', configMap('a'));
  const body = JSON.parse('{"data":{"__proto__":"x","constructor":"y"}}');
  const { bytes } = await patch(harness, 'configmaps', { type: 'merge', body });
  t.match(bytes.toString(), '"__proto__":"x"');
  t.equal(({} as Record<string, unknown>)['x'], undefined);
});
