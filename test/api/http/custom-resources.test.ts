/** What clients meet who look for custom resources: an empty collection, and words instead of a surprise. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { startServer } from './harness.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const REFUSAL = 'custom resources are not supported by this version of Skein';
const DEFINITION = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'crontabs.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { kind: 'CronTab', plural: 'crontabs' },
    versions: [{ name: 'v1', served: true, storage: true }],
  },
};

t.test(
  'custom resources: the collection of definitions is there, empty, and can be watched',
  async (t) => {
    const server = await startServer(t);
    const { body } = await server.ask('/apis/apiextensions.k8s.io/v1');
    const [entry] = body.resources;
    t.match(entry, { name: 'customresourcedefinitions', namespaced: false });
    t.same(entry.verbs, ['get', 'list', 'watch']);
    t.match(await server.ask(CRDS), {
      code: 200,
      body: { kind: 'CustomResourceDefinitionList', items: [] },
    });
    t.equal((await server.ask(`${CRDS}/crontabs.example.com`)).code, 404);
    const watch = await server.open(`${CRDS}?watch=true&timeoutSeconds=1`);
    t.equal(watch.statusCode, 200);
    const chunks: Buffer[] = [];
    for await (const chunk of watch) chunks.push(chunk as Buffer);
    t.equal(Buffer.concat(chunks).toString(), '', 'nothing happens in it');
    t.equal((await server.kubectl(['get', 'crd'])).stderr.trim(), 'No resources found');
  },
);

t.test('custom resources: every write of a definition is refused in words', async (t) => {
  const server = await startServer(t);
  const refused = { code: 405, body: { reason: 'MethodNotAllowed', message: REFUSAL } };
  t.match(await server.ask(CRDS, { method: 'POST', body: DEFINITION }), refused);
  const one = `${CRDS}/crontabs.example.com`;
  t.match(await server.ask(one, { method: 'PUT', body: DEFINITION }), refused);
  const headers = { 'Content-Type': 'application/merge-patch+json' };
  t.match(await server.ask(one, { method: 'PATCH', body: {}, headers }), refused);
  t.match(await server.ask(one, { method: 'DELETE' }), refused);
  t.match(await server.ask(CRDS, { method: 'DELETE' }), refused);
  const stdin = JSON.stringify(DEFINITION);
  for (const verb of ['apply', 'create']) {
    const { code, stderr } = await server.kubectl([verb, '-f', '-'], { stdin });
    t.not(code, 0, verb);
    t.match(stderr, REFUSAL, verb);
  }
  t.match((await server.ask(CRDS)).body, { items: [] });
});

t.test('custom resources: kubectl names the kind it does not know', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const stdin = await readFile(
    new URL('../../fixtures/manifests/deployment-helloworld-v1-as-printed.yaml', import.meta.url),
  );
  const { code, stderr } = await server.kubectl(['apply', '-f', '-'], { stdin });
  t.not(code, 0);
  t.match(stderr, /no matches for kind "Deployment" in version "v1"/);
});
