/** What kubectl does with what runs: run, logs, exec, attach, cp, port-forward, wait, and the end of pods. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Test } from 'tap';
import type { Pod } from '../../../src/resources/generated/kinds.ts';
import { waitFor } from '../support/cluster.ts';
import type { Kubectl } from './kubectl.ts';
import { scripted, web } from './manifests.ts';

const RUN = '--image=busybox --image-pull-policy=IfNotPresent --restart=Never';
const TALKER = 'for i in 1 2 3; do echo line $i; done; sleep 10000';

/** Two containers; the second ends again and again. */
const PAIR = `
apiVersion: v1
kind: Pod
metadata: {name: pair, labels: {app: pair}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: calm, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo calm; sleep 10000']}
  - {name: wild, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo wild; sleep 1; exit 5']}
`;

/** Tests in an empty namespace. */
export async function containerTests(t: Test, k: Kubectl): Promise<void> {
  const ready = (name: string) => k.run(`wait pod/${name} --for=condition=Ready --timeout=60s`);
  await k.apply(scripted('talker', TALKER));
  await k.apply(PAIR);
  await ready('talker');

  t.test('kubectl: run makes a pod, and brings back what it says and how it ended', async (t) => {
    await k.run(`run plain ${RUN} --labels=a=b --env=WHO=me --command -- sh -c`, 'echo $WHO');
    await k.run('wait pod/plain', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s');
    t.equal(await k.run('logs plain'), 'me\n');
    t.same((await k.get<Pod>('pod plain')).metadata.labels, { a: 'b' });
    const piped = await k.feed('through\n', `run piped ${RUN} --rm -i --command -- cat`);
    t.match(piped, /^through$/m);
    t.match(piped, 'pod "piped" deleted');
    t.equal(await k.run('get pod piped --ignore-not-found'), '');
    const script = 'read word; echo got $word; exit 3';
    const failing = await k.try([`run failing ${RUN} --rm -i --quiet --command -- sh -c`, script], {
      input: 'it\n',
    });
    t.equal(failing.code, 3);
    t.match(failing.stdout, /got it/);
  });

  t.test('kubectl: run of what ends at once still says what it said', async (t) => {
    for (let round = 0; round < 3; round++) {
      const said = await k.try([`run quick${round} ${RUN} --rm -i --command -- echo at once`]);
      t.equal(said.code, 0, said.stderr);
      t.equal(await k.run(`get pod quick${round} --ignore-not-found`), '');
    }
  });

  t.test('kubectl: logs are shown from the beginning, the end, or a time on', async (t) => {
    const all = 'line 1\nline 2\nline 3\n';
    t.equal(await k.run('logs talker'), all);
    t.equal(await k.run('logs talker --tail=1'), 'line 3\n');
    t.equal(await k.run('logs talker --limit-bytes=6'), 'line 1');
    t.equal(await k.run('logs talker --since=1h'), all);
    t.equal(await k.run('logs talker --since-time=2100-01-01T00:00:00Z'), '');
    t.match(await k.run('logs talker --timestamps'), /^\d{4}-\d\d-\d\dT[\d:.]+Z line 1\n/);
    t.match(await k.run('logs -l app=talker --prefix'), /^\[pod\/talker\/main\] line 1$/m);
    t.match(await k.fails('logs talker -c nobody'), /container nobody is not valid for pod talker/);
    t.match(await k.fails('logs absent'), 'pods "absent" not found');
  });

  t.test('kubectl: logs of several containers, and of those that ended', async (t) => {
    await waitFor('a restart', async () => {
      const { status } = await k.get<Pod>('pod pair');
      return status?.containerStatuses?.some(({ restartCount }) => restartCount > 0);
    });
    t.equal(await k.run('logs pair -c wild --previous'), 'wild\n');
    t.equal(await k.run('logs pair -c calm'), 'calm\n');
    const both = await k.run('logs pair --all-containers --prefix');
    t.match(both, /^\[pod\/pair\/calm\] calm$/m);
    t.match(both, /^\[pod\/pair\/wild\] wild$/m);
    t.match(await k.fails('logs pair -c calm --previous'), /previous terminated container "calm"/);
  });

  t.test('kubectl: logs -f follows a container to its end', async (t) => {
    await k.apply(scripted('counter', 'for i in 1 2 3; do echo $i; sleep 0.5; done'));
    await k.run('wait pod/counter', '--for=jsonpath={.status.phase}', '--timeout=60s');
    await waitFor('the container to start', async () => {
      const [status] = (await k.get<Pod>('pod counter')).status?.containerStatuses ?? [];
      return status?.state?.waiting === undefined && status !== undefined;
    });
    t.equal(await k.run('logs -f counter'), '1\n2\n3\n');
  });

  t.test('kubectl: exec brings input in, output and exit code out', async (t) => {
    const { code, stdout, stderr } = await k.try([
      'exec talker -- sh -c',
      'echo out; echo err >&2; exit 7',
    ]);
    t.same([code, stdout], [7, 'out\n']);
    t.match(stderr, /^err\n.*exit code 7/s);
    const big = 'x'.repeat(1_000_000);
    t.equal(await k.feed(big, 'exec -i talker -- wc -c'), '1000000\n');
    t.equal((await k.run('exec pair -c calm -- hostname')).trim(), 'pair');
    const absent = await k.try(['exec talker -- absent']);
    t.equal(absent.code, 126);
    t.match(absent.stdout, /exec: "absent": executable file not found/);
    t.match(await k.fails('exec talker -c nobody -- true'), /container nobody is not valid/);
  });

  t.test('kubectl: exec -t gives the command a terminal of the right size', async (t) => {
    const shell = k.onTerminal(t, 'stty rows 33 cols 77; $kubectl exec -it talker -- sh');
    shell.type('tty; sleep 0.5; stty size; exit 4\n');
    await shell.says(/\/dev\/pts\/\d+/);
    await shell.says(/33 77/);
    t.equal(await shell.ended(), 4);
  });

  t.test('kubectl: attach joins the main process', async (t) => {
    const loop = 'while read word; do echo got $word; done';
    await k.apply(scripted('listener', loop, '\n    stdin: true'));
    await ready('listener');
    const session = k.start(t, 'attach -i listener');
    session.type('one\n');
    await session.says(/got one/);
    session.type('two\n');
    await session.says(/got two/);
    t.match(await k.run('logs listener'), 'got one\ngot two\n', 'the log has it, too');
  });

  t.test('kubectl: cp carries files both ways', async (t) => {
    const folder = await mkdtemp(`${tmpdir()}/skein-cp-`);
    t.teardown(() => rm(folder, { recursive: true }));
    const content = `${'y'.repeat(200_000)}\n`;
    await writeFile(`${folder}/there`, content);
    await k.run(`cp ${folder}/there talker:/tmp/there`);
    t.equal((await k.run('exec talker -- wc -c /tmp/there')).trim(), '200001 /tmp/there');
    await k.run(`cp talker:/tmp/there ${folder}/back`);
    t.equal(await readFile(`${folder}/back`, 'utf8'), content);
  });

  t.test('kubectl: port-forward leads to pods, deployments and services', async (t) => {
    await k.apply(web({ name: 'server', replicas: 1 }));
    await k.run('rollout status deployment/server --timeout=60s');
    for (const [target, port] of [
      ['deployment/server', '3000'],
      ['service/server', '80'],
    ] as const) {
      const forward = k.start(t, `port-forward ${target} :${port}`);
      const [, address] = await forward.says(/Forwarding from (127\.0\.0\.1:\d+) -> 3000/);
      for (let round = 0; round < 3; round++) {
        const answer = await fetch(`http://${address}/`, { signal: AbortSignal.timeout(10_000) });
        t.match(await answer.text(), /hello, I am k8s-demo version 2 from server-/, target);
      }
      await forward.stop();
    }
    const nowhere = k.start(t, 'port-forward pod/talker :81');
    const [, address] = await nowhere.says(/Forwarding from (127\.0\.0\.1:\d+)/);
    await t.rejects(fetch(`http://${address}/`, { signal: AbortSignal.timeout(10_000) }));
    await nowhere.says(/error forwarding port 81|connection refused/);
  });

  t.test('kubectl: wait ends when it is so, or says that it is not', async (t) => {
    t.match(await ready('talker'), 'pod/talker condition met');
    t.match(await k.run('wait pod/talker', '--for=jsonpath={.status.phase}=Running'), 'met');
    t.match(await k.fails('wait pod/talker --for=condition=Gone --timeout=1s'), /timed out/);
    const waiting = k.start(t, 'wait configmap/late --for=create --timeout=60s');
    await k.run('create configmap late');
    await waiting.says(/configmap\/late condition met/);
    const gone = k.start(t, 'wait configmap/late --for=delete --timeout=60s');
    await k.run('delete configmap late');
    t.equal(await gone.ended(), 0);
  });

  t.test('kubectl: pods end in time, now, or without being asked', async (t) => {
    const stubborn = scripted('stubborn', 'trap "" TERM; while true; do sleep 0.2; done').replace(
      'terminationGracePeriodSeconds: 0',
      'terminationGracePeriodSeconds: 300',
    );
    await k.apply(stubborn);
    await ready('stubborn');
    await k.run('delete pod stubborn --wait=false');
    const { metadata } = await k.get<Pod>('pod stubborn');
    t.equal(metadata.deletionGracePeriodSeconds, 300);
    t.match(await k.run('get pod stubborn'), /Terminating/);
    await k.run('delete pod stubborn --grace-period=1');
    t.equal(await k.run('get pod stubborn --ignore-not-found'), '', 'a second delete shortens it');
    await k.apply(stubborn);
    await ready('stubborn');
    await k.run('delete pod stubborn --now');
    await k.apply(stubborn);
    await ready('stubborn');
    t.match(await k.run('delete pod stubborn --grace-period=0 --force'), /force deleted/);
    t.equal(await k.run('get pod stubborn --ignore-not-found'), '');
    await waitFor('no container of it to be left anywhere', async () => {
      const all = await Promise.all(
        k.cluster.hosts.map((host) =>
          k.cluster.onHost(host, ['docker', 'ps', '--format', '{{.Names}}']),
        ),
      );
      return !all.some((names) => names.includes(`stubborn_${k.namespace}`));
    });
  });
}
