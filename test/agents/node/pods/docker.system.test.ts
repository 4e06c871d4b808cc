/** The pod agent on a real Docker daemon: what only real processes, mounts and namespaces can show. */

import t from 'tap';
import type { Pod } from '../../../../agents/node/pods/kinds.ts';
import { createDockerRuntime } from '../../../../agents/node/pods/runtime/docker-runtime.ts';
import { systemMounter } from '../../../../agents/node/pods/volumes/mounter.ts';
import { createLogger } from '../../../../src/lib/logger.ts';
import { startDockerd, until } from '../../../support/dockerd.ts';
import { runtimeConformance } from './runtime/conformance.ts';
import { isReady, TestNode } from './support/cluster.ts';
import { execIn, logsOf, shell } from './support/streams.ts';

t.setTimeout(180_000);

const dockerd = await startDockerd();
t.teardown(() => dockerd.stop());
await dockerd.importBusybox('busybox:1');
await dockerd.importBusybox('redis');
const runtime = createDockerRuntime({ socketPath: dockerd.socketPath });
const node = await TestNode.start({
  runtime,
  mounter: systemMounter,
  ...(process.env['DEBUG_LOG'] ? { logger: createLogger('debug') } : {}),
  agent: { restartBackoff: { initialMs: 300, maxMs: 1_000 } },
});
t.teardown(() => node.stop());

const sleeper = { name: 'main', image: 'busybox:1', command: ['sleep', '1000'] };
const terminationGracePeriodSeconds = 1;
const never = { restartPolicy: 'Never', terminationGracePeriodSeconds };

/** Runs a script to its end in a pod of its own and answers what it printed. */
async function printed(name: string, script: string, spec: Partial<Pod['spec']> = {}) {
  const [base = {}] = spec.containers ?? [];
  await node.run(name, { ...never, ...spec, containers: [{ ...shell(script), ...base }] });
  await node.podUntil(name, 'has ended', (pod) => pod?.status?.phase === 'Succeeded');
  return logsOf(node, name);
}

const remove = (name: string) => node.client.delete('Pod', { namespace: 'default', name });

t.test('the port on Docker', async (t) => {
  t.jobs = 6;
  await runtimeConformance(t, runtime);
});

t.test('while the daemon runs', async (t) => {
  t.jobs = 6;

  t.test('pods: a pod runs, is Ready, says so in events, and goes when deleted', async (t) => {
    await node.run('simple', { containers: [sleeper], terminationGracePeriodSeconds });
    const pod = await node.podUntil('simple', 'is ready', isReady);
    t.equal(pod?.status?.phase, 'Running');
    t.match(pod?.status?.podIP, /^10\.250\.0\./);
    t.equal(pod?.status?.hostIP, '192.0.2.1');
    t.equal(pod?.status?.qosClass, 'BestEffort');
    const [status] = pod?.status?.containerStatuses ?? [];
    t.match(status?.containerID, /^docker:\/\/[0-9a-f]{64}$/);
    t.match(status?.imageID, /^docker:\/\/sha256:/);
    t.match(status, { ready: true, started: true, restartCount: 0, image: 'busybox:1' });
    t.equal(
      await node.eventUntil('simple', 'Pulled'),
      'Container image "busybox:1" already present on machine',
    );
    t.equal(await node.eventUntil('simple', 'Created'), 'Created container: main');
    t.equal(await node.eventUntil('simple', 'Started'), 'Started container main');
    await remove('simple');
    await node.podUntil('simple', 'is gone', (pod) => pod === undefined);
    t.equal(await node.eventUntil('simple', 'Killing'), 'Stopping container main');
    await until('its containers are removed', 5_000, async () => {
      const filters = { label: ['io.kubernetes.pod.name=simple'] };
      return (await dockerd.docker.listContainers({ all: true, filters })).length === 0;
    });
  });

  t.test('pods: exit 0 makes Succeeded, another code Failed with its message', async (t) => {
    await node.run('well', { ...never, containers: [shell('exit 0')] });
    const script = 'echo gone wrong > /dev/termination-log; exit 3';
    await node.run('ill', { ...never, containers: [shell(script)] });
    const well = await node.podUntil('well', 'ends', (pod) => pod?.status?.phase === 'Succeeded');
    const ill = await node.podUntil('ill', 'ends', (pod) => pod?.status?.phase === 'Failed');
    t.match(well?.status?.containerStatuses?.[0]?.state?.terminated, { reason: 'Completed' });
    t.match(ill?.status?.containerStatuses?.[0]?.state?.terminated, {
      exitCode: 3,
      reason: 'Error',
      message: 'gone wrong\n',
    });
  });

  t.test('pods: a failing container comes back with growing delays', async (t) => {
    const spec = { containers: [shell('echo try; exit 1')], terminationGracePeriodSeconds };
    await node.run('crashing', spec);
    const looping = (pod: Pod | undefined) => {
      const [status] = pod?.status?.containerStatuses ?? [];
      const { state, restartCount = 0 } = status ?? {};
      return restartCount >= 2 && state?.waiting?.reason === 'CrashLoopBackOff';
    };
    const pod = await node.podUntil('crashing', 'is in a crash loop', looping);
    const [status] = pod?.status?.containerStatuses ?? [];
    t.match(status?.state?.waiting?.message, /^back-off .* restarting failed container=main pod=/);
    t.match(status?.lastState?.terminated, { exitCode: 1, reason: 'Error' });
    t.equal(pod?.status?.phase, 'Running');
    t.match(
      await node.eventUntil('crashing', 'BackOff'),
      /^Back-off restarting failed container main in pod crashing_default\(/,
    );
    t.match(await logsOf(node, 'crashing', { previous: true }), /try/);
    await remove('crashing');
    await node.podUntil('crashing', 'is gone', (pod) => pod === undefined);
  });

  t.test('pods: init containers run in order before the main one', async (t) => {
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    await node.run('init', {
      ...never,
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [
        { ...shell('echo one >> /shared/log'), name: 'first', volumeMounts },
        { ...shell('echo two >> /shared/log'), name: 'second', volumeMounts },
      ],
      containers: [{ ...shell('cat /shared/log'), volumeMounts }],
    });
    const ended = (pod: Pod | undefined) => pod?.status?.phase === 'Succeeded';
    const pod = await node.podUntil('init', 'ends', ended);
    t.equal(await logsOf(node, 'init'), 'one\ntwo\n');
    t.equal(pod?.status?.initContainerStatuses?.length, 2);
  });

  t.test('pods: environment comes from the pod, ConfigMaps, Secrets and Services', async (t) => {
    await node.client.create('ConfigMap', {
      metadata: { name: 'settings', namespace: 'default' },
      data: { colour: 'blue', SIZE: 'big' },
    });
    await node.client.create('Secret', {
      metadata: { name: 'keys', namespace: 'default' },
      data: { key: Buffer.from('s3cret').toString('base64') },
    });
    const script = 'echo $NAME $IP $COLOUR $KEY $PRE_SIZE $GREETING $LIMIT';
    const text = await printed('env', script, {
      containers: [
        {
          ...shell(script),
          envFrom: [{ prefix: 'PRE_', configMapRef: { name: 'settings' } }],
          env: [
            { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
            { name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'key' } } },
            { name: 'GREETING', value: 'hi-$(NAME)' },
            { name: 'LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
          ],
        },
      ],
    });
    t.match(text, /^env 10\.250\.0\.\d+ blue s3cret big hi-env [1-9]\d*\n$/);
  });

  t.test(
    'pods: volumes show files with their modes, and the token of the service account',
    async (t) => {
      await node.client.create('ConfigMap', {
        metadata: { name: 'files', namespace: 'default' },
        data: { 'a.txt': 'alpha' },
      });
      const script = [
        'cat /config/nested/a; stat -c " %a" -L /config/nested/a',
        'df /memory | grep -c tmpfs',
        'cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo',
        'cat /labels; echo; cat /part',
        'stat -c "%a" /memory',
      ].join('; ');
      const volumeMounts = [
        { name: 'config', mountPath: '/config' },
        { name: 'memory', mountPath: '/memory' },
        { name: 'down', mountPath: '/labels', subPath: 'labels' },
        { name: 'config', mountPath: '/part', subPath: 'nested/a' },
      ];
      await node.run(
        'volumes',
        {
          ...never,
          containers: [{ ...shell(script), volumeMounts }],
          volumes: [
            {
              name: 'config',
              configMap: {
                name: 'files',
                items: [{ key: 'a.txt', path: 'nested/a', mode: 0o400 }],
              },
            },
            { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
            {
              name: 'down',
              downwardAPI: {
                items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }],
              },
            },
          ],
        },
        { labels: { app: 'x' } },
      );
      await node.podUntil('volumes', 'ends', (pod) => pod?.status?.phase === 'Succeeded');
      const text = await logsOf(node, 'volumes');
      t.equal(text, 'alpha 400\n1\ndefault\napp="x"\nalpha777\n');
      t.ok(node.tokensIssued > 0);
    },
  );

  t.test('pods: files follow their ConfigMap while the pod runs', async (t) => {
    const key = { namespace: 'default', name: 'live' };
    await node.client.create('ConfigMap', { metadata: key, data: { k: 'old' } });
    await node.run('following', {
      terminationGracePeriodSeconds,
      containers: [{ ...sleeper, volumeMounts: [{ name: 'live', mountPath: '/live' }] }],
      volumes: [{ name: 'live', configMap: { name: 'live' } }],
    });
    await node.podUntil('following', 'is ready', isReady);
    t.equal((await execIn(node, 'following', ['cat', '/live/k'])).stdout, 'old');
    await node.client.patch('ConfigMap', key, { type: 'merge', body: { data: { k: 'new' } } });
    await until('the file shows it', 5_000, async () => {
      return (await execIn(node, 'following', ['cat', '/live/k'])).stdout === 'new';
    });
  });

  t.test('pods: a liveness probe that fails restarts the container', async (t) => {
    await node.run('sick', {
      terminationGracePeriodSeconds,
      containers: [
        {
          ...shell('touch /tmp/alive; sleep 1; rm /tmp/alive; sleep 1000'),
          livenessProbe: {
            exec: { command: ['cat', '/tmp/alive'] },
            periodSeconds: 1,
            failureThreshold: 1,
          },
        },
      ],
    });
    const restarted = (pod: Pod | undefined) =>
      (pod?.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1;
    await node.podUntil('sick', 'is restarted', restarted);
    t.match(await node.eventUntil('sick', 'Unhealthy'), /^Liveness probe failed: .*No such file/);
    const killing = 'Container main failed liveness probe, will be restarted';
    t.equal(await node.eventUntil('sick', 'Killing'), killing);
    await remove('sick');
  });

  t.test('pods: a readiness probe decides over Ready alone', async (t) => {
    await node.run('unready', {
      terminationGracePeriodSeconds,
      containers: [
        {
          ...sleeper,
          readinessProbe: { exec: { command: ['cat', '/tmp/ready'] }, periodSeconds: 1 },
        },
      ],
    });
    const running = (pod: Pod | undefined) => pod?.status?.phase === 'Running';
    const pod = await node.podUntil('unready', 'runs', running);
    const ready = pod?.status?.conditions?.find(({ type }) => type === 'Ready');
    t.match(ready, {
      status: 'False',
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [main]',
    });
    await execIn(node, 'unready', ['touch', '/tmp/ready']);
    const after = await node.podUntil('unready', 'is ready', isReady);
    t.equal(after?.status?.containerStatuses?.[0]?.restartCount, 0);
  });

  t.test('pods: exec carries input, both outputs and the exit code', async (t) => {
    await node.run('exec', { containers: [sleeper], terminationGracePeriodSeconds });
    await node.podUntil('exec', 'is ready', isReady);
    const command = ['sh', '-c', 'cat; echo problem >&2; exit 7'];
    const result = await execIn(node, 'exec', command, 'from outside');
    t.same(result, { stdout: 'from outside', stderr: 'problem\n', code: 7 });
    t.equal((await execIn(node, 'exec', ['hostname'])).stdout, 'exec\n');
  });

  t.test('pods: attach joins the process, with a terminal when it has one', async (t) => {
    const script = 'read line; echo got $line; sleep 1000';
    await node.run('attach', {
      terminationGracePeriodSeconds,
      containers: [{ ...shell(script), stdin: true, tty: true }],
    });
    const pod = await node.podUntil('attach', 'is ready', isReady);
    const podUid = pod?.metadata.uid ?? '';
    const target = { namespace: 'default', pod: 'attach', podUid, container: 'main' };
    const options = { stdin: true, stdout: true, stderr: false, tty: true };
    const signal = AbortSignal.timeout(10_000);
    const session = await node.agent.streams.attach(target, options, signal);
    session.resize(100, 40);
    await session.writeStdin(Buffer.from('me\n'));
    let text = '';
    for await (const { data } of session.output) {
      text += Buffer.from(data).toString();
      if (text.includes('got me')) break;
    }
    session.abort();
    t.match(text, /got me/);
    t.match(await logsOf(node, 'attach'), /got me/);
    t.equal((await node.pod('attach'))?.status?.containerStatuses?.[0]?.restartCount, 0);
  });

  t.test('pods: logs honour tail, limit and time stamps', async (t) => {
    await printed('logs', 'echo a; echo b; echo c');
    t.equal(await logsOf(node, 'logs', { tailLines: 1 }), 'c\n');
    t.equal(await logsOf(node, 'logs', { limitBytes: 3 }), 'a\nb');
    t.match(await logsOf(node, 'logs', { timestamps: true }), /^\d{4}-\d\d-\d\dT\S+Z a\n/);
    await t.rejects(logsOf(node, 'logs', { previous: true }), {
      message: 'previous terminated container "main" in pod "logs" not found',
    });
  });

  t.test('pods: preStop runs before the stop signal, which the process may handle', async (t) => {
    await node.run('graceful', {
      terminationGracePeriodSeconds: 10,
      volumes: [{ name: 'out', hostPath: { path: `${node.root}/out`, type: 'DirectoryOrCreate' } }],
      containers: [
        {
          ...shell('trap "echo term >> /out/log; exit 0" TERM; while :; do sleep 0.1; done'),
          volumeMounts: [{ name: 'out', mountPath: '/out' }],
          lifecycle: {
            postStart: { exec: { command: ['sh', '-c', 'echo post >> /out/log'] } },
            preStop: { exec: { command: ['sh', '-c', 'echo pre >> /out/log'] } },
          },
        },
      ],
    });
    await node.podUntil('graceful', 'is ready', isReady);
    await remove('graceful');
    await node.podUntil('graceful', 'is gone', (pod) => pod === undefined, 8_000);
    const script = 'cat /out/log';
    const spec = {
      volumes: [{ name: 'out', hostPath: { path: `${node.root}/out` } }],
      containers: [{ ...shell(script), volumeMounts: [{ name: 'out', mountPath: '/out' }] }],
    };
    t.equal(await printed('after', script, spec), 'post\npre\nterm\n');
  });

  t.test('pods: an untagged image runs from the machine while no registry answers', async (t) => {
    const { image: _, ...rest } = sleeper;
    const spec = { containers: [{ ...rest, image: 'redis' }], terminationGracePeriodSeconds };
    await node.run('untagged', spec);
    const pod = await node.podUntil('untagged', 'is ready', isReady);
    t.equal(pod?.spec.containers[0]?.imagePullPolicy, 'Always');
    t.match(await node.eventUntil('untagged', 'RegistryUnreachable'), /^No registry answered/);
  });

  t.test('pods: an image that is nowhere shows ErrImagePull, then ImagePullBackOff', async (t) => {
    const { image: _, ...rest } = sleeper;
    await node.run('nowhere', {
      containers: [{ ...rest, image: 'nowhere:1' }],
      terminationGracePeriodSeconds,
    });
    const waitsFor = (reason: string) => (pod: Pod | undefined) =>
      pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason === reason;
    await node.podUntil('nowhere', 'shows ErrImagePull', waitsFor('ErrImagePull'));
    await node.podUntil('nowhere', 'backs off', waitsFor('ImagePullBackOff'));
    t.equal(await node.eventUntil('nowhere', 'BackOff'), 'Back-off pulling image "nowhere:1"');
    await remove('nowhere');
    await node.podUntil('nowhere', 'is gone', (pod) => pod === undefined);
  });

  t.test('pods: users, groups and a read-only root are as asked for', async (t) => {
    const script = 'id -u; id -g; id -G; touch /x 2>/dev/null || echo read-only';
    const text = await printed('secure', script, {
      securityContext: { runAsUser: 1001, runAsGroup: 2002, fsGroup: 3003 },
      containers: [{ ...shell(script), securityContext: { readOnlyRootFilesystem: true } }],
    });
    t.equal(text, '1001\n2002\n2002 3003\nread-only\n');
  });

  t.test('pods: a container that must not be root is not started as root', async (t) => {
    await node.run('root', {
      containers: [{ ...sleeper, securityContext: { runAsNonRoot: true } }],
      terminationGracePeriodSeconds,
    });
    const refused = (pod: Pod | undefined) =>
      pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError';
    const pod = await node.podUntil('root', 'is refused', refused);
    const { message } = pod?.status?.containerStatuses?.[0]?.state?.waiting ?? {};
    t.match(message, /^container has runAsNonRoot and image will run as root \(pod: "root_default/);
    await remove('root');
  });

  t.test('pods: what a container waits for may come later', async (t) => {
    const env = [{ name: 'V', valueFrom: { configMapKeyRef: { name: 'late', key: 'v' } } }];
    await node.run('waiting', { ...never, containers: [{ ...shell('echo $V'), env }] });
    t.match(await node.eventUntil('waiting', 'Failed'), 'Error: configmap "late" not found');
    await node.client.create('ConfigMap', {
      metadata: { name: 'late', namespace: 'default' },
      data: { v: 'came' },
    });
    await node.podUntil('waiting', 'ends', (pod) => pod?.status?.phase === 'Succeeded');
    t.equal(await logsOf(node, 'waiting'), 'came\n');
  });

  t.test('pods: a command that does not exist shows why the container cannot run', async (t) => {
    await node.run('nocommand', {
      ...never,
      containers: [{ ...sleeper, command: ['no-such-program'] }],
    });
    const failed = (pod: Pod | undefined) => pod?.status?.phase === 'Failed';
    const pod = await node.podUntil('nocommand', 'fails', failed);
    const ended = pod?.status?.containerStatuses?.[0]?.state?.terminated;
    t.match(ended, { reason: 'ContainerCannotRun', exitCode: 127 });
    t.match(ended?.message, /no-such-program/);
  });

  t.test('pods: /etc/hosts and /etc/resolv.conf are managed', async (t) => {
    const script = 'cat /etc/hosts /etc/resolv.conf';
    const text = await printed('etc', script, {
      hostAliases: [{ ip: '10.1.1.1', hostnames: ['other', 'more'] }],
      dnsPolicy: 'None',
      dnsConfig: {
        nameservers: ['10.9.9.9'],
        searches: ['example'],
        options: [{ name: 'ndots', value: '2' }],
      },
    });
    t.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
    t.match(text, /\n10\.250\.0\.\d+\tetc\n/);
    t.match(text, /\n10\.1\.1\.1\tother\tmore\n/);
    t.match(text, /nameserver 10\.9\.9\.9\nsearch example\noptions ndots:2\n$/);
  });

  t.test(
    'pods: containers of a pod share its network and, when asked, its processes',
    async (t) => {
      await node.run('sharing', {
        terminationGracePeriodSeconds,
        shareProcessNamespace: true,
        containers: [
          { ...shell('echo hello | nc -l -p 8080; sleep 1000'), name: 'server' },
          { ...sleeper, name: 'other' },
        ],
      });
      await node.podUntil('sharing', 'is ready', isReady);
      const ask = ['sh', '-c', 'nc 127.0.0.1 8080 </dev/null; cat /proc/1/cmdline'];
      const { stdout } = await execIn(node, 'sharing', ask, undefined, 'other');
      t.match(stdout, /^hello\n/);
      t.match(stdout, /trap "exit 0" TERM INT/);
    },
  );

  t.test('pods: deletion by force removes the containers as well', async () => {
    await node.run('forced', { containers: [sleeper], terminationGracePeriodSeconds });
    await node.podUntil('forced', 'is ready', isReady);
    const key = { namespace: 'default', name: 'forced' };
    await node.client.delete('Pod', key, { gracePeriodSeconds: 0 });
    await until('its containers are removed', 10_000, async () => {
      const filters = { label: ['io.kubernetes.pod.name=forced'] };
      return (await dockerd.docker.listContainers({ all: true, filters })).length === 0;
    });
  });

  t.test('pods: a sandbox that dies is made anew and its containers with it', async (t) => {
    await node.run('sandbox', { containers: [sleeper], terminationGracePeriodSeconds });
    const before = await node.podUntil('sandbox', 'is ready', isReady);
    const filters = {
      label: ['io.kubernetes.pod.name=sandbox', 'io.kubernetes.docker.type=podsandbox'],
    };
    const [info] = await dockerd.docker.listContainers({ filters });
    await dockerd.docker.getContainer(info?.Id ?? '').kill();
    const back = (pod: Pod | undefined) =>
      isReady(pod) && pod?.status?.podIP !== before?.status?.podIP;
    const after = await node.podUntil('sandbox', 'is back', back);
    t.equal(after?.status?.containerStatuses?.[0]?.restartCount, 1);
    t.equal(after?.status?.podIPs?.length, 1);
  });
});

t.test('pods: a restarted agent adopts what runs, without restarting it', async (t) => {
  await node.run('adopted', { containers: [sleeper], terminationGracePeriodSeconds });
  const before = await node.podUntil('adopted', 'is ready', isReady);
  await node.restartAgent();
  await until('it answers again', 10_000, async () => {
    const result = await execIn(node, 'adopted', ['echo', 'here']).catch(() => undefined);
    return result?.stdout === 'here\n';
  });
  const after = await node.pod('adopted');
  t.same(after?.status, before?.status);
  await remove('adopted');
  await node.podUntil('adopted', 'is gone', (pod) => pod === undefined);
});

t.test(
  'pods: nothing is left of deleted pods, in the runtime, the network or on disk',
  async () => {
    const { items } = await node.client.list('Pod');
    for (const { metadata } of items) await remove(metadata.name);
    await until('every container is removed', 20_000, async () => {
      return (await dockerd.docker.listContainers({ all: true })).length === 0;
    });
    await until('every address is released', 5_000, () => node.network.attached.size === 0);
  },
);

t.test('pods: they come back after the daemon was restarted', async (t) => {
  const script = 'trap "exit 0" TERM; sleep 1000 & wait';
  await node.run('survivor', { containers: [shell(script)], terminationGracePeriodSeconds });
  await node.podUntil('survivor', 'is ready', isReady);
  await dockerd.restart();
  const back = (pod: Pod | undefined) =>
    isReady(pod) && pod?.status?.containerStatuses?.[0]?.restartCount === 1;
  await node.podUntil('survivor', 'runs again', back, 30_000);
  t.equal(node.agent.runtimeProblem(), undefined);
  await remove('survivor');
  await node.podUntil('survivor', 'is gone', (pod) => pod === undefined);
});
