/** Requests through the API to what listens in a pod: real HTTP and TLS servers stand in for containers. */

import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import t, { type Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { createAuthority, issueServing } from '../../../src/api/auth/pki.ts';
import { ByteChannel } from '../../../src/api/streams/byte-channel.ts';
import type { ByteDuplex, ContainerStreams } from '../../../src/lib/container-streams.ts';
import { SkeinError } from '../../../src/lib/errors.ts';
import { type Harness, startServer } from '../http/harness.ts';
import { fakeContainers } from '../streams/fake-container.ts';

const NAMESPACE = '/api/v1/namespaces/default';
const POD = `${NAMESPACE}/pods/one`;

/** Ports of the pod lead to ports of this machine. */
function podOn(ports: ReadonlyMap<number, number>): ContainerStreams {
  return {
    ...fakeContainers(),
    async portForward(_target, port) {
      const local = ports.get(port);
      if (local === undefined) throw new SkeinError('network-failed', 'connection refused');
      return pipeTo(local);
    },
  };
}

function pipeTo(port: number): ByteDuplex {
  const socket = connect({ host: '127.0.0.1', port });
  const input = new ByteChannel();
  socket.on('data', (data) => {
    if (input.push(data)) return;
    socket.pause();
    void input.drained().then(() => socket.resume());
  });
  socket.on('end', () => input.end());
  socket.on('error', (error) => input.abort(error));
  socket.on('close', () => input.end());
  return {
    write: (data) =>
      new Promise((resolve, reject) => {
        socket.write(data, (error) => (error ? reject(error) : resolve()));
      }),
    closeWrite: () => socket.end(),
    input,
    abort: () => socket.destroy(),
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function listen(t: Test, server: Server): Promise<number> {
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** A container that says what it was asked. */
const mirror = () =>
  createServer(async (request, response) => {
    const { method, url, headers } = request;
    if (url === '/moved') {
      response.writeHead(302, { Location: '/new?x=1' }).end();
      return;
    }
    const body = await bodyOf(request);
    response.writeHead(url === '/teapot' ? 418 : 200, {
      'Content-Type': 'application/json',
      'X-Mirror': 'yes',
      Connection: 'close',
    });
    response.end(method === 'HEAD' ? undefined : JSON.stringify({ method, url, headers, body }));
  });

async function withPod(t: Test, server: Server = mirror()): Promise<Harness> {
  const port = await listen(t, server);
  const ports = new Map([
    [8080, port],
    [9090, port],
  ]);
  const api = await startServer(t, { streamsFor: () => podOn(ports) });
  await api.createNamespace();
  await api.create(`${NAMESPACE}/pods`, {
    metadata: { name: 'one' },
    spec: {
      nodeName: 'n1',
      containers: [{ name: 'app', image: 'x', ports: [{ containerPort: 8080 }] }],
    },
  });
  return api;
}

t.test('proxy: every method reaches the pod with its path, query and body', async (t) => {
  const api = await withPod(t);
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const sends = method !== 'GET' && method !== 'OPTIONS';
    const answer = await api.ask(`${POD}/proxy/a%2Fb//c/?q=1&q=2`, {
      method,
      ...(sends ? { body: 'hello', headers: { 'Content-Type': 'text/plain' } } : {}),
    });
    t.match(answer, { code: 200, headers: { 'x-mirror': 'yes' } }, method);
    t.match(answer.body, { method, url: '/a%2Fb//c/?q=1&q=2', body: sends ? 'hello' : '' });
  }
  const head = await api.ask(`${POD}/proxy/`, { method: 'HEAD' });
  t.match(head, { code: 200, headers: { 'x-mirror': 'yes' }, text: '' });
  t.equal((await api.ask(`${POD}/proxy/teapot`)).code, 418, 'the container’s code is passed on');
});

t.test('proxy: the port is the first declared one, or the one in the name', async (t) => {
  const api = await withPod(t);
  t.match((await api.ask(`${POD}/proxy/x`)).body, { url: '/x' });
  t.match((await api.ask(`${POD}:9090/proxy/x`)).body, { url: '/x' });
  t.match((await api.ask(`${NAMESPACE}/pods/http:one:9090/proxy/x`)).body, { url: '/x' });
  t.match(await api.ask(`${POD}:7/proxy/x`), {
    code: 503,
    body: { kind: 'Status', message: 'error trying to reach service: connection refused' },
  });
  t.match(await api.ask(`${POD}:web/proxy/x`), { code: 400 });
  t.match(await api.ask(`${NAMESPACE}/pods/ftp:one:1/proxy/x`), { code: 400 });
  t.match(await api.ask(`${NAMESPACE}/pods/two/proxy/x`), {
    code: 404,
    body: { message: 'pods "two" not found' },
  });
});

t.test(
  'proxy: credentials stay with the API, and the container learns who is behind it',
  async (t) => {
    const api = await withPod(t);
    const { body } = await api.ask(`${POD}/proxy/x`, {
      headers: { Authorization: 'Bearer secret', 'X-Remote-User': 'me', Cookie: 'a=b' },
    });
    t.notOk('authorization' in body.headers);
    t.notOk('x-remote-user' in body.headers);
    t.match(body.headers, {
      cookie: 'a=b',
      'x-forwarded-for': /127\.0\.0\.1/,
      'x-forwarded-proto': 'https',
    });
  },
);

t.test(
  'proxy: the root is redirected to its slash, and redirections stay in the proxy',
  async (t) => {
    const api = await withPod(t);
    t.match(await api.ask(`${POD}/proxy?a=1`), {
      code: 301,
      headers: { location: `${POD}/proxy/?a=1` },
    });
    t.match((await api.ask(`${POD}/proxy`, { method: 'POST', body: '{}' })).body, { url: '/' });
    t.match(await api.ask(`${POD}/proxy/moved`), {
      code: 302,
      headers: { location: `${POD}/proxy/new?x=1` },
    });
  },
);

t.test('proxy: a service leads to one of its endpoints', async (t) => {
  const api = await withPod(t);
  const ask = (name: string) => api.ask(`${NAMESPACE}/services/${name}/proxy/x`);
  await api.create(`${NAMESPACE}/services`, {
    metadata: { name: 'web' },
    spec: {
      ports: [
        { name: 'main', port: 80 },
        { name: 'other', port: 81 },
      ],
    },
  });
  const none = { code: 503, body: { message: 'no endpoints available for service "web"' } };
  t.match(await ask('web:main'), none, 'without an Endpoints object');
  await api.create(`${NAMESPACE}/endpoints`, {
    metadata: { name: 'web' },
    subsets: [
      {
        addresses: [{ ip: '10.0.0.1', targetRef: { kind: 'Pod', name: 'one' } }],
        ports: [{ name: 'main', port: 9090 }],
      },
      { addresses: [{ ip: '10.0.0.2' }], ports: [{ name: 'other', port: 1 }] },
    ],
  });
  t.match((await ask('web:main')).body, { url: '/x' }, 'by name');
  t.match((await ask('http:web:80')).body, { url: '/x' }, 'by number');
  t.match(await ask('web'), none, 'a named port has to be named');
  t.match(await ask('web:99'), { code: 503, body: { message: /no service port 99 found/ } });
  t.match(await ask('web:other'), { code: 501, body: { message: /10\.0\.0\.2 .* is no pod/ } });
  t.match(await ask('absent'), { code: 404 });
});

t.test('proxy: nodes say that they cannot be proxied', async (t) => {
  const api = await withPod(t);
  await api.create('/api/v1/nodes', { metadata: { name: 'n1' } });
  t.match(await api.ask('/api/v1/nodes/n1/proxy/logs/'), {
    code: 501,
    body: { reason: 'NotImplemented', message: /node "n1" cannot be proxied/ },
  });
  t.match(await api.ask('/api/v1/nodes/n2/proxy/logs/'), { code: 404 });
});

t.test('proxy: whoever may not is refused before anything is dialled', async (t) => {
  const api = await withPod(t);
  const stranger = await api.user('stranger');
  t.match(await api.ask(`${POD}/proxy/x`, { as: stranger }), {
    code: 403,
    body: { message: /cannot get resource "pods\/proxy"/ },
  });
});

t.test(
  'proxy: an answer that never ends arrives piece by piece, and ends with the client',
  async (t) => {
    const left = Promise.withResolvers<void>();
    const heard = Promise.withResolvers<void>();
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.flushHeaders();
      void heard.promise.then(() => response.write('data: one\n\n'));
      response.on('close', () => left.resolve());
    });
    const api = await withPod(t, server);
    const stream = await api.open(`${POD}/proxy/events`);
    t.equal(stream.statusCode, 200, 'the head comes before anything has happened');
    heard.resolve();
    for await (const chunk of stream) {
      t.equal(String(chunk), 'data: one\n\n');
      break;
    }
    stream.destroy();
    await left.promise;
    t.pass('the container saw the client leave');
  },
);

t.test('proxy: a container that breaks off breaks the answer', async (t) => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('half', () => response.destroy());
  });
  const api = await withPod(t, server);
  await t.rejects(api.ask(`${POD}/proxy/x`), 'half a body is not taken for a whole one');
  const silent = await withPod(
    t,
    createServer((request) => request.socket.destroy()),
  );
  t.match(await silent.ask(`${POD}/proxy/x`), { code: 503 });
});

t.test('proxy: pods may speak TLS', async (t) => {
  const authority = await createAuthority();
  const own = await issueServing(authority, { nodeName: 'pod', addresses: [] });
  const server = createTlsServer(
    { cert: own.certificatePem, key: own.keyPem },
    (_request, response) => response.end('secured'),
  );
  const api = await withPod(t, server as unknown as Server);
  t.match(await api.ask(`${NAMESPACE}/pods/https:one:8080/proxy/x`), {
    code: 200,
    text: 'secured',
  });
});

t.test('proxy: a WebSocket reaches through', async (t) => {
  const server = mirror();
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => socket.send(`echo ${String(data)}`));
  });
  const api = await withPod(t, server);
  const socket = new WebSocket(`wss://127.0.0.1:${api.port}${POD}/proxy/ws`, {
    ca: api.authority.certificatePem,
    cert: api.admin.certificatePem,
    key: api.admin.keyPem,
  });
  const answer = new Promise((resolve, reject) => {
    socket.on('message', (data) => resolve(String(data)));
    socket.on('error', reject);
  });
  socket.on('open', () => socket.send('hi'));
  t.equal(await answer, 'echo hi');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.close();
  await closed;
});
