/** What kubectl does with nodes: labels, taints, cordon, drain, and a look around. Disturbs every pod of the cluster. */

import type { Test } from 'tap';
import type { Node, Pod } from '../../../src/resources/generated/kinds.ts';
import { waitFor } from '../support/cluster.ts';
import type { Kubectl } from './kubectl.ts';
import { idle, scripted } from './manifests.ts';

const EMPTY_DIR = `
  volumes: [{name: v, emptyDir: {}}]
`;

/** Tests in an empty namespace. */
export async function nodeTests(t: Test, k: Kubectl): Promise<void> {
  const nodesOf = async (selector: string) =>
    (await k.list<Pod>(`pods -l ${selector}`)).map(({ spec }) => spec.nodeName);
  const on = (name: string, node: string) =>
    scripted(name, 'sleep 10000').replace('spec:\n', `spec:\n  nodeName: ${node}\n`);

  t.test('kubectl: a cordoned node gets no more pods', async (t) => {
    await k.run('cordon node1');
    await k.run('cordon node2');
    t.match(await k.run('get node node1'), /Ready,SchedulingDisabled/);
    await k.apply(idle({ name: 'placed', replicas: 3 }));
    await k.run('rollout status deployment/placed --timeout=60s');
    t.same([...new Set(await nodesOf('app=placed'))], ['node3']);
    await k.run('uncordon node1');
    await k.run('uncordon node2');
    t.notMatch(await k.run('get nodes'), 'SchedulingDisabled');
    await k.run('delete deployment placed --cascade=foreground');
  });

  t.test('kubectl: taints keep pods off, and drive them away', async (t) => {
    for (const node of ['node1', 'node2']) await k.run(`taint node ${node} only=few:NoSchedule`);
    await k.apply(idle({ name: 'tainted', replicas: 2 }));
    await k.run('rollout status deployment/tainted --timeout=60s');
    t.same([...new Set(await nodesOf('app=tainted'))], ['node3']);
    t.match(await k.fails('taint node node1 only=few:NoSchedule'), /already has only taint/);
    await k.run('taint node node1 only=few:NoSchedule-');
    await k.run('taint node node2 only-');
    await k.run('taint node node3 away=now:NoExecute');
    await waitFor('all pods to have left', async () => {
      const nodes = await nodesOf('app=tainted');
      return nodes.length === 2 && !nodes.includes('node3');
    });
    await k.run('taint node node3 away-');
    t.same((await k.get<Node>('node node3')).spec.taints ?? [], []);
    t.match(await k.fails('taint node node1 a=b:Sometimes'), /unsupported taint effect/);
    await k.run('delete deployment tainted --cascade=foreground');
  });

  t.test(
    'kubectl: drain moves what has a controller, and asks before it ends the rest',
    async (t) => {
      await k.apply(idle({ name: 'moved', replicas: 3 }));
      await k.run('rollout status deployment/moved --timeout=60s');
      await k.apply(on('bare', 'node2'));
      await k.apply(`${on('storing', 'node2')}${EMPTY_DIR}`);
      await k.run('wait pod/bare pod/storing --for=condition=Ready --timeout=60s');
      const before = (await k.list<Pod>('pods -l app=moved')).filter(
        ({ spec }) => spec.nodeName === 'node2',
      );
      const drain = `drain node2 --ignore-daemonsets --timeout=60s --pod-selector=app`;
      const refusal = await k.fails(drain);
      t.match(refusal, /use --force to override\): [^:]*nodes\/bare/);
      t.match(refusal, /use --delete-emptydir-data to override\): [^:]*nodes\/storing/);
      t.equal((await k.get<Pod>('pod bare')).metadata.deletionTimestamp, undefined);
      const drained = await k.run(`${drain} --force --delete-emptydir-data`);
      for (const { metadata } of before) t.match(drained, `pod/${metadata.name} evicted`);
      t.equal(await k.run('get pod bare storing --ignore-not-found'), '');
      await k.run('rollout status deployment/moved --timeout=60s');
      const nodes = await nodesOf('app=moved');
      t.equal(nodes.length, 3);
      t.notOk(nodes.includes('node2'));
      await k.run('uncordon node2');
    },
  );

  t.test('kubectl: nodes are labelled, chosen by label, and looked into', async (t) => {
    await k.run('label node node1 disk=fast');
    t.equal((await k.run('get nodes -l disk=fast -o name')).trim(), 'node/node1');
    await k.run('annotate node node1 note=here');
    await k.run('label node node1 disk-');
    t.equal(await k.run('get nodes -l disk -o name'), '');
    await k.run('annotate node node1 note-');
    const conditions =
      '{"status":{"conditions":[{"type":"Tested","status":"True","reason":"Test"}]}}';
    await k.run('patch node node1 --subresource=status -p', conditions);
    t.match(await k.run('describe node node1'), /^ +Tested +True/m);
    const debug = await k.run(
      'debug node/node1 --profile=general --image=busybox --attach=false -- cat /host/etc/hostname',
    );
    t.match(debug, /Creating debugging pod node-debugger-node1/);
    const pod = /node-debugger-node1-\w+/.exec(debug)?.[0] ?? '';
    await k.run(`wait pod/${pod}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s');
    t.match(await k.run(`logs ${pod}`), /\S/, 'it saw the files of the host');
  });
}
