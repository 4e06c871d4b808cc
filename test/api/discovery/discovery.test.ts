/** Discovery and OpenAPI as clients read them. */

import t from 'tap';
import { compareVersions, fixedKinds, KindCatalog } from '../../../src/api/discovery/catalog.ts';
import { OpenApiDocuments } from '../../../src/api/openapi/documents.ts';
import { allKinds } from '../../../src/resources/registry.ts';
import { startServer } from '../http/harness.ts';

const AGGREGATED =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json';

t.test('discovery: the older documents', async (t) => {
  const server = await startServer(t);
  const ask = (path: string) => server.ask(path);
  t.match((await ask('/api')).body, {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ serverAddress: `127.0.0.1:${server.port}` }],
  });
  const groups = (await ask('/apis')).body;
  t.equal(groups.groups[0].name, 'apps', 'preferred over the groups it replaced');
  const apps = (await ask('/apis/apps')).body;
  t.match(apps, { kind: 'APIGroup', preferredVersion: { groupVersion: 'apps/v1' } });
  const core = (await ask('/api/v1')).body;
  const named = (name: string) =>
    core.resources.find((resource: { name: string }) => resource.name === name);
  t.match(named('pods'), {
    kind: 'Pod',
    namespaced: true,
    shortNames: ['po'],
    singularName: 'pod',
  });
  t.match(named('pods/status'), { kind: 'Pod', verbs: ['get', 'patch', 'update'] });
  t.match(named('pods/log'), { kind: 'Pod', verbs: ['get'] });
  t.match(named('bindings'), { verbs: ['create'] });
  t.match((await ask('/apis/authorization.k8s.io/v1')).body.resources.length, 4);
  t.equal((await ask('/apis/nosuch')).code, 404);
  t.equal((await ask('/apis/apps/v9')).code, 404);
});

t.test(
  'discovery: the aggregated document, with a tag that spares the next transfer',
  async (t) => {
    const server = await startServer(t);
    const ask = (path: string, headers: Record<string, string>) => server.ask(path, { headers });
    const v2 = await ask('/apis', { accept: AGGREGATED });
    t.match(v2.headers['content-type'], 'v=v2;as=APIGroupDiscoveryList');
    t.equal(v2.headers['vary'], 'Accept');
    t.match(v2.body, { kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2' });
    const apps = v2.body.items[0];
    t.equal(apps.metadata.name, 'apps');
    const deployments = apps.versions[0].resources.find(
      ({ resource }: { resource: string }) => resource === 'deployments',
    );
    t.match(deployments, {
      scope: 'Namespaced',
      responseKind: { group: 'apps', version: 'v1', kind: 'Deployment' },
      subresources: [
        { subresource: 'scale', responseKind: { group: 'autoscaling', kind: 'Scale' } },
        { subresource: 'status' },
      ],
    });
    const again = await ask('/apis', {
      accept: AGGREGATED,
      'if-none-match': String(v2.headers['etag']),
    });
    t.match(again, { code: 304, text: '' });
    const beta = await ask('/api', {
      accept: 'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList',
    });
    t.match(beta.body, {
      apiVersion: 'apidiscovery.k8s.io/v2beta1',
      items: [{ metadata: { name: '' } }],
    });
  },
);

t.test('discovery: versions stand in the order of Kubernetes', async (t) => {
  const versions = ['foo', 'v1beta1', 'v10', 'v2', 'v1', 'v1alpha2', 'v3beta1', 'v1beta2', 'bar'];
  const sorted = ['v10', 'v2', 'v1', 'v3beta1', 'v1beta2', 'v1beta1', 'v1alpha2', 'bar', 'foo'];
  t.same(versions.sort(compareVersions), sorted);
});

t.test('discovery: the catalog follows its source', async (t) => {
  const source = { generation: 0, kinds: () => allKinds.slice(0, 0) };
  const catalog = new KindCatalog(source);
  t.equal(catalog.find('', 'v1', 'pods'), undefined);
  source.kinds = () => [...allKinds];
  source.generation++;
  t.match(catalog.find('', 'v1', 'pods')?.kind.kind, 'Pod');
});

t.test('openapi: every reference leads somewhere, in both versions', async (t) => {
  const documents = new OpenApiDocuments(new KindCatalog(fixedKinds(allKinds)), '0');
  const check = (name: string, bytes: Buffer, place: (document: Json) => Json) => {
    const text = bytes.toString();
    const schemas = place(JSON.parse(text));
    const references = new Set([...text.matchAll(/"\$ref":"#[^"]*\/([^"/]+)"/g)].map((m) => m[1]));
    const missing = [...references].filter((one) => one !== undefined && !(one in schemas));
    t.same(missing, [], name);
    t.ok(references.size > 10);
  };
  type Json = Record<string, Record<string, Record<string, object>>>;
  const inV3 = (document: Json) => document['components']?.['schemas'] as unknown as Json;
  check('v2', documents.v2().bytes, (document) => document['definitions'] as unknown as Json);
  for (const name of Object.keys(JSON.parse(documents.index().bytes.toString()).paths)) {
    check(name, documents.groupVersion(name)?.bytes ?? Buffer.alloc(0), inV3);
  }
});

t.test('openapi: what kubectl looks for is there', async (t) => {
  const server = await startServer(t);
  const index = (await server.ask('/openapi/v3')).body;
  const { serverRelativeURL } = index.paths['apis/apps/v1'];
  const hashed = await server.ask(serverRelativeURL);
  t.match(hashed.headers['cache-control'], 'immutable');
  const patch = hashed.body.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'].patch;
  t.same(patch['x-kubernetes-group-version-kind'], {
    group: 'apps',
    version: 'v1',
    kind: 'Deployment',
  });
  const parameters = patch.parameters.map(({ name }: { name: string }) => name);
  t.ok(parameters.includes('fieldValidation') && parameters.includes('dryRun'));
  t.ok('application/strategic-merge-patch+json' in patch.requestBody.content);
  const spec = hashed.body.components.schemas['io.k8s.api.core.v1.PodSpec'];
  t.match(spec.properties.containers, {
    'x-kubernetes-patch-merge-key': 'name',
    'x-kubernetes-patch-strategy': 'merge',
    'x-kubernetes-list-map-keys': ['name'],
  });
  t.match(spec.required, ['containers']);
  t.equal((await server.ask('/openapi/v3/apis/nosuch/v1')).code, 404);
  t.match((await server.ask('/openapi/v2')).body, { swagger: '2.0' });
  t.equal((await server.ask('/openapi/v2', { headers: { accept: 'text/html' } })).code, 406);
});

t.test(
  'openapi: kubectl before 1.27 reads protobuf, and so does explain when told to',
  async (t) => {
    const server = await startServer(t);
    const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
    const answer = await server.ask('/openapi/v2', { headers: { accept } });
    t.match(answer, { code: 200, headers: { 'content-type': accept.replace('@', '.') } });
    const explain = (field: string) =>
      server.kubectl(['explain', field, '--output=plaintext-openapiv2']);
    const containers = await explain('deployment.spec.template.spec.containers');
    t.match(containers.stdout, /RESOURCE: containers <\[\]Object>/, containers.stderr);
    t.match(containers.stdout, /imagePullPolicy\s+<string>/);
    t.match((await explain('pod.spec.nodeSelector')).stdout, /<map\[string\]string>/);
  },
);
