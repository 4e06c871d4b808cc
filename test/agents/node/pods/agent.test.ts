/** The whole pod agent on the in-memory runtime: what goes wrong around it, and what must hold then. */

import { type AddressInfo, createServer } from 'node:net';
import t, { type Test } from 'tap';
import type { Pod } from '../../../../agents/node/pods/kinds.ts';
import { MemoryRuntime } from '../../../../agents/node/pods/runtime/memory-runtime.ts';
import { memoryMounter } from '../../../../agents/node/pods/volumes/mounter.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createLogger } from '../../../../src/lib/logger.ts';
import { until } from '../../../support/dockerd.ts';
import { isReady, TestNode, type TestNodeOptions } from './support/cluster.ts';
import { CutClient } from './support/cut-client.ts';
import { execIn, logsOf, shell } from './support/streams.ts';

t.jobs = 16;
// Timers of the clock do not keep the process alive, and here nothing else does.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

type World = { readonly node: TestNode; readonly runtime: MemoryRuntime };

async function world(t: Test, options: Partial<TestNodeOptions> = {}): Promise<World> {
  const runtime = new MemoryRuntime(systemClock);
  runtime.addImage('busybox:1');
  const node = await TestNode.start({
    runtime,
    mounter: memoryMounter,
    ...(process.env['DEBUG_LOG'] ? { logger: createLogger('debug') } : {}),
    ...options,
    agent: { restartBackoff: { initialMs: 50, maxMs: 200 }, ...options.agent },
  });
  t.teardown(() => node.stop());
  return { node, runtime };
}

const sleeper = shell('trap "exit 0" TERM; sleep 10000');
const remove = (node: TestNode, name: string) =>
  node.client.delete('Pod', { namespace: 'default', name });
const isGone = (pod: Pod | undefined) => pod === undefined;
const restarts = (pod: Pod | undefined) => pod?.status?.containerStatuses?.[0]?.restartCount ?? 0;
const containersOf = async ({ runtime }: World, pod: string) =>
  runtime.list(`io.kubernetes.pod.name=${pod}`, new AbortController().signal);
const containerId = (pod: Pod | undefined) =>
  pod?.status?.containerStatuses?.[0]?.containerID?.slice('docker://'.length) ?? '';

t.test('pods: one that hangs in its start does not delay the others', async (t) => {
  const { node, runtime } = await world(t);
  runtime.fault('start', 'hung', 'hang');
  await node.run('hung', { containers: [sleeper] });
  for (const name of ['a', 'b', 'c']) await node.run(name, { containers: [sleeper] });
  for (const name of ['a', 'b', 'c']) await node.podUntil(name, 'is ready', isReady);
  t.equal((await node.pod('hung'))?.status?.phase, 'Pending');
});

t.test('pods: an exit whose event was lost is found by the list', async (t) => {
  const { node, runtime } = await world(t);
  await node.run('lost', { containers: [sleeper] });
  const pod = await node.podUntil('lost', 'is ready', isReady);
  runtime.deaf = true;
  runtime.crash(containerId(pod));
  runtime.reconnect();
  await node.podUntil('lost', 'was restarted', (now) => restarts(now) === 1 && isReady(now));
  t.pass('the container runs again');
});

t.test('pods: an event repeated by the list restarts nothing twice', async (t) => {
  const { node, runtime } = await world(t);
  await node.run('twice', { containers: [sleeper] });
  const pod = await node.podUntil('twice', 'is ready', isReady);
  runtime.crash(containerId(pod));
  for (let time = 0; time < 5; time++) runtime.reconnect();
  const after = await node.podUntil('twice', 'is back', (now) => restarts(now) > 0 && isReady(now));
  t.equal(restarts(after), 1);
});

t.test('pods: a node cut off runs what it ran, also after a restart of everything', async (t) => {
  const w = await world(t);
  const { node, runtime } = w;
  await node.client.create('Secret', {
    metadata: { name: 'key', namespace: 'default' },
    data: { k: Buffer.from('v').toString('base64') },
  });
  const env = [{ name: 'K', valueFrom: { secretKeyRef: { name: 'key', key: 'k' } } }];
  const keyed = {
    name: 'main',
    image: 'busybox:1',
    command: ['sh', '-c'],
    args: ['echo $(K); sleep 10000'],
    env,
  };
  await node.run('stays', { containers: [keyed], automountServiceAccountToken: false });
  await node.run('leaves', { containers: [sleeper], automountServiceAccountToken: false });
  await node.run('done', { restartPolicy: 'Never', containers: [shell('exit 0')] });
  await node.podUntil('stays', 'is ready', isReady);
  await node.podUntil('leaves', 'is ready', isReady);
  await node.podUntil('done', 'has ended', (pod) => pod?.status?.phase === 'Succeeded');
  const cut = new CutClient(node.client);
  cut.cut();
  await node.restartAgent({ client: cut.client }, async () => {
    runtime.crashAll();
    // Somebody tidies up: nothing but the disk knows any more that this pod is over.
    for (const { id } of await containersOf(w, 'done')) {
      await runtime.remove(id, new AbortController().signal);
    }
  });
  await until('both run again', 10_000, async () => {
    const states = [...(await containersOf(w, 'stays')), ...(await containersOf(w, 'leaves'))];
    return states.filter(({ state }) => state === 'running').length === 4;
  });
  t.notOk((await containersOf(w, 'done')).some(({ state }) => state === 'running'));
  await node.client.delete(
    'Pod',
    { namespace: 'default', name: 'leaves' },
    { gracePeriodSeconds: 0 },
  );
  cut.join();
  await node.podUntil('stays', 'shows its restart', (pod) => restarts(pod) === 1 && isReady(pod));
  t.match(await logsOf(node, 'stays'), 'v\n');
  await until('the deleted one is removed', 10_000, async () => {
    return (await containersOf(w, 'leaves')).length === 0;
  });
});

t.test('pods: a restarted agent adopts what runs as it is', async (t) => {
  const w = await world(t);
  const { node, runtime } = w;
  const readinessProbe = { exec: { command: ['true'] }, periodSeconds: 60 };
  const main = { ...shell('echo here; sleep 10000'), readinessProbe };
  await node.run('adopted', { containers: [main], terminationGracePeriodSeconds: 0 });
  const before = await node.podUntil('adopted', 'is ready', isReady);
  const containers = await containersOf(w, 'adopted');
  // Probes find nothing out for now: the readiness must be what it was.
  await node.restartAgent({}, () => runtime.fault('exec', 'adopted', 'hang'));
  await until('it answers again', 5_000, async () => {
    return (await logsOf(node, 'adopted').catch(() => '')) === 'here\n';
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.same(await containersOf(w, 'adopted'), containers);
  t.same((await node.pod('adopted'))?.status, before?.status);
});

t.test('pods: containers of a pod that nobody knows are removed', async (t) => {
  const w = await world(t);
  const { node, runtime } = w;
  await node.run('known', { containers: [sleeper] });
  await node.podUntil('known', 'is ready', isReady);
  const [first] = await containersOf(w, 'known');
  const labels = {
    ...first?.labels,
    'io.kubernetes.pod.uid': 'unknown-uid',
    'io.kubernetes.pod.name': 'unknown',
  };
  const request = { name: 'x', image: 'busybox:1', labels, command: ['sleep', '1000'] };
  const modes = { network: 'private', ipc: 'private', pid: 'private' } as const;
  const signal = new AbortController().signal;
  await runtime.start(await runtime.create({ ...request, ...modes }, signal), signal);
  runtime.reconnect();
  await until('it is removed', 10_000, async () => (await containersOf(w, 'unknown')).length === 0);
  t.equal((await containersOf(w, 'known')).length, 2);
});

t.test('pods: a name that is used again belongs to the new pod', async (t) => {
  const w = await world(t);
  const { node } = w;
  await node.run('again', { containers: [sleeper] });
  const first = await node.podUntil('again', 'is ready', isReady);
  const key = { namespace: 'default', name: 'again' };
  await node.client.delete('Pod', key, { gracePeriodSeconds: 0 });
  const second = await node.run('again', { containers: [sleeper] });
  t.not(second.metadata.uid, first?.metadata.uid);
  await node.podUntil('again', 'is ready', isReady);
  await until('only the new one has containers', 10_000, async () => {
    const uids = (await containersOf(w, 'again')).map(
      ({ labels }) => labels['io.kubernetes.pod.uid'],
    );
    return uids.length === 2 && uids.every((uid) => uid === second.metadata.uid);
  });
});

t.test('pods: a status that did not change is not written', async (t) => {
  const { node, runtime } = await world(t);
  await node.run('quiet', { containers: [sleeper] });
  const before = await node.podUntil('quiet', 'is ready', isReady);
  for (let time = 0; time < 5; time++) runtime.reconnect();
  await new Promise((resolve) => setTimeout(resolve, 700));
  const after = await node.pod('quiet');
  t.equal(after?.metadata.resourceVersion, before?.metadata.resourceVersion);
});

t.test('pods: a network that fails shows, and is tried again', async (t) => {
  const w = await world(t);
  const { node } = w;
  node.network.failure = 'no addresses left';
  await node.run('networked', { containers: [sleeper] });
  t.equal(
    await node.eventUntil('networked', 'FailedCreatePodSandBox'),
    'Failed to create pod sandbox: no addresses left',
  );
  node.network.failure = undefined;
  await node.podUntil('networked', 'is ready', isReady);
  t.equal((await containersOf(w, 'networked')).length, 2);
});

t.test('pods: a volume of an unknown type is named, and the pod can be deleted', async (t) => {
  const { node } = await world(t);
  await node.run('nfs', {
    containers: [sleeper],
    volumes: [{ name: 'data', nfs: { server: 'x', path: '/' } }],
  });
  t.equal(
    await node.eventUntil('nfs', 'FailedMount'),
    'MountVolume.SetUp failed for volume "data" : volumes of type nfs are not supported by this node',
  );
  t.equal((await node.pod('nfs'))?.status?.phase, 'Pending');
  await remove(node, 'nfs');
  await node.podUntil('nfs', 'is gone', isGone);
});

t.test('pods: the active deadline fails a pod that runs too long', async (t) => {
  const { node } = await world(t);
  await node.run('late', { containers: [sleeper], activeDeadlineSeconds: 1 });
  const failed = (pod: Pod | undefined) => pod?.status?.phase === 'Failed';
  const pod = await node.podUntil('late', 'fails', failed);
  t.match(pod?.status, {
    reason: 'DeadlineExceeded',
    message: 'Pod was active on the node longer than the specified deadline',
  });
  t.equal(node.network.attached.size, 0);
});

t.test('pods: forbidden sysctls fail the pod before anything runs', async (t) => {
  const w = await world(t);
  await w.node.run('sysctl', {
    containers: [sleeper],
    securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] },
  });
  const failed = (pod: Pod | undefined) => pod?.status?.phase === 'Failed';
  const pod = await w.node.podUntil('sysctl', 'fails', failed);
  t.equal(pod?.status?.reason, 'SysctlForbidden');
  t.same(await containersOf(w, 'sysctl'), []);
});

t.test('pods: a container that cannot be stopped is tried again until it is', async (t) => {
  const { node, runtime } = await world(t);
  await node.run('stubborn', { containers: [sleeper] });
  await node.podUntil('stubborn', 'is ready', isReady);
  runtime.fault('stop', 'stubborn', 'the daemon is confused');
  await remove(node, 'stubborn');
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.ok(await node.pod('stubborn'), 'it is still there');
  runtime.heal();
  await node.podUntil('stubborn', 'is gone', isGone);
});

t.test('pods: what may not restart is Failed after the runtime lost it', async (t) => {
  const { node, runtime } = await world(t);
  await node.run('once', { restartPolicy: 'Never', containers: [sleeper] });
  await node.podUntil('once', 'is ready', isReady);
  runtime.crashAll();
  const pod = await node.podUntil('once', 'fails', (now) => now?.status?.phase === 'Failed');
  t.match(pod?.status?.containerStatuses?.[0]?.state?.terminated, {
    exitCode: 137,
    reason: 'Error',
  });
});

t.test('pods: an ended pod stays ended after a restart of the agent', async (t) => {
  const w = await world(t);
  const { node } = w;
  await node.run('done', { restartPolicy: 'Never', containers: [shell('echo bye; exit 0')] });
  const ended = (pod: Pod | undefined) => pod?.status?.phase === 'Succeeded';
  const before = await node.podUntil('done', 'ends', ended);
  await node.restartAgent();
  await until('its log can be read', 5_000, async () => {
    return (await logsOf(node, 'done').catch(() => '')) === 'bye\n';
  });
  t.same((await node.pod('done'))?.status, before?.status);
  await remove(node, 'done');
  await node.podUntil('done', 'is gone', isGone);
});

t.test('pods: a changed image replaces the container', async (t) => {
  const { node, runtime } = await world(t);
  runtime.addImage('busybox:2');
  await node.run('changing', { containers: [sleeper] });
  await node.podUntil('changing', 'is ready', isReady);
  const body = [{ op: 'replace', path: '/spec/containers/0/image', value: 'busybox:2' }];
  const key = { namespace: 'default', name: 'changing' };
  await node.client.patch('Pod', key, { type: 'json', body });
  const pod = await node.podUntil('changing', 'runs the new one', (now) => restarts(now) === 1);
  t.equal(pod?.status?.containerStatuses?.[0]?.image, 'busybox:2');
  t.equal(
    await node.eventUntil('changing', 'Killing'),
    'Container main definition changed, will be restarted',
  );
});

t.test('pods: sidecars run beside the main container and end after it', async (t) => {
  const { node } = await world(t);
  await node.run('job', {
    restartPolicy: 'Never',
    initContainers: [{ ...sleeper, name: 'proxy', restartPolicy: 'Always' }],
    containers: [shell('sleep 0.3; exit 0')],
  });
  const pod = await node.podUntil('job', 'ends', (now) => now?.status?.phase === 'Succeeded');
  t.ok(pod?.status?.initContainerStatuses?.[0]?.state?.terminated);
});

t.test('pods: a startup probe holds the other probes back', async (t) => {
  const { node } = await world(t);
  const passing = { exec: { command: ['true'] }, periodSeconds: 1 };
  await node.run('slow', {
    containers: [
      {
        ...sleeper,
        startupProbe: { ...passing, initialDelaySeconds: 1 },
        readinessProbe: passing,
        livenessProbe: { ...passing, exec: { command: ['true'] } },
      },
    ],
  });
  const running = (pod: Pod | undefined) =>
    pod?.status?.containerStatuses?.[0]?.state?.running !== undefined;
  const first = await node.podUntil('slow', 'runs', running);
  t.match(first?.status?.containerStatuses?.[0], { started: false, ready: false });
  await node.podUntil('slow', 'is ready', isReady);
});

t.test('pods: exec and logs say why they cannot be had', async (t) => {
  const { node } = await world(t);
  await node.run('waiting', { containers: [{ ...sleeper, image: 'absent:1' }] });
  const backsOff = (pod: Pod | undefined) =>
    pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImagePull';
  await node.podUntil('waiting', 'waits', backsOff);
  await t.rejects(logsOf(node, 'waiting'), {
    code: 'runtime-failed',
    message: /^container "main" in pod "waiting" is waiting to start: (Err|)Image/,
  });
  await t.rejects(execIn(node, 'waiting', ['true']), { message: 'container not found ("main")' });
  await t.rejects(logsOf(node, 'absent'), { message: /not on this node/ });
});

t.test('pods: a deletion does not wait for a token that does not come', async (t) => {
  const never = new Promise<never>(() => {});
  const { node } = await world(t, { deps: { tokens: { create: () => never } } });
  await node.run('tokenless', { containers: [sleeper] });
  await new Promise((resolve) => setTimeout(resolve, 200));
  await remove(node, 'tokenless');
  await node.podUntil('tokenless', 'is gone', isGone, 5_000);
});

t.test('pods: a sandbox image that was pruned is made again', async (t) => {
  const { node, runtime } = await world(t);
  await until('the image is there', 5_000, async () => {
    return (await runtime.images()).some(({ names }) => names.includes('skein/pause:1'));
  });
  runtime.removeImage('skein/pause:1');
  await node.run('pruned', { containers: [sleeper] });
  await node.podUntil('pruned', 'is ready', isReady);
  t.pass('it runs');
});

t.test('pods: port-forward reaches a port of the pod, both ways', async (t) => {
  const { node } = await world(t);
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  await node.run('forward', { hostNetwork: true, containers: [sleeper] });
  const pod = await node.podUntil('forward', 'is ready', isReady);
  const target = { namespace: 'default', pod: 'forward', podUid: pod?.metadata.uid ?? '' };
  const { port } = server.address() as AddressInfo;
  const signal = AbortSignal.timeout(5_000);
  const stream = await node.agent.streams.portForward(target, port, signal);
  await stream.write(Buffer.from('to and fro'));
  stream.closeWrite();
  let text = '';
  for await (const chunk of stream.input) text += Buffer.from(chunk).toString();
  t.equal(text, 'to and fro');
  t.equal(pod?.status?.podIP, '192.0.2.1');
});

t.test('node: it registers itself, and writes only what changed', async (t) => {
  const { node, runtime } = await world(t, { agent: { nodeLabels: { zone: 'z' } } });
  const get = () => node.client.get('Node', { name: 'node-a' }).catch(() => undefined);
  await until('the node shows its capacity', 10_000, async () => {
    runtime.reconnect();
    const { capacity, images = [] } = (await get())?.status ?? {};
    return capacity?.['pods'] === '110' && images.length === 2;
  });
  const before = await get();
  t.match(before?.metadata.labels, { zone: 'z', 'kubernetes.io/hostname': 'node-a' });
  t.match(before?.status?.addresses, [
    { type: 'InternalIP', address: '192.0.2.1' },
    { type: 'Hostname', address: 'node-a' },
  ]);
  t.match(before?.status?.nodeInfo, {
    kubeletVersion: 'v1.32.0-skein.test',
    operatingSystem: 'linux',
  });
  t.match(
    before?.status?.conditions?.find(({ type }) => type === 'Ready'),
    { status: 'True', reason: 'KubeletReady' },
  );
  for (let time = 0; time < 3; time++) runtime.reconnect();
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.equal((await get())?.metadata.resourceVersion, before?.metadata.resourceVersion);
});
