/** What kubectl does not use but other clients do: base64 channels, channel port-forward, client-node; and slow readers. */

import { PassThrough, Writable } from 'node:stream';
import { Attach, Exec, KubeConfig, Log, PortForward } from '@kubernetes/client-node';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import { kubeconfigText } from '../../../src/api/auth/kubeconfig.ts';
import { type Harness, startServer } from '../http/harness.ts';
import { fakeContainers } from './fake-container.ts';

const POD = '/api/v1/namespaces/default/pods/one';

async function withPod(t: Test) {
  const containers = fakeContainers();
  const server = await startServer(t, { streamsFor: () => containers });
  await server.createNamespace();
  await server.create('/api/v1/namespaces/default/pods', {
    metadata: { name: 'one' },
    spec: { nodeName: 'n1', containers: [{ name: 'app', image: 'busybox' }] },
  });
  return { server, calls: containers.calls };
}

function open(server: Harness, path: string, protocols: string | string[]): WebSocket {
  return new WebSocket(`wss://127.0.0.1:${server.port}${path}`, protocols, {
    ca: server.authority.certificatePem,
    cert: server.admin.certificatePem,
    key: server.admin.keyPem,
  });
}

/** All messages until the server closes. */
function collect(socket: WebSocket): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const messages: Buffer[] = [];
    socket.on('message', (data: Buffer) => messages.push(data));
    socket.on('close', () => resolve(messages));
    socket.on('error', reject);
  });
}

t.test('websocket: base64 channels carry text', async (t) => {
  const { server } = await withPod(t);
  const socket = open(
    server,
    `${POD}/exec?command=both&stdout=1&stderr=1`,
    'base64.channel.k8s.io',
  );
  const messages = (await collect(socket)).map(String);
  t.ok(messages.includes(`1${Buffer.from('to stdout\n').toString('base64')}`));
  t.ok(messages.includes(`2${Buffer.from('to stderr\n').toString('base64')}`));
});

t.test('websocket: a terminal tells its size before and while the command runs', async (t) => {
  const { server, calls } = await withPod(t);
  const path = `${POD}/exec?command=size&stdin=1&stdout=1&tty=1`;
  const socket = open(server, path, 'v4.channel.k8s.io');
  socket.on('open', () => socket.send('\x04{"Width":120,"Height":40}'));
  const messages = await collect(socket);
  t.ok(messages.some((message) => message.toString() === '\x01120x40\n'));
  t.same(calls.sizes, [[120, 40]]);
  const last = messages.at(-1);
  t.equal(last?.[0], 3);
  t.match(last?.toString(), '"status":"Success"');
});

t.test('websocket: what cannot be spoken is refused before the connection changes', async (t) => {
  const { server } = await withPod(t);
  const refusal = (path: string, protocols: string | string[]) =>
    new Promise<string>((resolve, reject) => {
      const socket = open(server, path, protocols);
      socket.on('unexpected-response', (_request, response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += String(chunk);
        });
        response.on('end', () => resolve(`${response.statusCode} ${JSON.parse(text).message}`));
      });
      socket.on('open', () => reject(new Error('accepted')));
      socket.on('error', reject);
    });
  const exec = `${POD}/exec?command=both&stdout=1`;
  t.match(await refusal(exec, 'v9.nonsense'), /^400 .*no supported WebSocket subprotocol/);
  t.match(await refusal(`${POD}/exec?stdout=1`, 'v4.channel.k8s.io'), /^400 .*at least 1 command/);
  t.match(await refusal(`${POD}/portforward`, 'v4.channel.k8s.io'), /^400 .*"port" is required/);
  t.match(
    await refusal(POD.replace('one', 'two'), 'v4.channel.k8s.io'),
    /^404 pods "two" not found/,
  );
  t.match(await server.ask(exec, { method: 'POST' }), {
    code: 400,
    body: { message: 'Upgrade request required' },
  });
});

t.test('websocket: output waits for a client that does not read', async (t) => {
  const { server } = await withPod(t);
  const path = `${POD}/exec?command=flood&command=300000000&stdout=1`;
  const socket = open(server, path, 'v5.channel.k8s.io');
  await new Promise((resolve) => socket.once('open', resolve));
  socket.pause();
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 200; n++) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 200));
  const grown = process.memoryUsage().rss - before;
  t.ok(grown < 100_000_000, `300 MB were produced on demand only, memory grew by ${grown}`);
  socket.terminate();
});

t.test('websocket: port-forward on channels', async (t) => {
  const { server } = await withPod(t);
  const socket = open(server, `${POD}/portforward?ports=80&ports=81`, 'v4.channel.k8s.io');
  const seen: string[] = [];
  socket.on('message', (data: Buffer) =>
    seen.push(`${data[0]}:${data.subarray(1).toString('hex')}`),
  );
  await new Promise((resolve) => socket.once('open', resolve));
  socket.send(Buffer.from('\x00ping'));
  await server.until(() => seen.includes(`0:${Buffer.from('ping').toString('hex')}`));
  t.ok(seen.includes('0:5000') && seen.includes('1:5000'), 'each channel names its port first');
  t.ok(
    seen.some(
      (one) => one.startsWith('3:') && one.includes(Buffer.from('refused').toString('hex')),
    ),
  );
  socket.close();
});

t.test('client-node: exec, attach, log and port-forward', async (t) => {
  const { server } = await withPod(t);
  const config = new KubeConfig();
  config.loadFromString(
    kubeconfigText({
      server: server.url,
      authorityPem: server.authority.certificatePem,
      credentials: server.admin,
    }),
  );
  const text = () => {
    const chunks: Buffer[] = [];
    const sink = new Writable({
      write(chunk, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    return { sink, read: () => Buffer.concat(chunks).toString() };
  };
  const out = text();
  const status = await new Promise<{ status?: string; reason?: string }>((resolve, reject) => {
    new Exec(config)
      .exec('default', 'one', 'app', ['fail', '3'], out.sink, null, null, false, resolve)
      .catch(reject);
  });
  t.match(status, { status: 'Failure', reason: 'NonZeroExitCode' });

  const attached = text();
  const input = new PassThrough();
  const socket = await new Attach(config).attach(
    'default',
    'one',
    'app',
    attached.sink,
    null,
    input,
    false,
  );
  input.write('typed');
  await server.until(() => attached.read() === 'typed');
  socket.close();

  const log = text();
  await new Log(config).log('default', 'one', 'app', log.sink);
  await server.until(() => log.read().endsWith('second line\n'));

  const forwarded = text();
  const source = new PassThrough();
  const forward = await new PortForward(config).portForward(
    'default',
    'one',
    [80],
    forwarded.sink,
    null,
    source,
  );
  source.write('over the wire');
  await server.until(() => forwarded.read() === 'over the wire');
  if (typeof forward !== 'function') (forward as unknown as { close(): void }).close();
});
