/** How kubectl makes and changes objects: generators, apply and its relatives, patches, labels, edit, replace, delete. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Test } from 'tap';
import { createAuthority } from '../../../src/api/auth/pki.ts';
import type {
  ConfigMap,
  Deployment,
  Secret,
  Service,
} from '../../../src/resources/generated/kinds.ts';
import type { Kubectl } from './kubectl.ts';
import { idle } from './manifests.ts';

const map = (name: string, data: Record<string, string>, labels: Record<string, string> = {}) =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data });

const text = (base64: string | undefined) => Buffer.from(base64 ?? '', 'base64').toString();

/** Tests in an empty namespace. */
export async function writingTests(t: Test, k: Kubectl): Promise<void> {
  const folder = await mkdtemp(`${tmpdir()}/skein-kubectl-`);
  t.teardown(() => rm(folder, { recursive: true }));
  const dataOf = async (name: string) => (await k.get<ConfigMap>(`configmap ${name}`)).data;

  t.test('kubectl: create makes configmaps, secrets and accounts', async (t) => {
    await writeFile(`${folder}/greeting`, 'hello\n');
    await k.run(`create configmap gen --from-literal=a=1 --from-file=${folder}/greeting`);
    t.same(await dataOf('gen'), { a: '1', greeting: 'hello\n' });
    await k.run('create secret generic plain --from-literal=p=q');
    const plain = await k.get<Secret>('secret plain');
    t.same([plain.type, text(plain.data?.['p'])], ['Opaque', 'q']);
    const registry = '--docker-server=r.example --docker-username=u --docker-password=p';
    await k.run(`create secret docker-registry pull ${registry}`);
    const pull = await k.get<Secret>('secret pull');
    t.equal(pull.type, 'kubernetes.io/dockerconfigjson');
    t.match(JSON.parse(text(pull.data?.['.dockerconfigjson'])), { auths: { 'r.example': {} } });
    await k.run('create serviceaccount robot');
    t.match(await k.run('get sa robot'), /^robot +0/m);
    t.match(await k.fails('create configmap gen'), 'configmaps "gen" already exists');
  });

  t.test('kubectl: create makes services, deployments and TLS secrets', async (t) => {
    await k.run('create service clusterip inside --tcp=80:8080');
    await k.run('create service nodeport outside --tcp=80:8080');
    await k.run('create service externalname away --external-name=example.com');
    const types = (await k.list<Service>('services')).map(({ metadata, spec }) => [
      metadata.name,
      spec.type,
      spec.clusterIP !== undefined,
      (spec.ports?.[0]?.nodePort ?? 0) >= 30_000,
    ]);
    t.same(types, [
      ['away', 'ExternalName', false, false],
      ['inside', 'ClusterIP', true, false],
      ['outside', 'NodePort', true, true],
    ]);
    await k.run('create deployment made --image=k8s-demo:v2 --replicas=1 --port=3000');
    await k.run('rollout status deployment/made --timeout=60s');
    await k.run('delete deployment made --wait=false');
    const { certificatePem, keyPem } = await createAuthority();
    await writeFile(`${folder}/tls.crt`, certificatePem);
    await writeFile(`${folder}/tls.key`, keyPem);
    await k.run(`create secret tls pair --cert=${folder}/tls.crt --key=${folder}/tls.key`);
    t.match(text((await k.get<Secret>('secret pair')).data?.['tls.crt']), /BEGIN CERTIFICATE/);
  });

  t.test('kubectl: dry runs say what would be, and leave nothing', async (t) => {
    const yaml = await k.run('create deployment dry --image=busybox --dry-run=client -o yaml');
    t.match(yaml, /^kind: Deployment$/m);
    const server = await k.feed(yaml, 'apply --dry-run=server -o yaml -f -');
    t.match(server, /imagePullPolicy: Always/, 'defaults are those of the server');
    t.match(await k.feed(yaml, 'apply --dry-run=client -f -'), 'created (dry run)');
    t.match(await k.run('run dry --image=busybox --dry-run=server'), 'created (server dry run)');
    t.equal(await k.run('get deploy,pod -o name --ignore-not-found dry'), '');
  });

  t.test('kubectl: apply creates, leaves alone, changes, and takes away', async (t) => {
    const file = `${folder}/applied.yaml`;
    const docs = (data: Record<string, string>) =>
      writeFile(file, `${map('one', data)}\n${map('two', { x: 'y' })}\n`);
    await docs({ a: '1', b: '2' });
    const first = await k.run(`apply -f ${file}`);
    t.same(first.trim().split('\n'), ['configmap/one created', 'configmap/two created']);
    t.match(await k.run(`apply -f ${file}`), 'configmap/one unchanged\nconfigmap/two unchanged');
    t.equal((await k.try([`diff -f ${file}`])).code, 0, 'no difference');
    await k.run('patch configmap one --type=merge -p', '{"data":{"other":"kept"}}');
    await docs({ b: '3', c: '4' });
    const diff = await k.try([`diff -f ${file}`]);
    t.equal(diff.code, 1);
    t.match(diff.stdout, /^-\s+a: "1"$[\s\S]*^\+\s+b: "3"$[\s\S]*^\+\s+c: "4"$/m);
    t.match(await k.run(`apply -f ${file}`), 'configmap/one configured\nconfigmap/two unchanged');
    t.same(await dataOf('one'), { b: '3', c: '4', other: 'kept' });
    t.match(await k.run('apply view-last-applied configmap one'), /b: "3"/);
    await k.run(`delete -f ${file}`);
    t.equal(await k.run(`get -f ${file} --ignore-not-found`), '');
  });

  t.test('kubectl: apply takes folders, kustomizations, and prunes', async (t) => {
    const sub = await mkdtemp(`${folder}/set-`);
    await writeFile(`${sub}/a.yaml`, map('set-a', {}, { set: 'one' }));
    await writeFile(`${sub}/b.yaml`, map('set-b', {}, { set: 'one' }));
    await k.run(`apply -f ${sub}`);
    await rm(`${sub}/b.yaml`);
    const prune = '--prune -l set=one --prune-allowlist=core/v1/ConfigMap';
    t.match(await k.run(`apply -f ${sub} ${prune}`), 'configmap/set-b pruned');
    t.equal((await k.run('get configmap -l set=one -o name')).trim(), 'configmap/set-a');
    const kustomization = 'resources: [a.yaml]\nnamePrefix: pre-\n';
    await writeFile(`${sub}/kustomization.yaml`, kustomization);
    t.match(await k.run(`apply -k ${sub}`), 'configmap/pre-set-a created');
  });

  t.test('kubectl: apply merges lists by their keys', async (t) => {
    await k.apply(idle({ name: 'merged', replicas: 0 }));
    const injected = [{ name: 'side', image: 'busybox', imagePullPolicy: 'IfNotPresent' }];
    const patch = { spec: { template: { spec: { containers: injected } } } };
    await k.run('patch deployment merged -p', JSON.stringify(patch));
    await k.run('set env deployment/merged -c main A=b');
    await k.apply(idle({ name: 'merged', replicas: 0, image: 'k8s-demo:v2' }));
    const { spec } = await k.get<Deployment>('deployment merged');
    const containers = spec.template.spec.containers.map(({ name, image, env }) => [
      name,
      image,
      env,
    ]);
    t.same(containers.sort(), [
      ['main', 'k8s-demo:v2', [{ name: 'A', value: 'b' }]],
      ['side', 'busybox', undefined],
    ]);
  });

  t.test('kubectl: labels and annotations come and go', async (t) => {
    await k.apply(map('tagged', {}));
    await k.run('label configmap tagged tier=front zone=a');
    t.match(await k.fails('label configmap tagged tier=back'), /already has a value \(front\)/);
    await k.run('label configmap tagged tier=back --overwrite');
    await k.run('label configmap tagged zone-');
    await k.run('annotate configmap tagged', 'note=two words');
    const { metadata } = await k.get<ConfigMap>('configmap tagged');
    t.same(metadata.labels, { tier: 'back' });
    t.equal(metadata.annotations?.['note'], 'two words');
    t.match(await k.fails('label configmap tagged', 'a=not valid'), /[Ii]nvalid/);
    await k.run('label configmaps --all seen=yes');
    t.match(await k.run('get configmaps -l seen=yes -o name'), 'configmap/tagged');
  });

  t.test(
    'kubectl: edit saves what the editor leaves, and shows what is wrong with it',
    async (t) => {
      await k.apply(map('edited', { word: 'before' }));
      const edit = (sed: string) =>
        k.try(['edit configmap edited'], { env: { KUBE_EDITOR: `sed -i -e ${sed}` } });
      t.match(await edit('s/word:.before/word:\\ after/'), { code: 0, stdout: /edited/ });
      t.same(await dataOf('edited'), { word: 'after' });
      t.match(await edit('s/nothing/else/'), {
        code: 0,
        stderr: /Edit cancelled, no changes made/,
      });
      const wrong = await edit('s/word:.after/bad\\ key:\\ x/');
      t.not(wrong.code, 0);
      t.match(wrong.stderr, /configmaps "edited" (is invalid|was not valid)|no valid changes/);
      t.same(await dataOf('edited'), { word: 'after' });
    },
  );

  t.test('kubectl: patches of all kinds reach the object and its subresources', async (t) => {
    await k.apply(idle({ name: 'patched', replicas: 0 }));
    const env = '{"spec":{"template":{"spec":{"containers":[{"name":"main","tty":true}]}}}}';
    await k.run('patch deployment patched -p', env);
    await k.run(
      'patch deployment patched --type=merge -p',
      '{"metadata":{"labels":{"app":null,"x":"y"}}}',
    );
    await k.run(
      'patch deployment patched --type=json -p',
      '[{"op":"test","path":"/spec/replicas","value":0},{"op":"add","path":"/spec/paused","value":true}]',
    );
    const { metadata, spec } = await k.get<Deployment>('deployment patched');
    t.same(metadata.labels, { x: 'y' });
    t.equal(spec.paused, true);
    t.match(spec.template.spec.containers, [{ name: 'main', image: 'busybox', tty: true }]);
    const failing = '[{"op":"test","path":"/spec/replicas","value":5}]';
    t.match(await k.fails('patch deployment patched --type=json -p', failing), /test/i);
    await k.run(
      'patch deployment patched --subresource=scale --type=merge -p',
      '{"spec":{"replicas":2}}',
    );
    t.equal((await k.get<Deployment>('deployment patched')).spec.replicas, 2);
    t.match(await k.run('get deployment patched --subresource=scale -o yaml'), /kind: Scale/);
    const status =
      '{"status":{"conditions":[{"type":"Tested","status":"True"}]},"spec":{"replicas":7}}';
    await k.run(
      'patch namespace',
      k.namespace,
      '--subresource=status',
      '--type=merge',
      '-p',
      status,
    );
    t.match(await k.run('get namespace', k.namespace, '-o', 'yaml'), /type: Tested/);
    await k.run('delete deployment patched --wait=false');
  });

  t.test('kubectl: replace wants the whole object, of the version that was read', async (t) => {
    await k.apply(map('replaced', { a: '1' }));
    const read = await k.get<ConfigMap>('configmap replaced');
    await k.feed(JSON.stringify({ ...read, data: { b: '2' } }), 'replace -f -');
    t.same(await dataOf('replaced'), { b: '2' });
    const stale = await k.try(['replace -f -'], { input: JSON.stringify(read) });
    t.match(
      stale.stderr,
      /\(Conflict\).* Operation cannot be fulfilled on configmaps "replaced": the object has been modified; please apply your changes to the latest version and try again/,
    );
    await k.feed(map('replaced', { c: '3' }), 'replace --force -f -');
    const anew = await k.get<ConfigMap>('configmap replaced');
    t.same(anew.data, { c: '3' });
    t.not(anew.metadata.uid, read.metadata.uid, 'a forced replacement is a new object');
    const absent = await k.try(['replace -f -'], { input: map('absent', {}) });
    t.match(absent.stderr, 'configmaps "absent" not found');
  });

  t.test('kubectl: what is wrong with a manifest is said with its path', async (t) => {
    const wrong = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'Wrong' },
      spec: { containers: [{ name: 'c', ports: [{ containerPort: 99_999 }] }], colour: 'red' },
    };
    const input = JSON.stringify(wrong);
    const strict = await k.try(['apply -f -'], { input });
    t.match(strict, { code: 1, stderr: /strict decoding error: unknown field "spec\.colour"/ });
    const lenient = await k.try(['apply --validate=warn -f -'], { input });
    t.equal(lenient.code, 1);
    t.match(lenient.stderr, /Warning: unknown field "spec\.colour"/);
    t.match(lenient.stderr, /The Pod "Wrong" is invalid/);
    t.match(lenient.stderr, /^\* metadata\.name: Invalid value: "Wrong": a lowercase RFC 1123/m);
    t.match(lenient.stderr, /^\* spec\.containers\[0\]\.image: Required value/m);
    t.match(lenient.stderr, /^\* spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value/m);
  });

  t.test('kubectl: names may be left to the server', async (t) => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'made-' } };
    const names = await Promise.all(
      [1, 2].map(() => k.feed(JSON.stringify(object), 'create -o name -f -')),
    );
    for (const name of names) t.match(name, /^configmap\/made-[a-z0-9]{5}\n$/);
    t.not(names[0], names[1]);
  });

  t.test('kubectl: delete takes names, labels, files, and everything', async (t) => {
    for (const name of ['d1', 'd2', 'd3', 'd4']) await k.apply(map(name, {}, { del: name }));
    await k.run('delete configmap d1');
    await k.run('delete configmap -l del=d2');
    await k.feed(map('d3', {}), 'delete -f -');
    t.equal((await k.run('get configmap -l del -o name')).trim(), 'configmap/d4');
    t.match(await k.fails('delete configmap d1'), 'configmaps "d1" not found');
    t.equal(await k.run('delete configmap d1 --ignore-not-found'), '');
    t.match(await k.run('delete configmap d4 --dry-run=server'), 'deleted (server dry run)');
    await k.run('get configmap d4');
    await k.run('delete configmaps,secrets --all');
    const left = (await k.run('get configmaps -o name')).trim();
    t.match(left, /^(configmap\/kube-root-ca\.crt)?$/, 'the root certificate may be back already');
  });
}
