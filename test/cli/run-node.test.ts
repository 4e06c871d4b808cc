import t from 'tap';
import { runNode } from '../../src/cli/run-node.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { resolveConfig } from '../../src/node/config.ts';
import type { RunningNode, StartOptions } from '../../src/node/node.ts';

const CONFIG = resolveConfig({ flags: { nodeName: 'node1' }, environment: {} }).config;

/** A process that is told to start, and what it does. */
function begin(start: (options: StartOptions) => Promise<RunningNode>) {
  let signal: (name: string) => void = () => {};
  const exits: number[] = [];
  const ended = runNode(
    CONFIG,
    { given: new Set() },
    {
      start: (_config, options) => start(options),
      onSignal: (listener) => {
        signal = listener;
      },
      exit: (code) => void exits.push(code),
      log: silentLogger,
    },
  );
  return { ended, exits, signal: (name = 'SIGTERM') => signal(name) };
}

function node() {
  const failed = Promise.withResolvers<Error>();
  const stopped = Promise.withResolvers<void>();
  let stops = 0;
  const running: RunningNode = {
    failed: failed.promise,
    stop: () => {
      stops++;
      return stopped.promise;
    },
  };
  return { running, fail: failed.resolve, finish: stopped.resolve, stops: () => stops };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test('run: a signal stops the node in order, and the exit code is 0', async (t) => {
  const { running, finish, stops } = node();
  const { ended, exits, signal } = begin(async () => running);
  await turn();
  signal();
  await turn();
  t.equal(stops(), 1);
  finish();
  t.equal(await ended, 0);
  t.strictSame(exits, []);
});

t.test('run: a second signal ends the process at once', async (t) => {
  const { running, finish, stops } = node();
  const { ended, exits, signal } = begin(async () => running);
  await turn();
  signal();
  signal('SIGINT');
  t.strictSame(exits, [1]);
  await turn();
  t.equal(stops(), 1);
  finish();
  await ended;
});

t.test(
  'run: a node that is told to stop while it starts undoes the start and exits with 0',
  async (t) => {
    let undone = false;
    const { ended, signal } = begin(async (options) => {
      await new Promise((resolve) => options.signal.addEventListener('abort', resolve));
      undone = true;
      throw options.signal.reason;
    });
    signal();
    t.equal(await ended, 0);
    t.ok(undone);
  },
);

t.test('run: a start that succeeds in spite of the signal is stopped', async (t) => {
  const { running, finish, stops } = node();
  const { ended, signal } = begin(async () => {
    await turn();
    return running;
  });
  signal();
  await turn();
  await turn();
  t.equal(stops(), 1);
  finish();
  t.equal(await ended, 0);
});

t.test('run: a start that fails says why', async (t) => {
  const { ended } = begin(() =>
    Promise.reject(new SkeinError('config-invalid', '--api-port: taken')),
  );
  await t.rejects(ended, { code: 'config-invalid', message: '--api-port: taken' });
});

t.test(
  'run: a start that fails for another reason than the signal says so even then',
  async (t) => {
    const { ended, signal } = begin(async () => {
      await turn();
      throw new SkeinError('disk-failed', 'full');
    });
    signal();
    await t.rejects(ended, { code: 'disk-failed' });
  },
);

t.test('run: a node that cannot go on ends the process with 1', async (t) => {
  const { running, fail, stops } = node();
  const { ended } = begin(async () => running);
  await turn();
  fail(new Error('a failed disk'));
  t.equal(await ended, 1);
  t.equal(stops(), 0, 'nothing orderly is left to be done');
});
