import t from 'tap';
import type {
  ByteDuplex,
  ContainerStreams,
  ExecOutput,
  ExecSession,
} from '../../src/lib/container-streams.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { Channel } from '../../src/mesh/channel.ts';
import { remoteContainerStreams } from '../../src/mesh/container-client.ts';
import { serveContainerStreams } from '../../src/mesh/container-server.ts';
import { startCluster, until } from './support.ts';

const target = { namespace: 'default', pod: 'web', podUid: 'u1', container: 'main' };
const never = new AbortController().signal;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** A node whose every process is `cat`, and which counts what runs. */
class FakeNode implements ContainerStreams {
  running = 0;
  pulled = 0;
  sizes: string[] = [];
  /** True: processes and ports do not take input. */
  stuck = false;

  async logs(
    _target: unknown,
    options: { follow?: boolean; tailLines?: number },
    signal: AbortSignal,
  ) {
    if (options.tailLines === 0) throw new SkeinError('runtime-failed', 'no such container');
    this.running++;
    const end = () => {
      this.running--;
    };
    const count = (n: number) => {
      this.pulled = n;
    };
    return (async function* () {
      try {
        for (let n = 0; n < 100; n++) {
          count(n);
          yield new Uint8Array(64 * 1024).fill(n);
        }
        if (options.follow) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        }
      } finally {
        end();
      }
    })();
  }

  async exec(_target: unknown, options: { command: readonly string[] }): Promise<ExecSession> {
    if (options.command[0] === 'missing') {
      throw new SkeinError('runtime-failed', 'exec: "missing": not found in $PATH');
    }
    return this.attach();
  }

  async attach(): Promise<ExecSession> {
    this.running++;
    const output = new Channel<ExecOutput>(1);
    const { promise: exit, resolve } = Promise.withResolvers<{ kind: 'exited'; code: number }>();
    let open = true;
    const stop = (code: number) => {
      if (!open) return;
      open = false;
      this.running--;
      output.end();
      resolve({ kind: 'exited', code });
    };
    return {
      writeStdin: async (data) => {
        if (this.stuck) await new Promise(() => {});
        await output.put({ channel: 'stdout', data });
      },
      closeStdin: () => {
        void output.put({ channel: 'stderr', data: bytes('bye') }).then(() => stop(3));
      },
      resize: (columns, rows) => this.sizes.push(`${columns}x${rows}`),
      output,
      exit,
      abort: () => stop(137),
    };
  }

  async portForward(_target: unknown, port: number): Promise<ByteDuplex> {
    if (port === 1) throw new SkeinError('network-failed', 'connection refused');
    this.running++;
    const echo = new Channel<Uint8Array>(1);
    let open = true;
    const stop = () => {
      if (open) this.running--;
      open = false;
      echo.end();
    };
    return {
      write: (data) => (this.stuck ? new Promise(() => {}) : echo.put(data)),
      closeWrite: stop,
      input: echo,
      abort: stop,
    };
  }
}

async function setUp(t: Parameters<typeof startCluster>[0]) {
  const [near, far] = await startCluster(t, 2);
  if (!near || !far) throw new Error('two nodes');
  const node = new FakeNode();
  serveContainerStreams(far, node);
  return { node, far, remote: remoteContainerStreams(near, far.self) };
}

const exec = { command: ['cat'], stdin: true, stdout: true, stderr: true, tty: false };

t.test("tunnel: a log comes whole, and an error before it is the caller's", async (t) => {
  const { node, remote } = await setUp(t);
  let got = 0;
  for await (const chunk of await remote.logs(target, {}, never)) got += chunk.byteLength;
  t.equal(got, 100 * 64 * 1024);
  t.equal(node.running, 0);
  await t.rejects(remote.logs(target, { tailLines: 0 }, never), {
    code: 'runtime-failed',
    message: 'no such container',
  });
});

t.test('tunnel: a slow reader of a log slows the node down', async (t) => {
  const { node, remote } = await setUp(t);
  const log = (await remote.logs(target, {}, never))[Symbol.asyncIterator]();
  await log.next();
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.ok(node.pulled < 60, `only ${node.pulled} of 100 chunks were produced`);
  let more = 1;
  while (!(await log.next()).done) more++;
  t.equal(more, 100);
});

t.test('tunnel: whoever leaves a followed log frees the node', async (t) => {
  const { node, remote } = await setUp(t);
  for await (const _chunk of await remote.logs(target, { follow: true }, never)) break;
  await until(() => node.running === 0);
  const controller = new AbortController();
  const log = await remote.logs(target, { follow: true }, controller.signal);
  const reading = (async () => {
    for await (const _chunk of log);
  })();
  await until(() => node.running === 1);
  controller.abort();
  await t.rejects(reading);
  await until(() => node.running === 0);
});

t.test('tunnel: exec carries input, both outputs, size and exit code', async (t) => {
  const { node, remote } = await setUp(t);
  const session = await remote.exec(target, exec, never);
  session.resize(80, 24);
  await session.writeStdin(bytes('hello'));
  session.closeStdin();
  const got: string[] = [];
  for await (const { channel, data } of session.output) got.push(`${channel} ${text(data)}`);
  t.strictSame(got, ['stdout hello', 'stderr bye']);
  t.strictSame(await session.exit, { kind: 'exited', code: 3 });
  t.strictSame(node.sizes, ['80x24']);
  t.equal(node.running, 0);
  await t.rejects(remote.exec(target, { ...exec, command: ['missing'] }, never), {
    message: /not found in \$PATH/,
  });
});

t.test('tunnel: the exit is told even if nobody reads the output', async (t) => {
  const { remote } = await setUp(t);
  const session = await remote.exec(target, exec, never);
  session.closeStdin();
  t.strictSame(await session.exit, { kind: 'exited', code: 3 });
});

t.test('tunnel: input waits for a process that does not read', async (t) => {
  const { node, remote } = await setUp(t);
  node.stuck = true;
  const session = await remote.exec(target, exec, never);
  let written = 0;
  const chunk = new Uint8Array(64 * 1024);
  const writing = (async () => {
    for (; written < 400; written++) await session.writeStdin(chunk);
  })();
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.ok(written < 100, `the writer waits after ${written} chunks`);
  session.abort();
  await t.rejects(writing);
  await until(() => node.running === 0);
  t.match(await session.exit, { kind: 'failed' });
});

t.test('tunnel: a lost node ends the session with a failure', async (t) => {
  const { node, far, remote } = await setUp(t);
  const session = await remote.exec(target, exec, never);
  await Promise.all([far.stop(), t.rejects(drain(session.output), { code: 'stream-closed' })]);
  t.match(await session.exit, { kind: 'failed' });
  await until(() => node.running === 0);
});

t.test('tunnel: a port carries bytes both ways and ends with either side', async (t) => {
  const { node, remote } = await setUp(t);
  const port = await remote.portForward(target, 80, never);
  const sent = new Uint8Array(1024 * 1024).fill(5);
  let got = 0;
  const reading = (async () => {
    for await (const data of port.input) got += data.byteLength;
  })();
  await port.write(sent);
  await until(() => got === sent.byteLength);
  port.closeWrite();
  await reading;
  await until(() => node.running === 0);
  await t.rejects(remote.portForward(target, 1, never), { message: 'connection refused' });
  const other = await remote.portForward(target, 80, never);
  await until(() => node.running === 1);
  other.abort();
  await until(() => node.running === 0);
});

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _item of items);
}
