/** One request, one answer: what clients see over HTTPS, right and wrong. */

import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { startServer } from './harness.ts';

const CM = '/api/v1/namespaces/default/configmaps';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

t.test('http: an object is created, read, changed and deleted', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const created = await server.ask(CM, {
    method: 'POST',
    body: { metadata: { name: 'a' }, data: { k: 'v' } },
  });
  t.match(created, { code: 201, body: { kind: 'ConfigMap', apiVersion: 'v1', data: { k: 'v' } } });
  const read = await server.ask(`${CM}/a`);
  t.same(read.body, created.body);
  t.equal(read.headers['content-type'], 'application/json');
  t.equal(read.headers['cache-control'], 'no-cache, private');
  const put = await server.ask(`${CM}/a`, {
    method: 'PUT',
    body: { ...read.body, data: { k: 'w' } },
  });
  t.match(put, { code: 200, body: { data: { k: 'w' } } });
  const stale = await server.ask(`${CM}/a`, { method: 'PUT', body: read.body });
  t.match(stale, { code: 409, body: { reason: 'Conflict' } });
  const patched = await server.ask(`${CM}/a`, {
    method: 'PATCH',
    body: { data: { l: 'x' } },
    headers: { 'Content-Type': 'application/merge-patch+json' },
  });
  t.match(patched, { code: 200, body: { data: { k: 'w', l: 'x' } } });
  const gone = await server.ask(`${CM}/a`, { method: 'DELETE' });
  t.match(gone, { code: 200, body: { kind: 'Status', status: 'Success' } });
  t.match(await server.ask(`${CM}/a`), {
    code: 404,
    body: { kind: 'Status', reason: 'NotFound', message: 'configmaps "a" not found' },
  });
});

t.test('http: a dry run changes nothing, and only All is a dry run', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const body = { metadata: { name: 'a' } };
  t.equal((await server.ask(`${CM}?dryRun=All`, { method: 'POST', body })).code, 201);
  t.equal((await server.ask(`${CM}/a`)).code, 404);
  const some = await server.ask(`${CM}?dryRun=Some`, { method: 'POST', body });
  t.match(some, { code: 400, body: { message: /Unsupported value: "Some"/ } });
  await server.create(CM, body);
  const options = { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] };
  t.equal((await server.ask(`${CM}/a`, { method: 'DELETE', body: options })).code, 200);
  t.equal((await server.ask(`${CM}/a`)).code, 200);
});

t.test('http: bodies may be YAML, and must be what they say', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const post = (body: string, type: string, query = '') =>
    server.ask(`${CM}${query}`, { method: 'POST', body, headers: { 'Content-Type': type } });
  const yaml = await post('metadata:\n  name: y\ndata:\n  k: "1"\n', 'application/yaml');
  t.match(yaml, { code: 201, body: { metadata: { name: 'y' }, data: { k: '1' } } });
  t.match(await post('{"metadata":', 'application/json'), {
    code: 400,
    body: { reason: 'BadRequest', message: /must be of type ConfigMap.*json parse error/ },
  });
  for (const value of ['[]', 'null', '"text"', '7']) {
    t.match(await post(value, 'application/json'), { code: 400 }, value);
  }
  t.match(await post('a: [', 'application/yaml'), { code: 400, body: { reason: 'BadRequest' } });
  t.match(await post('x', 'text/plain'), { code: 415, body: { reason: 'UnsupportedMediaType' } });
  t.match(await post('not protobuf', 'application/vnd.kubernetes.protobuf'), { code: 400 });
  t.match(
    await server.ask(`${CM}/y`, {
      method: 'PATCH',
      body: {},
      headers: { 'Content-Type': 'application/json' },
    }),
    { code: 415 },
  );
});

t.test('http: fields that stand twice are refused, told, or let be', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const post = (name: string, validation: string) =>
    server.ask(`${CM}?fieldValidation=${validation}`, {
      method: 'POST',
      body: `{"metadata":{"name":"${name}"},"data":{"a":"1","a":"2"}}`,
    });
  t.match(await post('s', 'Strict'), {
    code: 400,
    body: { message: /strict decoding error: duplicate field "data.a"/ },
  });
  const warned = await post('w', 'Warn');
  t.equal(warned.code, 201);
  t.match(warned.headers['warning'], /299 - "duplicate field \\"data.a\\""/);
  const ignored = await post('i', 'Ignore');
  t.equal(ignored.code, 201);
  t.equal(ignored.headers['warning'], undefined);
  t.match(await post('x', 'Nonsense'), { code: 400 });
});

t.test('http: a body beyond 3 MiB is 413, and the client gets to see it', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const body = `{"metadata":{"name":"big"},"data":{"a":"${'x'.repeat(4 * 1024 * 1024)}"}}`;
  const refused = { code: 413, body: { reason: 'RequestEntityTooLarge' } };
  t.match(await server.ask(CM, { method: 'POST', body }), refused);
  const large = `${' '.repeat(20 * 1024 * 1024)}${body}`;
  t.match(await server.ask(CM, { method: 'POST', body: large }), refused, 'also while it is sent');
  t.equal((await server.ask(`${CM}/big`)).code, 404);
});

t.test('http: representations are negotiated', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  await server.create(CM, { metadata: { name: 'a', labels: { x: 'y' } }, data: { k: 'v' } });
  const ask = (path: string, accept: string) => server.ask(path, { headers: { accept } });

  const table = await ask(CM, TABLE);
  t.match(table.body, {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    columnDefinitions: [{ name: 'Name', type: 'string', priority: 0 }, {}, {}],
    rows: [{ cells: ['a', 1, String], object: { kind: 'PartialObjectMetadata' } }],
  });
  const whole = await ask(`${CM}/a?includeObject=Object`, TABLE);
  t.match(whole.body.rows, [{ object: { kind: 'ConfigMap', data: { k: 'v' } } }]);
  const none = await ask(`${CM}?includeObject=None`, TABLE);
  t.equal(none.body.rows[0].object, null);
  const partial = await ask(CM, 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io');
  t.match(partial.body, {
    kind: 'PartialObjectMetadataList',
    items: [{ metadata: { name: 'a', labels: { x: 'y' } } }],
  });
  t.equal(partial.body.items[0].data, undefined);
  const yaml = await ask(`${CM}/a`, 'application/yaml');
  t.equal(yaml.headers['content-type'], 'application/yaml');
  t.match(yaml.text, /^kind: ConfigMap$/m);
  const first = await ask(`${CM}/a`, 'application/vnd.kubernetes.protobuf,application/json');
  t.match(first, { code: 200, body: { kind: 'ConfigMap' } });
  t.match(await ask(`${CM}/a`, 'application/vnd.kubernetes.protobuf'), {
    code: 406,
    body: { reason: 'NotAcceptable' },
  });
});

t.test('http: lists are whole, paged, and never stale', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  for (const name of ['a', 'b', 'c']) await server.create(CM, { metadata: { name } });
  const first = await server.ask(CM);
  t.match(first.body, { kind: 'ConfigMapList', apiVersion: 'v1' });
  const names = (answer: typeof first) =>
    answer.body.items.map((item: { metadata: { name: string } }) => item.metadata.name);
  t.same(names(first), ['a', 'b', 'c']);
  t.same(names(await server.ask(CM)), ['a', 'b', 'c'], 'the remembered list is the same');
  await server.create(CM, { metadata: { name: 'd' } });
  const after = await server.ask(CM);
  t.same(names(after), ['a', 'b', 'c', 'd'], 'a change shows at once');
  t.ok(Number(after.body.metadata.resourceVersion) > Number(first.body.metadata.resourceVersion));
  const page = await server.ask(`${CM}?limit=3`);
  t.same(names(page), ['a', 'b', 'c']);
  t.equal(page.body.metadata.remainingItemCount, 1);
  const rest = await server.ask(
    `${CM}?limit=3&continue=${encodeURIComponent(page.body.metadata.continue)}`,
  );
  t.same(names(rest), ['d']);
  await server.create(CM, { metadata: { name: 'e', labels: { pick: 'me' } } });
  t.same(names(await server.ask(`${CM}?labelSelector=pick%3Dme`)), ['e']);
  t.same(names(await server.ask('/api/v1/configmaps')), ['a', 'b', 'c', 'd', 'e']);
  const deleted = await server.ask(`${CM}?labelSelector=pick`, { method: 'DELETE' });
  t.match(deleted, { code: 200, body: { kind: 'ConfigMapList', items: [{}] } });
  t.same(names(await server.ask(CM)), ['a', 'b', 'c', 'd']);
});

t.test('http: a list overtaken by a write is not remembered as the state after it', async (t) => {
  let late: (() => Promise<unknown>) | undefined;
  const server = await startServer(t, {
    wrap: (verbs) => ({
      ...verbs,
      async list(...args) {
        const answer = await verbs.list(...args);
        await late?.();
        late = undefined;
        return answer;
      },
    }),
  });
  await server.createNamespace();
  late = () => server.create(CM, { metadata: { name: 'late' } });
  t.equal((await server.ask(CM)).body.items.length, 0, 'the list was taken before');
  t.equal((await server.ask(CM)).body.items.length, 1, 'and the next one is not that list');
});

t.test('http: a list too large to build at once is streamed whole', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const data = { k: 'x'.repeat(500_000) };
  for (let n = 0; n < 20; n++) await server.create(CM, { metadata: { name: `big-${n}` }, data });
  const list = await server.ask(CM);
  t.equal(list.body.items.length, 20);
  t.equal(list.headers['content-length'], undefined, 'it came in pieces');
});

t.test('http: what is not served says so in the right way', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const expect = async (method: string, path: string, code: number, reason: string) => {
    const answer = await server.ask(path, { method, ...(method === 'GET' ? {} : { body: {} }) });
    t.match(answer, { code, body: { kind: 'Status', reason, code } }, `${method} ${path}`);
  };
  await expect('GET', '/nosuch', 404, 'NotFound');
  await expect('GET', '/api/v1/nosuch', 404, 'NotFound');
  await expect('GET', '/apis/nosuch.example/v1/things', 404, 'NotFound');
  await expect('GET', '/api/v1/configmaps/a', 404, 'NotFound');
  await expect('GET', '/api/v1/namespaces/default/nodes', 404, 'NotFound');
  await expect('GET', `${CM}/a/nosuch`, 404, 'NotFound');
  await expect('GET', '/api/v1/namespaces//configmaps', 404, 'NotFound');
  await expect('PUT', CM, 405, 'MethodNotAllowed');
  await expect('POST', '/api/v1/configmaps', 405, 'MethodNotAllowed');
  await expect('POST', `${CM}/a`, 405, 'MethodNotAllowed');
  await expect('OPTIONS', CM, 405, 'MethodNotAllowed');
  await expect('GET', '/api/v1/namespaces/default/pods/x/exec', 404, 'NotFound');
  await expect('GET', `${CM}?limit=x`, 400, 'BadRequest');
});

t.test('http: health and version are open, everything else is not', async (t) => {
  let ill: string | undefined;
  const server = await startServer(t, {
    health: [{ name: 'store', of: 'ready', check: () => ill }],
  });
  const ask = (path: string) => server.ask(path, { as: 'nobody' });
  t.match(await ask('/readyz'), { code: 200, text: 'ok' });
  t.match(await ask('/version'), { code: 200, body: { major: '1', minor: '32' } });
  t.match((await ask('/readyz?verbose')).text, '[+]store ok\nreadyz check passed');
  ill = 'no quorum';
  t.match(await ask('/readyz'), { code: 500, text: /\[-\]store failed: no quorum/ });
  t.match(await ask('/livez'), { code: 200 }, 'a node without quorum is alive');
  t.match(await ask('/readyz/store'), { code: 500 });
  t.match(await ask('/readyz/nosuch'), { code: 404 });
  for (const path of ['/api', '/apis', '/openapi/v2', '/metrics', CM, '/nosuch']) {
    t.match(await ask(path), { code: 401, body: { reason: 'Unauthorized' } }, path);
  }
});

t.test('http: an exception below becomes a 500 and harms nobody else', async (t) => {
  const server = await startServer(t, {
    wrap: (verbs) => ({
      ...verbs,
      get: () => Promise.reject(new TypeError('a bug')),
    }),
  });
  await server.createNamespace();
  t.match(await server.ask(`${CM}/a`), {
    code: 500,
    body: { reason: 'InternalError', message: /a bug/ },
  });
  t.equal((await server.ask(CM)).code, 200);
});

t.test('http: a request that takes too long is answered 504', async (t) => {
  const server = await startServer(t, {
    requestTimeoutMs: 100,
    wrap: (verbs) => ({ ...verbs, get: () => new Promise(() => undefined) }),
  });
  t.match(await server.ask(`${CM}/a`), { code: 504, body: { reason: 'Timeout' } });
});

t.test('http: more requests than the limit are told to come back', async (t) => {
  const blocked = Promise.withResolvers<never>();
  blocked.promise.catch(() => undefined);
  const server = await startServer(t, {
    requestsMax: 2,
    wrap: (verbs) => ({ ...verbs, get: () => blocked.promise }),
  });
  const waiting = [1, 2].map(() => server.ask(`${CM}/a`));
  let refused = await server.ask('/api');
  await server.until(async () => {
    refused = await server.ask('/api');
    return refused.code === 429;
  });
  t.match(refused, { headers: { 'retry-after': '1' }, body: { reason: 'TooManyRequests' } });
  t.equal((await server.ask('/livez')).code, 200, 'health is exempt');
  blocked.reject(new Error('over'));
  for (const answer of await Promise.all(waiting)) t.equal(answer.code, 500);
  t.equal((await server.ask('/api')).code, 200, 'places are given back');
});

t.test('http: an offer to upgrade to something else is ignored', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const headers = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c' };
  const body = { metadata: { name: 'a' } };
  t.equal((await server.ask(CM, { method: 'POST', body, headers })).code, 201);
});

t.test('http: the parser answers nonsense, and oversized heads, in words', async (t) => {
  const server = await startServer(t);
  const answer = await server.ask('/api', { headers: { 'x-large': 'y'.repeat(70_000) } });
  t.match(answer, { code: 431, body: { kind: 'Status', code: 431 } });
});

t.test('http: server-side apply is refused in words, and changes nothing', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const created = await server.create(CM, { metadata: { name: 'a' }, data: { k: 'v' } });
  const headers = { 'Content-Type': 'application/apply-patch+yaml' };
  for (const name of ['a', 'absent']) {
    const body = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":{"k":"w"}}`;
    const query = '?fieldManager=kubectl&force=true';
    t.match(await server.ask(`${CM}/${name}${query}`, { method: 'PATCH', body, headers }), {
      code: 415,
      body: {
        reason: 'UnsupportedMediaType',
        message: /server-side apply.* accepted media types include: application\/json-patch\+json/,
      },
    });
  }
  t.same((await server.ask(`${CM}/a`)).body, created.body);
  t.equal((await server.ask(`${CM}/absent`)).code, 404);
});

t.test('http: a resource that is not served is named', async (t) => {
  const server = await startServer(t);
  const jobs = '/apis/batch/v1/namespaces/default/jobs';
  t.match(await server.ask(jobs, { method: 'POST', body: {} }), {
    code: 404,
    body: {
      reason: 'NotFound',
      message: 'the server could not find the requested resource (create jobs.batch, version v1)',
    },
  });
  t.match(await server.ask('/api/v1/replicationcontrollers'), {
    code: 404,
    body: { message: /\(list replicationcontrollers, version v1\)/ },
  });
});

t.test('stopping: a request that is nearly done is answered before the server ends', async (t) => {
  const started = Promise.withResolvers<void>();
  const blocked = Promise.withResolvers<void>();
  const server = await startServer(t, {
    wrap: (verbs) => ({
      ...verbs,
      get: async (context, target, options) => {
        started.resolve();
        await blocked.promise;
        if (context.signal?.aborted) throw context.signal.reason;
        return verbs.get(context, target, options);
      },
    }),
  });
  const asking = server.ask(`${CM}/absent`);
  await started.promise;
  const closing = server.close();
  blocked.resolve();
  t.equal((await asking).code, 404);
  await closing;
});

t.test(
  'hostile bodies: each is refused for what it is, and none holds the server up',
  async (t) => {
    const server = await startServer(t);
    await server.createNamespace();
    await server.create(CM, { metadata: { name: 'a' }, data: { k: 'value' } });
    const send = (method: string, path: string, body: unknown, type = 'application/json') =>
      server.ask(path, { method, body, headers: { 'Content-Type': type } });
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const refused = { code: 400, body: { reason: 'BadRequest', message: /exceeded max depth/ } };
    for (const type of ['merge-patch', 'strategic-merge-patch']) {
      t.match(await send('PATCH', `${CM}/a`, `{"x":${deep}}`, `application/${type}+json`), refused);
    }
    t.match(await send('POST', CM, `{"metadata":{"name":"b"},"x":${deep}}`), refused);
    const own = `a: &a [*a, *a]\n${'# comment\n'.repeat(200)}`;
    t.match(await send('POST', CM, own, 'application/yaml'), refused, 'a list within itself');

    const copies = Array.from({ length: 60 }, (_, at) => ({
      op: 'copy',
      from: '/data',
      path: `/data/c${at}`,
    }));
    t.match(
      await send('PATCH', `${CM}/a`, copies, 'application/json-patch+json'),
      { code: 422, body: { details: { causes: [{ message: /accumulated size increase/ }] } } },
      'copies of copies',
    );
    const ladder = Array.from({ length: 1200 }, (_, at) => ({
      op: 'add',
      path: `/x${'/a'.repeat(at)}`,
      value: {},
    }));
    t.match(
      await send('PATCH', `${CM}/a`, ladder, 'application/json-patch+json'),
      { code: 422, body: { details: { causes: [{ message: /exceeded max depth/ }] } } },
      'a ladder of additions',
    );

    const faults = Array.from({ length: 100_000 }, () => ({}));
    const pod = { metadata: { name: 'p' }, spec: { containers: faults } };
    t.match(await send('POST', '/api/v1/namespaces/default/pods', pod), {
      code: 422,
      body: { reason: 'Invalid' },
    });
    t.match(await send('DELETE', `${CM}/a`, { kind: 'Pod', apiVersion: 'v1' }), {
      code: 400,
      body: { message: /cannot be converted to DeleteOptions/ },
    });
    t.match((await server.ask(`${CM}/a`)).body.data, { k: 'value' }, 'nothing was changed');
    t.equal((await server.ask('/version', { method: 'POST' })).code, 405);
  },
);

t.test('hostile bodies: others are answered while a large YAML text is read', async (t) => {
  const server = await startServer(t);
  await server.createNamespace();
  const keys = Array.from({ length: 40_000 }, (_, at) => `  key${at}: "value"`).join('\n');
  let done = false;
  const posting = server
    .ask(CM, {
      method: 'POST',
      body: Buffer.from(`metadata: {name: large}\ndata:\n${keys}\n  key1: again\n`),
      headers: { 'Content-Type': 'application/yaml' },
    })
    .finally(() => {
      done = true;
    });
  let answered = 0;
  while (!done) {
    await server.ask('/version');
    answered++;
  }
  t.match(await posting, {
    code: 201,
    headers: { warning: /duplicate field .*line 40003/ },
  });
  t.ok(answered > 20, `${answered} requests were answered meanwhile`);
});

t.test('http: a connection that says nothing is closed, also before TLS begins', async (t) => {
  const server = await startServer(t, { handshakeTimeoutMs: 200 });
  const socket = connect({ host: '127.0.0.1', port: server.port });
  t.teardown(() => socket.destroy());
  // Its own side stays open: nobody helps the server.
  socket.on('error', () => {}).resume();
  await new Promise((resolve) => socket.once('close', resolve));
  t.pass('closed');
});

t.test('http: who hears a refusal and does not leave is cut off', async (t) => {
  const server = await startServer(t);
  const where = { host: '127.0.0.1', port: server.port };
  const manner = { rejectUnauthorized: false, allowHalfOpen: true };
  const socket = connectTls({ ...where, ...manner });
  t.teardown(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  socket.on('error', () => {});
  socket.write('nonsense\r\n\r\n');
  await new Promise((resolve) => socket.once('end', resolve));
  t.match(text, /^HTTP\/1\.1 400 /);
  const drip = setInterval(() => socket.write('x'), 50);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(drip);
});
