/** What every container runtime must do, Docker and the one in memory alike. */

import type { Test } from 'tap';
import type {
  ContainerEvent,
  ContainerRequest,
  ContainerRuntime,
} from '../../../../../agents/node/pods/ports.ts';
import { until } from '../../../../support/dockerd.ts';

const signal = new AbortController().signal;
let made = 0;

function request(script: string, more: Partial<ContainerRequest> = {}): ContainerRequest {
  return {
    name: `conformance-${made++}`,
    image: 'busybox:1',
    labels: { suite: 'conformance' },
    command: ['sh', '-c', script],
    network: 'private',
    ipc: 'private',
    pid: 'private',
    ...more,
  };
}

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Runs the suite; the runtime has the image busybox:1 and reaches no registry. */
export async function runtimeConformance(t: Test, runtime: ContainerRuntime): Promise<void> {
  const run = async (script: string, more?: Partial<ContainerRequest>) => {
    const id = await runtime.create(request(script, more), signal);
    await runtime.start(id, signal);
    return id;
  };
  const ended = async (id: string) => {
    await until('the container has ended', 10_000, async () => {
      return (await runtime.inspect(id, signal))?.state === 'exited';
    });
    return runtime.inspect(id, signal);
  };

  t.test('runtime: a container goes from created to running to exited', async (t) => {
    const id = await runtime.create(request('echo hi; exit 3'), signal);
    t.match(await runtime.inspect(id, signal), { state: 'created', pid: 0, startedAtMs: 0 });
    await runtime.start(id, signal);
    const info = await ended(id);
    t.match(info, { exitCode: 3, oomKilled: false, pid: 0, labels: { suite: 'conformance' } });
    t.ok(info && info.startedAtMs > 0 && info.finishedAtMs >= info.startedAtMs);
    t.match(info?.imageId, /^sha256:/);
    await runtime.remove(id, signal);
    t.equal(await runtime.inspect(id, signal), undefined);
  });

  t.test('runtime: starting what runs already changes nothing', async (t) => {
    const id = await run('sleep 1000');
    const before = await runtime.inspect(id, signal);
    await runtime.start(id, signal);
    t.same(await runtime.inspect(id, signal), before);
    t.ok((before?.pid ?? 0) > 0);
    await runtime.remove(id, signal);
  });

  t.test('runtime: the list shows what carries the label, in every state', async (t) => {
    const labels = { suite: 'listed' };
    const running = await run('sleep 1000', { labels });
    const over = await run('exit 0', { labels });
    await ended(over);
    const created = await runtime.create(request('exit 0', { labels }), signal);
    const states = Object.fromEntries(
      (await runtime.list('suite=listed', signal)).map(({ id, state }) => [id, state]),
    );
    t.same(states, { [running]: 'running', [over]: 'exited', [created]: 'created' });
    t.same(await runtime.list('suite=absent', signal), []);
    for (const id of [running, over, created]) await runtime.remove(id, signal);
  });

  t.test('runtime: events tell of starts, ends and removals of labelled containers', async (t) => {
    const events: ContainerEvent[] = [];
    let connections = 0;
    const stop = new AbortController();
    const listener = {
      onConnected: () => void connections++,
      onEvent: (event: ContainerEvent) => void events.push(event),
    };
    const watching = runtime.watch('suite=watched', listener, stop.signal);
    await until('the stream is in place', 5_000, () => connections === 1);
    const id = await run('exit 0', { labels: { suite: 'watched' } });
    await run('exit 0').then((other) => runtime.remove(other, signal));
    await ended(id);
    await runtime.remove(id, signal);
    await until('three events came', 5_000, () => events.length >= 3);
    t.same(
      events.map(({ kind, id }) => ({ kind, id })),
      [
        { kind: 'started', id },
        { kind: 'exited', id },
        { kind: 'removed', id },
      ],
    );
    t.equal(events[1]?.labels['suite'], 'watched');
    stop.abort();
    await watching;
  });

  t.test('runtime: a process that handles the stop signal ends in its own way', async (t) => {
    const id = await run('trap "exit 5" TERM; sleep 1000 & wait');
    // The shell needs a moment to set its trap.
    await new Promise((resolve) => setTimeout(resolve, 100));
    await runtime.stop(id, 10, signal);
    t.match(await runtime.inspect(id, signal), { state: 'exited', exitCode: 5 });
    await runtime.remove(id, signal);
  });

  t.test('runtime: a process that ignores the stop signal is killed after the grace', async (t) => {
    const id = await run('sleep 1000');
    const startedMs = performance.now();
    await runtime.stop(id, 1, signal);
    t.ok(performance.now() - startedMs >= 900);
    t.match(await runtime.inspect(id, signal), { state: 'exited', exitCode: 137 });
    await runtime.stop(id, 1, signal);
    await runtime.remove(id, signal);
    await runtime.stop(id, 1, signal);
  });

  t.test('runtime: kill and removal of what is over or gone are no errors', async (t) => {
    const id = await run('sleep 1000');
    await runtime.kill(id, signal);
    t.match(await ended(id), { exitCode: 137 });
    await runtime.kill(id, signal);
    await runtime.remove(id, signal);
    await runtime.remove(id, signal);
    await runtime.kill(id, signal);
    t.equal(await runtime.inspect(id, signal), undefined);
  });

  t.test('runtime: a name that is taken goes to the newer container', async (t) => {
    const body = request('sleep 1000');
    const first = await runtime.create(body, signal);
    const second = await runtime.create(body, signal);
    t.not(first, second);
    t.equal(await runtime.inspect(first, signal), undefined);
    await runtime.remove(second, signal);
  });

  t.test('runtime: a program that does not exist refuses to start and says so', async (t) => {
    const id = await runtime.create(request('', { command: ['no-such-program'] }), signal);
    await t.rejects(runtime.start(id, signal), {
      code: 'runtime-failed',
      message: /no-such-program/,
    });
    const info = await runtime.inspect(id, signal);
    t.match(info, { startedAtMs: 0, exitCode: 127 });
    t.match(info?.error, /no-such-program/);
    await runtime.remove(id, signal);
  });

  t.test(
    'runtime: an image is present or not, and a silent registry is told from a refusal',
    async (t) => {
      t.match(await runtime.image('busybox:1', signal), { id: /^sha256:/, user: '' });
      t.equal(await runtime.image('absent:1', signal), undefined);
      t.match(await runtime.pull('absent:1', undefined, signal), { kind: 'unreachable' });
      await t.rejects(runtime.create(request('', { image: 'absent:1' }), signal), {
        code: 'runtime-failed',
      });
      const names = (await runtime.images(signal)).flatMap(({ names }) => names);
      t.ok(names.includes('busybox:1'));
    },
  );

  t.test('runtime: a command runs to its end with its code and bounded output', async (t) => {
    const id = await run('sleep 1000');
    const result = await runtime.execSync(id, ['sh', '-c', 'echo hello; exit 4'], {}, signal);
    t.same(result, { exitCode: 4, output: 'hello\n' });
    const cut = await runtime.execSync(id, ['echo', 'hello'], { outputBytesMax: 2 }, signal);
    t.equal(cut.output, 'he');
    await runtime.remove(id, signal);
  });

  t.test('runtime: a session takes input and gives output until it ends', async (t) => {
    const id = await run('sleep 1000');
    const options = { command: ['cat'], stdin: true, stdout: true, stderr: true, tty: false };
    const session = await runtime.exec(id, options, signal);
    await session.writeStdin(Buffer.from('to and fro'));
    session.closeStdin();
    let text = '';
    for await (const { data } of session.output) text += Buffer.from(data).toString();
    t.equal(text, 'to and fro');
    t.same(await session.exit, { kind: 'exited', code: 0 });
    await runtime.remove(id, signal);
  });

  t.test('runtime: logs are read from the tail, followed, and limited', async (t) => {
    const id = await run('echo one; echo two; sleep 1; echo three');
    const followed = runtime.logs(id, { follow: true }, signal).then(textOf);
    t.equal(await followed, 'one\ntwo\nthree\n');
    t.equal(await textOf(await runtime.logs(id, { tailLines: 1 }, signal)), 'three\n');
    t.equal(await textOf(await runtime.logs(id, { limitBytes: 5 }, signal)), 'one\nt');
    const stamped = await textOf(await runtime.logs(id, { timestamps: true }, signal));
    t.match(stamped, /^\d{4}-\d\d-\d\dT[\d:.]+Z one\n/);
    await runtime.remove(id, signal);
  });

  t.test('runtime: logs begin at a time or an age', async (t) => {
    const id = await run('echo one');
    await ended(id);
    const since = async (options: { sinceTime?: string; sinceSeconds?: number }) =>
      textOf(await runtime.logs(id, options, signal));
    t.equal(await since({ sinceSeconds: 3600 }), 'one\n');
    t.equal(await since({ sinceTime: '2020-01-01T00:00:00Z' }), 'one\n');
    t.equal(await since({ sinceTime: '2100-01-01T00:00:00Z' }), '');
    await until('the line is older than a second', 10_000, async () => {
      return (await since({ sinceSeconds: 1 })) === '';
    });
    await runtime.remove(id, signal);
  });

  t.test('runtime: attaching to a container that has ended is refused', async (t) => {
    const id = await run('exit 0');
    await ended(id);
    const streams = { stdin: true, stdout: true, stderr: true, tty: false };
    await t.rejects(runtime.attach(id, streams, signal), { code: 'runtime-failed' });
    await runtime.remove(id, signal);
  });

  t.test('runtime: a call whose signal has fired rejects with code aborted', async (t) => {
    const fired = AbortSignal.abort();
    await t.rejects(runtime.create(request(''), fired), { code: 'aborted' });
    await t.rejects(runtime.list('suite=conformance', fired), { code: 'aborted' });
  });
}
