import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import type { SecretsNodeStatus, SecretsStatus } from '../../src/cli/status-types.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { serveControl } from '../../src/node/control-server.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

const statusOf = (nodes: readonly SecretsNodeStatus[]): SecretsStatus => ({
  encrypted: true,
  kinds: ['secrets'],
  dataKey: '00ff00ff00ff00ff',
  clusterKey: 'aa11aa11aa11aa11',
  since: '2026-01-02T03:04:05.000Z',
  position: 42,
  complete: nodes.every(({ state }) => state === 'done'),
  nodes,
});

const DONE = statusOf([
  { node: 'node1', state: 'done' },
  { node: 'node2', state: 'done' },
]);
const HALF = statusOf([
  { node: 'node1', state: 'done' },
  { node: 'node2', state: 'unreachable', detail: 'no route' },
]);

/** A node that shows `statuses` one after the other, the last one for ever; and what it was asked for. */
async function node(t: Test, statuses: readonly SecretsStatus[]) {
  const directory = await mkdtemp(`${tmpdir()}/skein-cli-`);
  const orders: object[] = [];
  let looks = 0;
  const look = () => statuses[Math.min(looks++, statuses.length - 1)] as SecretsStatus;
  const routes = {
    'GET /secrets': look,
    'POST /secrets': (body: object) => {
      orders.push(body);
      return look();
    },
    'GET /secrets/key': () => ({ key: 'skein-key1.x' }),
  };
  const server = await serveControl(`${directory}/skein.sock`, routes, silentLogger);
  t.teardown(async () => {
    await server.close();
    await rm(directory, { recursive: true });
  });
  const skein = (...args: string[]): Promise<{ code: number | null; out: string; err: string }> => {
    const child = spawn(process.execPath, [MAIN, 'secrets', ...args, '--data-dir', directory]);
    const read = async (stream: AsyncIterable<Buffer>) => {
      let text = '';
      for await (const chunk of stream) text += chunk.toString('utf8');
      return text;
    };
    const texts = Promise.all([read(child.stdout), read(child.stderr)]);
    return new Promise((resolve) => {
      child.once('close', async (code) => {
        const [out, err] = await texts;
        resolve({ code, out, err });
      });
    });
  };
  return { skein, orders };
}

t.test('secrets: status names the keys, and what each node still has to do', async (t) => {
  const { skein } = await node(t, [HALF]);
  const [text, json] = await Promise.all([skein('status'), skein('status', '-o', 'json')]);
  t.equal(text.code, 0);
  t.match(text.out, /encryption +on \(AES-256-GCM\)/);
  t.match(text.out, /change +1 of 2 nodes/);
  t.match(text.out, /node2 +unreachable +no route/);
  t.strictSame(JSON.parse(json.out), HALF);
  t.equal((await skein('key')).out, 'skein-key1.x\n');
});

t.test('secrets: rotate waits for every node, and tells how far it is aside', async (t) => {
  const { skein, orders } = await node(t, [HALF, HALF, DONE]);
  const { code, out, err } = await skein('rotate', '--kinds', 'secrets, configmaps', '-o', 'json');
  t.equal(code, 0);
  t.strictSame(JSON.parse(out), DONE);
  t.strictSame(err.split('\n').slice(0, 2), [
    '1 of 2 nodes hold nothing older than the change',
    '2 of 2 nodes hold nothing older than the change',
  ]);
  t.strictSame(orders, [{ action: 'rotate', kinds: ['secrets', 'configmaps'] }]);
});

t.test(
  'secrets: a change that not every node has followed fails, unless nobody waits',
  async (t) => {
    const { skein, orders } = await node(t, [HALF]);
    const [late, told, refused] = await Promise.all([
      skein('enable', '--timeout', '0s'),
      skein('disable', '--yes', '--no-wait'),
      skein('disable'),
    ]);
    t.equal(late.code, 1);
    t.match(late.err, /go on by themselves.*skein secrets status/);
    t.match(late.out, /node2 +unreachable/);
    t.equal(told.code, 0);
    t.equal(refused.code, 1, 'plain text wants a yes');
    t.strictSame(orders.length, 2);
  },
);
