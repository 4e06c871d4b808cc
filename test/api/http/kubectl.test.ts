/** The stock kubectl against the whole server. The binary is required: without it these tests fail. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import t from 'tap';
import { type Harness, type KubectlOptions, startServer } from './harness.ts';

const MANIFEST = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: nginx, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`;

/** Runs kubectl; a failure shows what it said. */
async function run(server: Harness, command: string, options: KubectlOptions = {}) {
  const result = await server.kubectl(command.split(' '), options);
  if (result.code !== 0) throw new Error(`kubectl ${command}: ${result.stderr}`);
  return result;
}

t.test('kubectl: discovery, version and explain', async (t) => {
  const server = await startServer(t);
  t.match((await run(server, 'version')).stdout, 'Server Version: v1.32.0+skein0.1.0');
  const resources = (await run(server, 'api-resources')).stdout;
  t.match(resources, /^deployments +deploy +apps\/v1 +true +Deployment$/m);
  t.match((await run(server, 'api-versions')).stdout, /^apps\/v1$/m);
  t.match(
    (await run(server, 'explain pod.spec.containers')).stdout,
    /FIELD: containers <\[\]Container>/,
  );
  t.match(
    (await run(server, 'explain deployment --api-version=extensions/v1beta1')).stdout,
    'VERSION:    v1beta1',
  );
  t.match((await run(server, 'cluster-info')).stdout, 'control plane');
  const unknown = await server.kubectl(['get', 'nosuch']);
  t.match(unknown.stderr, `the server doesn't have a resource type "nosuch"`);
});

t.test('kubectl: apply, apply again, diff, and what was applied', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const apply = () => run(server, 'apply -f -', { stdin: MANIFEST });
  t.equal((await apply()).stdout, 'deployment.apps/web created\nservice/web created\n');
  t.equal((await apply()).stdout, 'deployment.apps/web unchanged\nservice/web unchanged\n');
  const changed = MANIFEST.replace('replicas: 2', 'replicas: 3');
  const diff = await server.kubectl(['diff', '-f', '-'], { stdin: changed });
  t.match(diff, { code: 1, stdout: /\+ {2}replicas: 3/ });
  await run(server, 'apply -f -', { stdin: changed });
  t.equal((await run(server, 'get deploy web -o jsonpath={.spec.replicas}')).stdout, '3');
  t.match((await run(server, 'get deploy,svc -o wide')).stdout, /deployment.apps\/web +0\/3/);
  t.match((await run(server, 'describe deploy web')).stdout, 'Replicas:               3 desired');
  t.equal((await run(server, 'get deploy web')).stderr, '', 'no warnings about the older groups');
  const bad = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndat: {}\n';
  const strict = await server.kubectl(['apply', '-f', '-'], { stdin: bad });
  t.match(strict.stderr, 'strict decoding error: unknown field "dat"');
});

t.test('kubectl: the imperative commands', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const get = async (command: string) => (await run(server, command)).stdout;
  await run(server, 'create deployment web --image=nginx --replicas=0');
  t.equal(await get('get deploy web -o jsonpath={.spec.replicas}'), '0', 'zero was meant');
  await run(server, 'scale deploy/web --replicas=4');
  await run(server, 'set image deploy/web nginx=nginx:2');
  await run(server, 'label deploy/web tier=front');
  await run(server, 'annotate deploy/web note=x');
  const path = '{.spec.replicas} {.spec.template.spec.containers[0].image} {.metadata.labels.tier}';
  const shown = await server.kubectl(['get', 'deploy', 'web', '-o', `jsonpath=${path}`]);
  t.equal(shown.stdout, '4 nginx:2 front');
  await run(server, 'expose deploy web --port=80');
  t.match(await get('get svc web'), /ClusterIP/);
  await run(server, 'create configmap c --from-literal=k=v');
  await run(server, 'create secret generic s --from-literal=k=v');
  t.equal(await get('get secret s -o jsonpath={.data.k}'), Buffer.from('v').toString('base64'));
  t.match(await get('create token default'), /^eyJ/);
  await run(server, 'run one --image=busybox --restart=Never');
  t.match(await get('get pods'), /one +0\/1 +Pending/);
  await run(server, 'delete pod one --now');
  t.equal((await server.kubectl(['get', 'pod', 'one'])).code, 1);
  t.match(
    (await server.kubectl(['get', 'cm', 'nosuch'])).stderr,
    'Error from server (NotFound): configmaps "nosuch" not found',
  );
});

t.test('kubectl: who am I, and what may I', async (t) => {
  const server = await startServer(t);
  t.match((await run(server, 'auth whoami')).stdout, /Username +admin/);
  t.match((await run(server, 'auth can-i create pods')).stdout, 'yes');
  t.match((await server.kubectl(['auth', 'can-i', 'get', 'pods', '--as=bob'])).stdout, 'no');
  t.match((await run(server, 'auth can-i --list')).stdout, /\*\.\*/);
  t.match(
    (await server.kubectl(['get', 'pods', '--as=bob'])).stderr,
    'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods"',
  );
});

t.test('kubectl: watching shows changes as rows', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const child = spawn('/usr/bin/kubectl', [...server.kubectlBase, 'get', 'cm', '-w'], {
    env: server.kubectlEnv,
  });
  t.teardown(() => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await run(server, 'create configmap a --from-literal=k=v');
  t.match((await lines.next()).value, /^NAME +DATA +AGE/);
  t.match((await lines.next()).value, /^a +1/);
  await run(server, 'create configmap b --from-literal=k=v');
  t.match((await lines.next()).value, /^b +1/, 'the head is not repeated');
});

t.test('kubectl: wait and delete see objects come and go', async (t) => {
  let watches = 0;
  const server = await startServer(t, {
    wrap: (verbs) => ({
      ...verbs,
      watch: (...args) => {
        watches++;
        return verbs.watch(...args);
      },
    }),
  });
  await server.createNamespace();
  await run(server, 'create configmap a');
  const waiting = run(server, 'wait cm/a --for=delete --timeout=10s');
  await server.until(() => watches > 0);
  await run(server, 'delete cm a');
  t.match((await waiting).stdout, 'condition met');
  await run(server, 'create configmap b --from-literal=k=v');
  await run(server, 'delete cm --all');
  t.equal((await run(server, 'get cm -o name')).stdout, '');
});
