/** Probes against real servers on loopback: HTTP, TCP, gRPC. */

import { createServer, type Server } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import t from 'tap';
import type { PodServices } from '../../../../agents/node/pods/deps.ts';
import { tcpDialer } from '../../../../agents/node/pods/dialer.ts';
import type { Probe } from '../../../../agents/node/pods/kinds.ts';
import { check } from '../../../../agents/node/pods/probes/check.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { pod } from './support/records.ts';

const signal = new AbortController().signal;
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

// Probes of this file use nothing else of the services.
const services = {
  clock: systemClock,
  dialer: tcpDialer,
  settings: { hostIPs: ['127.0.0.1'] },
} as unknown as PodServices;

function probe(of: Probe, port = 0) {
  const spec = { name: 'main', ports: [{ name: 'web', containerPort: port }] };
  return check(services, { pod: pod(), spec, id: 'c1', podIPs: ['127.0.0.1'] }, of, signal);
}

async function listen(server: Server | ReturnType<typeof createTcp>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

const seen: {
  path: string | undefined;
  agent: string | undefined;
  extra: unknown;
  host: string | undefined;
}[] = [];
const httpPort = await listen(
  createServer((request, response) => {
    const { url, headers } = request;
    seen.push({
      path: url,
      agent: headers['user-agent'],
      extra: headers['x-extra'],
      host: headers.host,
    });
    if (url === '/ok') return response.end('fine');
    if (url === '/moved') return response.writeHead(302, { location: '/ok' }).end();
    if (url === '/away') return response.writeHead(302, { location: 'http://192.0.2.1/' }).end();
    if (url === '/loop') return response.writeHead(302, { location: '/loop' }).end();
    if (url === '/slow') return undefined;
    return response.writeHead(503).end();
  }),
);
/** A port at which nobody listens. */
const deadPort = await new Promise<number>((resolve) => {
  const server = createTcp().listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    server.close(() => resolve(port));
  });
});

t.test(
  'probes: HTTP succeeds from 200 to 399 and follows redirects on the same host',
  async (t) => {
    const get = (path: string) => probe({ httpGet: { path, port: httpPort } });
    t.match(await get('/ok'), { kind: 'success' });
    t.match(await get('/moved'), { kind: 'success' });
    t.match(await get('/away'), { kind: 'success' });
    t.match(await get('/bad'), {
      kind: 'failure',
      message: 'HTTP probe failed with statuscode: 503',
    });
    t.match(await get('/loop'), { kind: 'failure', message: /stopped after 10 redirects/ });
  },
);

t.test('probes: HTTP sends the headers asked for and finds ports by name', async (t) => {
  seen.length = 0;
  const httpHeaders = [
    { name: 'X-Extra', value: 'a' },
    { name: 'Host', value: 'example' },
  ];
  await probe({ httpGet: { path: '/ok', port: 'web', httpHeaders } }, httpPort);
  t.same(seen, [{ path: '/ok', agent: 'kube-probe/1.32', extra: 'a', host: 'example' }]);
});

t.test('probes: nobody listening and a silent server fail in upstream’s words', async (t) => {
  t.match(await probe({ httpGet: { path: '/', port: deadPort } }), {
    kind: 'failure',
    message: `Get "http://127.0.0.1:${deadPort}/": dial tcp 127.0.0.1:${deadPort}: connect: connection refused`,
  });
  t.match(await probe({ httpGet: { path: '/slow', port: httpPort }, timeoutSeconds: 1 }), {
    kind: 'failure',
    message: `Get "http://127.0.0.1:${httpPort}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
  });
});

t.test('probes: TCP needs an open port and no more', async (t) => {
  t.match(await probe({ tcpSocket: { port: httpPort } }), { kind: 'success' });
  t.match(await probe({ tcpSocket: { port: deadPort } }), {
    kind: 'failure',
    message: `dial tcp 127.0.0.1:${deadPort}: connect: connection refused`,
  });
});

t.test('probes: gRPC asks the health service', async (t) => {
  const answers: Record<string, number> = { '': 1, db: 2 };
  const server = createHttp2();
  server.on('stream', (stream, headers) => {
    t.equal(headers[':path'], '/grpc.health.v1.Health/Check');
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const service = Buffer.concat(chunks).subarray(7).toString();
      const status = answers[service];
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => {
        const code = status === undefined ? '5' : '0';
        stream.sendTrailers({ 'grpc-status': code, 'grpc-message': 'unknown%20service' });
      });
      stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, status ?? 0]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  t.match(await probe({ grpc: { port } }), { kind: 'success' });
  t.match(await probe({ grpc: { port, service: 'db' } }), {
    kind: 'failure',
    message: 'service unhealthy (responded with "NOT_SERVING")',
  });
  t.match(await probe({ grpc: { port, service: 'none' } }), {
    kind: 'failure',
    message: 'error: health rpc failed: unknown service',
  });
  t.match(await probe({ grpc: { port: deadPort } }), { kind: 'failure' });
});
