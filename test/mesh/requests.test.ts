import t from 'tap';
import { SkeinError } from '../../src/lib/errors.ts';
import { createIdentity } from '../../src/mesh/identity.ts';
import { startCluster, startNode, until } from './support.ts';

const within = { deadlineMs: 3000 };

t.test('requests: the answer comes back, with bytes and nested values intact', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  b.serve('echo', async (body, from) => ({ body, from }));
  const body = { text: 'ü', list: [1, null, true], bytes: new Uint8Array([0, 255]), big: 2 ** 40 };
  const answer = (await a.request(b.self, 'echo', body, within)) as {
    body: typeof body;
    from: string;
  };
  t.equal(answer.from, a.self);
  t.strictSame({ ...answer.body, bytes: [...answer.body.bytes] }, { ...body, bytes: [0, 255] });
});

t.test('requests: many at once keep their answers apart', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  b.serve('late', async (body) => {
    await new Promise((resolve) => setTimeout(resolve, Number(body) % 7));
    return Number(body) * 2;
  });
  const numbers = Array.from({ length: 300 }, (_, index) => index);
  const answers = await Promise.all(numbers.map((n) => a.request(b.self, 'late', n, within)));
  t.strictSame(
    answers,
    numbers.map((n) => n * 2),
  );
});

t.test(
  'requests: the code of an error travels, an unexpected one becomes remote-failed',
  async (t) => {
    const [a, b] = await startCluster(t, 2);
    if (!a || !b) return;
    b.serve('refuse', async () => {
      throw new SkeinError('not-leader', 'ask c', { retryable: true });
    });
    b.serve('break', async () => {
      throw new TypeError('x is not a function');
    });
    b.serve('unsendable', async () => 'x'.repeat(17 * 1024 * 1024));
    await t.rejects(a.request(b.self, 'refuse', 0, within), {
      code: 'not-leader',
      message: 'ask c',
      retryable: true,
    });
    await t.rejects(a.request(b.self, 'break', 0, within), {
      code: 'remote-failed',
      message: /x is not a function/,
    });
    await t.rejects(a.request(b.self, 'nothing', 0, within), { code: 'remote-failed' });
    await t.rejects(a.request(b.self, 'unsendable', 0, within), { code: 'frame-too-large' });
    await t.rejects(a.request(b.self, 'refuse', 'x'.repeat(17 * 1024 * 1024), within), {
      code: 'frame-too-large',
    });
  },
);

t.test('requests: a passed deadline and a withdrawn request reach the handler', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  const seen: string[] = [];
  b.serve('hang', (body, _from, signal) => {
    signal.addEventListener('abort', () => seen.push(String(body)));
    return new Promise(() => {});
  });
  await t.rejects(a.request(b.self, 'hang', 'deadline', { deadlineMs: 30 }), {
    code: 'deadline-exceeded',
  });
  await until(() => seen.includes('deadline'));
  const controller = new AbortController();
  const asked = a.request(b.self, 'hang', 'withdrawn', { ...within, signal: controller.signal });
  await new Promise((resolve) => setTimeout(resolve, 20));
  controller.abort();
  await t.rejects(asked, { code: 'aborted' });
  await until(() => seen.includes('withdrawn'));
});

t.test('requests: too many at once are refused, not queued', async (t) => {
  const limits = { requestsOutstandingMax: 3 };
  const [a, b] = await startCluster(t, 2, { limits });
  if (!a || !b) return;
  b.serve('hang', () => new Promise(() => {}));
  b.serve('quick', async () => 'done');
  await a.request(b.self, 'quick', 0, within);
  const hanging = [1, 2, 3].map((n) => a.request(b.self, 'hang', n, { deadlineMs: 200 }));
  await t.rejects(a.request(b.self, 'quick', 0, within), { code: 'overloaded', retryable: true });
  for (const request of hanging) await t.rejects(request, { code: 'deadline-exceeded' });
  t.equal(await a.request(b.self, 'quick', 0, within), 'done', 'room again');
});

t.test('requests: what is under way when the peer dies fails at once, on both sides', async (t) => {
  const [a, b] = await startCluster(t, 2);
  if (!a || !b) return;
  let aborted = false;
  a.serve('hang', (_body, _from, signal) => {
    signal.addEventListener('abort', () => {
      aborted = true;
    });
    return new Promise(() => {});
  });
  b.serve('hang', () => new Promise(() => {}));
  const fromA = a.request(b.self, 'hang', 0, { deadlineMs: 60_000 });
  const fromB = b.request(a.self, 'hang', 0, { deadlineMs: 60_000 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const started = performance.now();
  await Promise.all([b.stop(), t.rejects(fromB), t.rejects(fromA, { code: 'stream-closed' })]);
  await until(() => aborted);
  t.ok(performance.now() - started < 1000, 'no waiting for the deadline');
});

t.test('requests: to a peer out of reach they fail as soon as the dial does', async (t) => {
  const a = await startNode(t);
  const gone = (await createIdentity()).id;
  a.admit(new Map([[gone, ['/ip4/127.0.0.1/tcp/1']]]));
  const started = performance.now();
  await t.rejects(a.request(gone, 'x', 0, { deadlineMs: 30_000 }), { code: 'peer-unreachable' });
  t.ok(performance.now() - started < 2000);
  await t.rejects(a.request('12D3KooWunknown', 'x', 0, within), { code: 'not-admitted' });
});

t.test('requests: a node may ask itself', async (t) => {
  const [a] = await startCluster(t, 1);
  if (!a) return;
  const sent = { list: [1] };
  a.serve('same', async (body) => body);
  const answer = await a.request(a.self, 'same', sent, within);
  t.strictSame(answer, sent);
  t.not(answer, sent, 'a copy, as from any other node');
});
