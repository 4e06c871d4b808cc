/** What kubectl does with Deployments: scale, set, roll out, roll back, expose; and what their deletion leaves. */

import type { Test } from 'tap';
import type {
  Deployment,
  Pod,
  ReplicaSet,
  Service,
} from '../../../src/resources/generated/kinds.ts';
import { waitFor } from '../support/cluster.ts';
import type { Kubectl } from './kubectl.ts';
import { idle, web } from './manifests.ts';

/** Tests in an empty namespace. */
export async function workloadTests(t: Test, k: Kubectl): Promise<void> {
  const deployment = (name: string) => k.get<Deployment>(`deployment ${name}`);
  const rolledOut = (name: string) => k.run(`rollout status deployment/${name} --timeout=80s`);
  const pods = (name: string) => k.list<Pod>(`pods -l app=${name}`);
  const container = async (name: string) => {
    const { spec } = await deployment(name);
    return spec.template.spec.containers.find((one) => one.name === 'main');
  };

  t.test(
    'kubectl: scale changes the number of pods, if there are as many as thought',
    async (t) => {
      await k.apply(idle({ name: 'scaled', replicas: 1 }));
      await rolledOut('scaled');
      t.match(
        await k.fails('scale deployment/scaled --replicas=5 --current-replicas=9'),
        'Expected replicas to be 9, was 1',
      );
      await k.run('scale deployment/scaled --replicas=3 --current-replicas=1');
      await k.run(
        'wait deployment/scaled',
        '--for=jsonpath={.status.readyReplicas}=3',
        '--timeout=60s',
      );
      t.equal((await pods('scaled')).length, 3);
      await k.feed(idle({ name: 'scaled' }), 'scale --replicas=0 -f -');
      await k.run('wait pod -l app=scaled --for=delete --timeout=60s');
      t.equal((await pods('scaled')).length, 0);
      t.match(await k.fails('scale deployment/scaled --replicas=-1'), /must be/);
    },
  );

  t.test('kubectl: set changes what pods are made of', async (t) => {
    await k.run('create configmap values --from-literal=FROM_MAP=m');
    await k.run('create serviceaccount worker');
    await k.apply(idle({ name: 'set', replicas: 0 }));
    await k.run('set image deployment/set main=k8s-demo:v2');
    await k.run('set env deployment/set A=b');
    await k.run('set env deployment/set --from=configmap/values');
    await k.run('set resources deployment/set --requests=cpu=10m --limits=cpu=200m,memory=64Mi');
    await k.run('set serviceaccount deployment set worker');
    const { spec } = (await deployment('set')).spec.template;
    t.equal(spec.serviceAccountName, 'worker');
    const [main] = spec.containers;
    t.equal(main?.image, 'k8s-demo:v2');
    t.same(
      main?.env?.map(({ name }) => name),
      ['A', 'FROM_MAP'],
    );
    t.same(main?.resources, {
      requests: { cpu: '10m' },
      limits: { cpu: '200m', memory: '64Mi' },
    });
    t.match(await k.run('set env deployment/set --list'), 'A=b');
    await k.run('set env deployment/set A-');
    t.same(
      (await container('set'))?.env?.map(({ name }) => name),
      ['FROM_MAP'],
    );
    await k.run('create service clusterip set --tcp=80');
    await k.run('set selector service set tier=other');
    t.same((await k.get<Service>('service set')).spec.selector, { tier: 'other' });
    t.match(await k.fails('set image deployment/set nothing=busybox'), /unable to find container/);
  });

  t.test('kubectl: rollouts have a history that can be gone back in', async (t) => {
    await k.apply(idle({ name: 'rolled', image: 'busybox' }));
    await k.run('annotate deployment rolled', 'kubernetes.io/change-cause=the first');
    await rolledOut('rolled');
    await k.run('set image deployment/rolled main=k8s-demo:v2');
    await k.run('annotate deployment rolled --overwrite', 'kubernetes.io/change-cause=the second');
    await rolledOut('rolled');
    const history = await waitFor('both revisions with their causes', async () => {
      const text = await k.run('rollout history deployment/rolled');
      return /^1 +the first\n2 +the second$/m.test(text) && text;
    });
    t.ok(history);
    t.match(await k.run('rollout history deployment/rolled --revision=1'), /Image:\s+busybox/);
    await k.run('rollout undo deployment/rolled');
    await rolledOut('rolled');
    t.equal((await container('rolled'))?.image, 'busybox');
    await k.run('rollout undo deployment/rolled --to-revision=2');
    await rolledOut('rolled');
    t.equal((await container('rolled'))?.image, 'k8s-demo:v2');
    t.match(await k.run('rollout history deployment/rolled'), /^3 [\s\S]*^4 /m);
    t.match(await k.fails('rollout undo deployment/rolled --to-revision=99'), /unable to find/);
    const images = (await pods('rolled'))
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ spec }) => spec.containers[0]?.image);
    t.same(images, ['k8s-demo:v2']);
  });

  t.test(
    'kubectl: a paused rollout waits until it is resumed; a restart makes new pods',
    async (t) => {
      await k.apply(idle({ name: 'paused' }));
      await rolledOut('paused');
      const [before] = await pods('paused');
      await k.run('rollout pause deployment/paused');
      await k.run('set env deployment/paused A=b');
      await waitFor('the change to be seen', async () => {
        const { metadata, status } = await deployment('paused');
        return status?.observedGeneration === metadata.generation;
      });
      t.equal((await k.list<ReplicaSet>('rs -l app=paused')).length, 1, 'no new replica set');
      await k.run('rollout resume deployment/paused');
      await rolledOut('paused');
      await k.run('rollout pause deployment/paused');
      t.match(await k.fails('rollout undo deployment/paused'), /paused deployment/);
      await k.run('rollout resume deployment/paused');
      t.equal((await k.list<ReplicaSet>('rs -l app=paused')).length, 2);
      await k.run('rollout restart deployment/paused');
      await rolledOut('paused');
      const after = await waitFor('one pod', async () => {
        const all = await pods('paused');
        return all.length === 1 && all[0];
      });
      t.not(after.metadata.uid, before?.metadata.uid);
      const { annotations } = (await deployment('paused')).spec.template.metadata ?? {};
      t.ok(annotations?.['kubectl.kubernetes.io/restartedAt']);
    },
  );

  t.test('kubectl: a rollout that cannot end is reported as such', async (t) => {
    await k.apply(
      idle({ name: 'stuck', image: 'absent.example/nothing:1' }).replace(
        'replicas: 1',
        'replicas: 1\n  progressDeadlineSeconds: 2',
      ),
    );
    t.match(
      await k.fails('rollout status deployment/stuck --timeout=60s'),
      /exceeded its progress deadline/,
    );
    t.match(await k.run('get pods -l app=stuck'), /ErrImagePull|ImagePullBackOff/);
    await k.run('delete deployment stuck --wait=false');
  });

  t.test('kubectl: expose puts a service before pods, and it answers', async (t) => {
    await k.apply(web({ name: 'shown', replicas: 1 }));
    await k.run('delete service shown');
    await rolledOut('shown');
    await k.run('expose deployment shown --port=80 --target-port=3000 --type=NodePort');
    const { spec } = await k.get<Service>('service shown');
    t.match(spec, { type: 'NodePort', selector: { app: 'shown' } });
    const url = `http://${k.cluster.address('node2')}:${spec.ports?.[0]?.nodePort}/`;
    const answer = await waitFor('the service to answer', async () => {
      const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
      return response.text();
    });
    t.match(answer, /hello, I am k8s-demo version 2 from shown-/);
  });

  t.test(
    'kubectl: deleting a deployment takes its pods along, before, after or never',
    async (t) => {
      const left = async (name: string) =>
        (await k.run(`get rs,pods -l app=${name} -o name`)).trim().split('\n').filter(Boolean)
          .length;
      for (const name of ['front', 'back', 'orphan']) await k.apply(idle({ name }));
      for (const name of ['front', 'back', 'orphan']) await rolledOut(name);
      await k.run('delete deployment front --cascade=foreground');
      t.equal(await left('front'), 0, 'foreground: dependents went first');
      await k.run('delete deployment back --cascade=background');
      await waitFor('dependents to follow', async () => (await left('back')) === 0);
      const [pod] = await pods('orphan');
      await k.run('delete deployment orphan --cascade=orphan');
      const [set] = await k.list<ReplicaSet>('rs -l app=orphan');
      t.same(set?.metadata.ownerReferences ?? [], [], 'orphan: the replica set has no owner');
      t.equal((await pods('orphan'))[0]?.metadata.uid, pod?.metadata.uid, 'and its pod runs on');
      await k.apply(idle({ name: 'orphan' }));
      await rolledOut('orphan');
      t.same(
        (await pods('orphan')).map(({ metadata }) => metadata.uid),
        [pod?.metadata.uid],
        'a deployment of the same kind adopts both',
      );
      await k.run('delete deployments --all --cascade=foreground');
      await waitFor('nothing to be left', async () => (await k.run('get rs,pods -o name')) === '');
    },
  );
}
