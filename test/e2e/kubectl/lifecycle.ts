/** What holds objects, what goes with them, and what this release refuses, in words. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Test } from 'tap';
import type { ConfigMap, Namespace } from '../../../src/resources/generated/kinds.ts';
import { waitFor } from '../support/cluster.ts';
import { Kubectl } from './kubectl.ts';
import { web } from './manifests.ts';

const held = (name: string, more: object = {}) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, finalizers: ['example.com/hold'], ...more },
  });
const LET_GO = '{"metadata":{"finalizers":null}}';

/** Kinds of later releases, one manifest each. */
const LATER: readonly (readonly [version: string, kind: string])[] = [
  ['autoscaling/v1', 'HorizontalPodAutoscaler'],
  ['batch/v1', 'Job'],
  ['batch/v1', 'CronJob'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'StatefulSet'],
  ['v1', 'ReplicationController'],
  ['v1', 'ResourceQuota'],
  ['v1', 'LimitRange'],
  ['v1', 'PersistentVolumeClaim'],
  ['networking.k8s.io/v1', 'Ingress'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['rbac.authorization.k8s.io/v1', 'Role'],
  ['storage.k8s.io/v1', 'StorageClass'],
  ['policy/v1', 'PodDisruptionBudget'],
  ['example.com/v1', 'Gadget'],
];

/** Tests in an empty namespace. */
export async function lifecycleTests(t: Test, k: Kubectl): Promise<void> {
  t.test('kubectl: a finalizer holds an object until it is taken away', async (t) => {
    await k.apply(held('kept'));
    await k.run('delete configmap kept --wait=false');
    const { metadata } = await k.get<ConfigMap>('configmap kept');
    t.ok(metadata.deletionTimestamp, 'it is on its way out');
    const waiting = k.start(t, 'wait configmap/kept --for=delete --timeout=60s');
    await k.run('patch configmap kept --type=merge -p', LET_GO);
    t.equal(await waiting.ended(), 0);
    t.equal(await k.run('get configmap kept --ignore-not-found'), '');
  });

  t.test('kubectl: what names an owner goes with it', async (t) => {
    await k.run('create configmap owner');
    const { metadata } = await k.get<ConfigMap>('configmap owner');
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: metadata.uid };
    const owned = (name: string, reference: object) =>
      k.apply(
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name, ownerReferences: [reference] },
        }),
      );
    await owned('mine', owner);
    await owned('stranger', { ...owner, uid: '00000000-0000-0000-0000-000000000000' });
    await waitFor('the one whose owner never was to go', async () => {
      return (await k.run('get configmap stranger --ignore-not-found')) === '';
    });
    t.equal((await k.run('get configmap mine -o name')).trim(), 'configmap/mine');
    await k.run('delete configmap owner');
    await waitFor('the owned to follow', async () => {
      return (await k.run('get configmap mine --ignore-not-found')) === '';
    });
  });

  t.test('kubectl: a namespace goes with all that is in it', async (t) => {
    const name = `${k.namespace}-full`;
    const inside = await Kubectl.inNamespace(k.cluster, name);
    await inside.apply(web({ replicas: 1 }));
    await inside.run('create secret generic s --from-literal=a=b');
    await inside.apply(held('last'));
    await inside.run('rollout status deployment/web --timeout=60s');
    await k.run(`delete namespace ${name} --wait=false`);
    const condition = await waitFor('the namespace to say what holds it', async () => {
      const { status } = await k.get<Namespace>(`namespace ${name}`);
      const held = status?.conditions?.find(({ type }) => type === 'NamespaceFinalizersRemaining');
      return held?.status === 'True' && held;
    });
    t.match(condition.message, /example\.com\/hold/);
    t.match(await k.run(`get namespace ${name}`), /Terminating/);
    t.match(
      await inside.fails('create configmap more'),
      /because it is being terminated/,
      'nothing new gets in',
    );
    await inside.run('patch configmap last --type=merge -p', LET_GO);
    await k.run(`wait namespace/${name} --for=delete --timeout=60s`);
    const again = await Kubectl.inNamespace(k.cluster, name);
    const kinds = 'configmaps,secrets,services,endpoints,endpointslices,deployments,rs,pods,events';
    await again.run('wait configmap/kube-root-ca.crt --for=create --timeout=30s');
    t.equal((await again.run(`get ${kinds} -o name`)).trim(), 'configmap/kube-root-ca.crt');
    await k.run(`delete namespace ${name}`);
    t.match(await k.fails('delete namespace default'), /forbidden/i, 'some may not be deleted');
  });

  t.test('kubectl: kinds of later releases are unknown, and nothing is half done', async (t) => {
    const documents = LATER.map(([apiVersion, kind]) => ({
      apiVersion,
      kind,
      metadata: { name: 'later' },
      spec: {},
    }));
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'known' } };
    const input = [...documents, map].map((one) => JSON.stringify(one)).join('\n');
    const applied = await k.try(['apply -f -'], { input });
    t.not(applied.code, 0);
    for (const [version, kind] of LATER) {
      t.match(applied.stderr, `no matches for kind "${kind}" in version "${version}"`);
    }
    t.equal(applied.stdout, 'configmap/known created\n', 'what is known is applied');
    t.match(
      await k.fails('create quota q --hard=pods=1'),
      /could not find the requested resource \(create resourcequotas, version v1\)/,
    );
    t.match(await k.fails('create job j --image=busybox'), /create jobs\.batch, version v1/);
    t.match(await k.fails('get hpa'), `the server doesn't have a resource type "hpa"`);
    t.match(await k.fails('autoscale deployment known --max=2'), /not found/i);
    t.match(await k.fails('top pods'), 'Metrics API not available');
    t.match(await k.fails('top nodes'), 'Metrics API not available');
  });

  t.test('kubectl: custom resources are refused with a sentence', async (t) => {
    const names = { kind: 'Gadget', plural: 'gadgets' };
    const input = JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'gadgets.example.com' },
      spec: { group: 'example.com', scope: 'Namespaced', names, versions: [] },
    });
    for (const verb of ['apply', 'create']) {
      const { code, stderr } = await k.try([`${verb} -f -`], { input });
      t.not(code, 0);
      t.match(stderr, 'custom resources are not supported by this version of Skein');
    }
    t.match((await k.try(['get crd'])).stderr, 'No resources found');
  });

  t.test('kubectl: server-side apply is refused, and loses nothing', async (t) => {
    const folder = await mkdtemp(`${tmpdir()}/skein-ssa-`);
    t.teardown(() => rm(folder, { recursive: true }));
    const file = `${folder}/map.json`;
    const map = (data: object) =>
      JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ssa' }, data });
    await writeFile(file, map({ b: '2' }));
    const refusal = /application\/apply-patch\+yaml \(server-side apply\) - accepted media types/;
    t.match(await k.fails(`apply --server-side -f ${file}`), refusal, 'nothing is there yet');
    t.equal(await k.run('get configmap ssa --ignore-not-found'), '');
    await k.apply(map({ a: '1' }));
    const before = await k.get<ConfigMap>('configmap ssa');
    t.match(await k.fails(`apply --server-side --force-conflicts -f ${file}`), refusal);
    t.same(await k.get<ConfigMap>('configmap ssa'), before);
  });
}
