/** The stock kubectl against log, exec, attach and port-forward, over both of its transports. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { type Harness, startServer } from '../http/harness.ts';
import { fakeContainers } from './fake-container.ts';

const SPDY = {
  KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false',
  KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false',
};
const TRANSPORTS = [
  ['WebSocket', {}],
  ['SPDY', SPDY],
] as const;

async function withPod(t: Test) {
  const containers = fakeContainers();
  const server = await startServer(t, {
    streamsFor: (pod) => (pod.spec.nodeName === 'n1' ? containers : undefined),
  });
  await server.createNamespace();
  await createPod(server, 'web', ['app', 'side'], 'n1');
  await createPod(server, 'one', ['app'], 'n1');
  await createPod(server, 'far', ['app'], 'n2');
  return { server, calls: containers.calls };
}

async function createPod(server: Harness, name: string, containers: string[], nodeName: string) {
  const pods = '/api/v1/namespaces/default/pods';
  await server.create(pods, {
    metadata: { name },
    spec: { nodeName, containers: containers.map((one) => ({ name: one, image: 'busybox' })) },
  });
  const status = { phase: 'Running' };
  const answer = await server.ask(`${pods}/${name}/status`, {
    method: 'PATCH',
    body: { status },
    headers: { 'Content-Type': 'application/merge-patch+json' },
  });
  if (answer.code !== 200) throw new Error(answer.text);
}

t.test('streams: kubectl logs', async (t) => {
  const { server, calls } = await withPod(t);
  const one = await server.kubectl(['logs', 'one', '--tail=5', '--timestamps']);
  t.equal(one.stdout, 'log of app\nsecond line\n', one.stderr);
  t.match(calls.logs[0], { tailLines: 5, timestamps: true, follow: false });
  const which = await server.kubectl(['logs', 'web', '-c', 'side', '-f']);
  t.equal(which.stdout, 'log of side\nsecond line\n');
  const wrong = await server.kubectl(['logs', 'web', '-c', 'nosuch']);
  t.match(wrong.stderr, 'container nosuch is not valid for pod web');
  const previous = await server.kubectl(['logs', 'one', '-p']);
  t.match(previous.stderr, 'previous terminated container "app" in pod "one" not found');
  const far = await server.ask('/api/v1/namespaces/default/pods/far/log');
  t.match(far, { code: 503, body: { reason: 'ServiceUnavailable', message: /node "n2"/ } });
  const many = await server.ask('/api/v1/namespaces/default/pods/web/log');
  t.match(many.body, { code: 400, message: /choose one of: \[app side\]/ });
  const bad = await server.ask('/api/v1/namespaces/default/pods/one/log?tailLines=-1');
  t.match(bad.body, { code: 422, reason: 'Invalid' });
});

for (const [transport, env] of TRANSPORTS) {
  t.test(`streams: kubectl exec over ${transport}`, async (t) => {
    const { server, calls } = await withPod(t);
    const exec = (args: string[], stdin?: string | Buffer) =>
      server.kubectl(['exec', ...args], { env, ...(stdin === undefined ? {} : { stdin }) });

    const both = await exec(['one', '--', 'both']);
    t.match(both, { code: 0, stdout: 'to stdout\n', stderr: /to stderr/ });
    const failed = await exec(['one', '--', 'fail', '42']);
    t.equal(failed.code, 42, 'the exit code arrives');
    t.match(failed.stderr, 'command terminated with exit code 42');
    const cat = await exec(['-i', 'one', '--', 'cat'], 'hello');
    t.match(cat, { code: 0, stdout: 'hello' }, 'the end of stdin reaches the command');
    const sink = await exec(['-i', 'one', '--', 'sink'], Buffer.alloc(3_000_000));
    t.equal(sink.stdout, '3000000\n', sink.stderr);
    const flood = await exec(['one', '--', 'flood', '5000000']);
    t.equal(flood.stdout.length, 5_000_000, flood.stderr);
    const wrong = await exec(['web', '-c', 'nosuch', '--', 'both']);
    t.match(wrong.stderr, 'container nosuch is not valid for pod web');
    t.match(calls.exec[0], {
      target: { namespace: 'default', pod: 'one', container: 'app' },
      options: { command: ['both'], stdin: false, stdout: true, stderr: true, tty: false },
    });
  });

  t.test(`streams: kubectl attach over ${transport}`, async (t) => {
    const { server } = await withPod(t);
    const attach = await server.kubectl(['attach', '-i', 'one'], { env, stdin: 'typed' });
    t.match(attach.stdout, 'typed', attach.stderr);
  });

  t.test(`streams: kubectl port-forward over ${transport}`, async (t) => {
    const { server } = await withPod(t);
    const child = spawn('/usr/bin/kubectl', [...server.kubectlBase, 'port-forward', 'one', ':80'], {
      env: { ...server.kubectlEnv, ...env },
    });
    t.teardown(() => child.kill());
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(line.toString())?.[1]);
    for (const text of ['first', 'x'.repeat(1_000_000)]) {
      const socket = connect(port, '127.0.0.1');
      socket.end(text);
      let got = '';
      for await (const chunk of socket) got += String(chunk);
      t.equal(got.length, text.length, 'what is sent comes back');
      t.equal(got.slice(0, 5), text.slice(0, 5));
    }
  });
}

t.test('streams: a client that vanishes ends the session', async (t) => {
  const { server, calls } = await withPod(t);
  const child = spawn('/usr/bin/kubectl', [...server.kubectlBase, 'exec', 'one', '--', 'hang'], {
    env: server.kubectlEnv,
  });
  await server.until(() => calls.exec.length === 1);
  child.kill('SIGKILL');
  await server.until(() => calls.aborted === 1);
  t.equal(calls.aborted, 1);
});
