import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import { callControl } from '../../src/cli/control-client.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { type ControlRoutes, serveControl } from '../../src/node/control-server.ts';

const ROUTES: ControlRoutes = {
  'GET /status': () => ({ well: true }),
  'POST /echo': (body) => ({ body }),
  'DELETE /things/': (_body, path) => ({ path }),
  'GET /refused': () => {
    throw new SkeinError('no-leader', 'nobody leads');
  },
  'GET /broken': () => Promise.reject(new TypeError('a bug')),
  'GET /slow': () => new Promise(() => {}),
};

/** Below /tmp: the path of a socket may not be as long as that of a test's directory. */
async function socketPath(t: Test): Promise<string> {
  const directory = await mkdtemp(`${tmpdir()}/skein-control-`);
  t.teardown(() => rm(directory, { recursive: true }));
  return `${directory}/s`;
}

async function serve(t: Test): Promise<string> {
  const path = await socketPath(t);
  const server = await serveControl(path, ROUTES, silentLogger);
  t.teardown(() => server.close());
  return path;
}

/** A request as it stands, whatever it may hold. */
function raw(
  socketPath: string,
  options: { method: string; path: string; body?: string },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { method, path, body } = options;
    const call = request({ socketPath, method, path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

t.test('control: requests reach their handlers, and answers come back', async (t) => {
  const path = await serve(t);
  t.strictSame(await callControl(path, { method: 'GET', path: '/status' }), { well: true });
  t.strictSame(await callControl(path, { method: 'GET', path: '/status?x=1' }), { well: true });
  const body = { a: [1, 'ä'] };
  t.strictSame(await callControl(path, { method: 'POST', path: '/echo', body }), { body });
  t.strictSame(await callControl(path, { method: 'POST', path: '/echo' }), { body: {} });
  t.strictSame(await callControl(path, { method: 'DELETE', path: '/things/a%20b' }), {
    path: '/things/a b',
  });
});

t.test('control: an error of the process arrives with its code and words', async (t) => {
  const path = await serve(t);
  await t.rejects(callControl(path, { method: 'GET', path: '/refused' }), {
    code: 'no-leader',
    message: 'nobody leads',
  });
  const { status, text } = await raw(path, { method: 'GET', path: '/broken' });
  t.equal(status, 500);
  t.notMatch(text, /at /, 'no stack leaves the process');
});

t.test('control: what is no request is refused, and the server goes on', async (t) => {
  const path = await serve(t);
  const refused = [
    { method: 'GET', path: '/nothing' },
    { method: 'POST', path: '/status' },
    { method: 'DELETE', path: '/things/a/b' },
    { method: 'DELETE', path: '/things/%ff' },
    { method: 'POST', path: '/echo', body: '{"a":' },
    { method: 'POST', path: '/echo', body: '[]' },
    { method: 'POST', path: '/echo', body: '"text"' },
    { method: 'POST', path: '/echo', body: 'null' },
    { method: 'POST', path: '/echo', body: JSON.stringify({ a: 'x'.repeat(64 * 1024) }) },
  ];
  for (const one of refused) {
    const { status, text } = await raw(path, one);
    t.equal(status, 400, `${one.method} ${one.path} ${(one.body ?? '').slice(0, 20)}`);
    t.ok(JSON.parse(text).message);
  }
  await t.rejects(
    callControl(path, { method: 'POST', path: '/echo', body: { a: 'x'.repeat(70_000) } }),
    { code: 'frame-too-large' },
  );
  await new Promise<void>((resolve) => {
    const socket = connect(path, () => socket.end('no HTTP at all\r\n\r\n'));
    socket.resume();
    socket.once('close', () => resolve());
  });
  t.strictSame(await callControl(path, { method: 'GET', path: '/status' }), { well: true });
});

t.test('control: the socket is root’s alone', async (t) => {
  const path = await serve(t);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.equal(process.umask(), process.umask(process.umask()), 'the umask is as before');
});

t.test('control: a socket that a dead process left is replaced', async (t) => {
  const path = await socketPath(t);
  const dead = createServer(() => {});
  await new Promise<void>((resolve) => dead.listen(path, resolve));
  // Closing would remove the file: what remains of a kill is a socket nobody listens on.
  const server = await serveControl(path, ROUTES, silentLogger);
  t.teardown(() => server.close());
  t.strictSame(await callControl(path, { method: 'GET', path: '/status' }), { well: true });
  await new Promise((resolve) => dead.close(resolve));
});

t.test('control: a path too long for a socket is told with the flag', async (t) => {
  const path = `/tmp/${'x'.repeat(120)}/skein.sock`;
  await t.rejects(serveControl(path, ROUTES, silentLogger), {
    code: 'config-invalid',
    message: /^--data-dir: .* choose a shorter directory/,
  });
});

t.test('control: closing ends requests that are under way', async (t) => {
  const path = await socketPath(t);
  const server = await serveControl(path, ROUTES, silentLogger);
  const slow = callControl(path, { method: 'GET', path: '/slow' });
  await new Promise((resolve) => setImmediate(resolve));
  const cut = t.rejects(slow, { code: 'peer-unreachable' });
  await server.close();
  await cut;
});

t.test('control: a client says who did not answer, and how to go on', async (t) => {
  const path = await serve(t);
  await t.rejects(callControl(path, { method: 'GET', path: '/slow', deadlineMs: 20 }), {
    code: 'deadline-exceeded',
    message: /did not answer within 0\.02 s/,
  });
  await t.rejects(callControl(`${path}-other`, { method: 'GET', path: '/' }), {
    code: 'peer-unreachable',
    message: /no Skein process answers at .*s-other: is "skein up" running/,
  });
  const odd = createServer((_request, response) => response.end('<html>'));
  await new Promise<void>((resolve) => odd.listen(`${path}-odd`, resolve));
  t.teardown(() => odd.close());
  await t.rejects(callControl(`${path}-odd`, { method: 'GET', path: '/' }), {
    code: 'remote-failed',
    message: /unexpected answer: <html>/,
  });
});
