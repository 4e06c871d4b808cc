/** What kubectl shows: every form of get and describe, discovery, explain, identity, and the proxy to the API. */

import type { Test } from 'tap';
import type { Deployment, Pod } from '../../../src/resources/generated/kinds.ts';
import { httpGet } from '../support/http.ts';
import type { Kubectl } from './kubectl.ts';
import { web } from './manifests.ts';

/** Tests in a namespace with a rolled-out Deployment `web`, its Service, and a ConfigMap. */
export async function readingTests(t: Test, k: Kubectl): Promise<void> {
  await k.apply(web());
  await k.run('create configmap settings --from-literal=a=1');
  await k.run('create secret generic hidden --from-literal=p=word');
  await k.run('rollout status deployment/web --timeout=60s');

  t.test('kubectl: the server says who it is and what it serves', async (t) => {
    t.match(await k.run('version'), /Server Version: v1\.32\.0\+skein/);
    t.match(await k.run('cluster-info'), /control plane is running at https:\/\/10\.77\.\d+\.11/);
    const resources = await k.run('api-resources');
    for (const row of [
      /^pods +po +v1 +true +Pod$/m,
      /^nodes +no +v1 +false +Node$/m,
      /^deployments +deploy +apps\/v1 +true +Deployment$/m,
      /^customresourcedefinitions +crd,crds +apiextensions.k8s.io\/v1 +false/m,
    ]) {
      t.match(resources, row);
    }
    t.match(await k.run('api-resources --verbs=list --namespaced -o name'), /^replicasets.apps$/m);
    t.match(await k.run('api-versions'), /^apps\/v1$[\s\S]*^extensions\/v1beta1$/m);
    t.equal(await k.run('get --raw /readyz'), 'ok');
    const podFields = await k.run('explain pod.spec.containers');
    t.match(podFields, /FIELD: containers <\[\]Container>[\s\S]*imagePullPolicy\s+<string>/);
    t.match(
      await k.run('explain deployment --recursive'),
      /rollingUpdate\s+<Rolling[\s\S]*maxSurge/,
    );
    t.match(await k.fails('explain pod.spec.nothing'), /field "nothing" does not exist/);
  });

  t.test('kubectl: get shows objects in every form', async (t) => {
    const pods = await k.list<Pod>('pods -l app=web');
    const names = pods.map(({ metadata }) => metadata.name).sort();
    t.equal(names.length, 2);
    const [first = ''] = names;
    const node = pods.find(({ metadata }) => metadata.name === first)?.spec.nodeName ?? '';
    t.match(await k.run('get pods'), /^NAME +READY +STATUS +RESTARTS +AGE\nweb-\S+ +1\/1 +Running/);
    t.match(await k.run('get pods -o wide'), new RegExp(`${first} .* 10\\.244\\.\\S+ +${node} `));
    t.equal(
      (await k.run('get pods -o name')).trim(),
      names.map((name) => `pod/${name}`).join('\n'),
    );
    const yaml = await k.run(`get pod ${first} -o yaml`);
    t.match(yaml, /^apiVersion: v1\nkind: Pod\nmetadata:/);
    t.notMatch(yaml, 'managedFields');
    t.equal(
      await k.run('get pods --sort-by=.metadata.name -o', 'jsonpath={.items[*].metadata.name}'),
      names.join(' '),
    );
    const columns = 'custom-columns=NAME:.metadata.name,PHASE:.status.phase';
    t.match(
      await k.run('get pods --no-headers -o', columns),
      new RegExp(`^${first} +Running$`, 'm'),
    );
    t.equal(await k.run(`get pod ${first} -o`, 'go-template={{.spec.nodeName}}'), node);
    t.match(await k.run('get pods --show-labels'), /LABELS\nweb-\S+ .*app=web,pod-template-hash=/);
    t.match(await k.run('get pods -L app'), /APP\nweb-\S+ .* web$/m);
    t.match(
      await k.run('get all'),
      /^service\/web [\s\S]*^deployment.apps\/web +2\/2[\s\S]*^replicaset/m,
    );
    t.match(await k.run('get deploy/web svc/web -o name'), 'deployment.apps/web\nservice/web');
    t.match(await k.run('get pods -A -o wide'), new RegExp(`^${k.namespace} +${first}`, 'm'));
    t.equal(await k.run('get pod absent --ignore-not-found'), '');
    t.match(
      await k.fails('get pod absent'),
      'Error from server (NotFound): pods "absent" not found',
    );
    t.match(await k.fails('get gadgets'), `the server doesn't have a resource type "gadgets"`);
  });

  t.test('kubectl: selectors, pages and resource versions choose what is shown', async (t) => {
    const pods = await k.list<Pod>('pods');
    const [pod] = pods;
    const node = pod?.spec.nodeName;
    const there = pods.filter(({ spec }) => spec.nodeName === node).length;
    const onNode = `get pods -o name --field-selector=spec.nodeName=${node},status.phase=Running`;
    t.equal((await k.run(onNode)).trim().split('\n').length, there);
    t.equal(await k.run('get pods -l', 'app in (web),tier', '-o', 'name'), '');
    t.match(await k.run('get pods -l app!=other -o name'), /^pod\/web-/);
    t.equal((await k.run('get pods -o name --chunk-size=1')).trim().split('\n').length, 2);
    t.match(
      await k.fails('get pods --field-selector=spec.colour=red'),
      /field label not supported: spec.colour/,
    );
    t.match(await k.fails('get pods -l', 'a in ('), /unable to parse requirement/);
  });

  t.test('kubectl: get -w shows changes as they happen', async (t) => {
    const watch = k.start(t, 'get configmaps --watch --output-watch-events');
    await watch.says(/ADDED\s+settings/);
    await k.run('create configmap seen');
    await watch.says(/ADDED\s+seen/);
    await k.run('label configmap seen a=b');
    await watch.says(/MODIFIED\s+seen/);
    await k.run('delete configmap seen');
    await watch.says(/DELETED\s+seen/);
    const table = k.start(t, 'get deployment web --watch');
    await table.says(/^web +2\/2/m);
    await k.run('annotate deployment web watched=yes');
    await table.says(/^web +2\/2.*\nweb +2\/2/m);
  });

  t.test('kubectl: describe tells the story of every kind', async (t) => {
    const [pod] = await k.list<Pod>('pods -l app=web');
    const name = pod?.metadata.name ?? '';
    const told = await k.run(`describe pod ${name}`);
    t.match(
      told,
      /Controlled By: +ReplicaSet\/web-[\s\S]*State: +Running[\s\S]*QoS Class: +BestEffort/,
    );
    t.match(told, /Events:[\s\S]*Scheduled[\s\S]*Started container web/);
    const node = await k.run(`describe node ${pod?.spec.nodeName}`);
    t.match(
      node,
      /Ready +True[\s\S]*Container Runtime Version: +docker:\/\/[\s\S]*Non-terminated Pods/,
    );
    t.match(node, new RegExp(`${k.namespace} +${name}`));
    const deployment = await k.run('describe deployment web');
    t.match(deployment, /2 desired \| 2 updated \| 2 total \| 2 available[\s\S]*ScalingReplicaSet/);
    t.match(
      await k.run('describe rs'),
      /Controlled By: +Deployment\/web[\s\S]*2 current \/ 2 desired/,
    );
    const service = await k.run('describe service web');
    t.match(service, new RegExp(`Endpoints: +.*${pod?.status?.podIP}:3000`));
    t.match(await k.run('describe configmap settings'), /^a:\n----\n1$/m);
    const secret = await k.run('describe secret hidden');
    t.match(secret, /^p: +4 bytes$/m);
    t.notMatch(secret, 'word');
    t.match(await k.run(`describe namespace ${k.namespace}`), /Status: +Active/);
    t.match(await k.run('describe serviceaccount default'), /Name: +default/);
    t.match(await k.run('describe endpointslices'), /AddressType: +IPv4/);
  });

  t.test('kubectl: events are told, and found by what they are about', async (t) => {
    const [pod] = await k.list<Pod>('pods -l app=web');
    const name = pod?.metadata.name ?? '';
    t.match(await k.run(`events --for pod/${name}`), /Normal +Started +Pod\/web-/);
    const about = `get events --field-selector=involvedObject.name=${name},reason=Scheduled`;
    const rows = (await k.run(`${about} --no-headers`)).trim().split('\n');
    t.equal(rows.length, 1);
    t.match(rows[0], /Successfully assigned/);
    t.match(await k.run('get events --sort-by=.lastTimestamp'), /^LAST SEEN +TYPE +REASON/);
  });

  t.test('kubectl: users learn who they are and what they may', async (t) => {
    t.match(await k.run('auth whoami'), /Username +skein-admin\n.*system:masters/);
    t.equal((await k.run('auth can-i create pods')).trim(), 'yes');
    t.match(await k.run('auth can-i --list'), /\*\.\* +\[\] +\[\] +\[\*\]/);
    const nobody = await k.try(['auth can-i create pods --as=nobody']);
    t.same([nobody.code, nobody.stdout.trim()], [1, 'no']);
    t.match(await k.run('auth whoami --as=jane --as-group=dev'), /Username +jane\n[\s\S]*dev/);
    t.match(await k.fails('get pods --as=jane'), /User "jane" cannot list resource "pods"/);
    t.match(await k.run('config view'), /certificate-authority-data: DATA\+OMITTED/);
    t.equal((await k.run('config current-context')).trim(), 'node1');
    for (const host of k.cluster.hosts) {
      t.match(
        await k.run(`get deployment web -o name --context ${host}`),
        'web',
        `asked of ${host}`,
      );
    }
  });

  t.test('kubectl: a token of a service account proves who it is', async (t) => {
    await k.run('create serviceaccount robot');
    const token = (await k.run('create token robot --duration=20m')).trim();
    const server = await k.run('config view --minify -o', 'jsonpath={.clusters[0].cluster.server}');
    const alone = `--kubeconfig=/dev/null --insecure-skip-tls-verify --server=${server} --token=${token}`;
    const who = await k.run(`${alone} auth whoami`);
    t.match(who, new RegExp(`Username +system:serviceaccount:${k.namespace}:robot`));
    await k.run('delete serviceaccount robot');
    t.match(await k.fails(`${alone} auth whoami`), /Unauthorized|must be logged in/);
  });

  t.test('kubectl: the proxy leads to the API, and through it to pods and services', async (t) => {
    const proxy = k.start(t, 'proxy --port=0');
    const [, address] = await proxy.says(/Starting to serve on (127\.0\.0\.1:\d+)/);
    const get = (path: string) => httpGet(k.cluster, undefined, `http://${address}${path}`);
    const deployment = JSON.parse(
      await get(`/apis/apps/v1/namespaces/${k.namespace}/deployments/web`),
    ) as Deployment;
    t.equal(deployment.spec.replicas, 2);
    const inNamespace = `/api/v1/namespaces/${k.namespace}`;
    t.match(await get(`${inNamespace}/services/web:80/proxy/`), /hello, I am k8s-demo/);
    const [pod] = await k.list<Pod>('pods -l app=web');
    const name = pod?.metadata.name ?? '';
    t.match(await get(`${inNamespace}/pods/${name}/proxy/`), `from ${name}`);
    t.match(
      await k.fails(`get --raw ${inNamespace}/pods/${name}:81/proxy/`),
      /error trying to reach service/,
    );
    t.match(
      await k.fails('get --raw /api/v1/nodes/node1/proxy/'),
      /node "node1" cannot be proxied/,
    );
  });
}
