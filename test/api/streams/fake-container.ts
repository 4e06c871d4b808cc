/** ContainerStreams without containers: small commands answered in process, and echo servers for ports. */

import { ByteChannel } from '../../../src/api/streams/byte-channel.ts';
import type {
  ByteDuplex,
  ContainerStreams,
  ContainerTarget,
  ExecExit,
  ExecOptions,
  ExecOutput,
  ExecSession,
  LogOptions,
} from '../../../src/lib/container-streams.ts';
import { SkeinError } from '../../../src/lib/errors.ts';

export type FakeCalls = {
  readonly logs: LogOptions[];
  readonly exec: { target: ContainerTarget; options: ExecOptions }[];
  readonly sizes: (readonly [number, number])[];
  aborted: number;
};

/**
 * Commands: `cat` echoes stdin to stdout; `fail <code>`; `both` writes to both outputs; `size` answers the
 * first terminal size; `flood <bytes>` writes that much; `sink` reads all and says how much; `hang` waits for the end.
 */
export function fakeContainers(): ContainerStreams & { readonly calls: FakeCalls } {
  const calls: FakeCalls = { logs: [], exec: [], sizes: [], aborted: 0 };
  return {
    calls,
    async logs(target, options) {
      calls.logs.push(options);
      if (options.previous) {
        throw new SkeinError(
          'runtime-failed',
          `previous terminated container "${target.container}" in pod "${target.pod}" not found`,
        );
      }
      return (async function* () {
        yield Buffer.from(`log of ${target.container}\n`);
        yield Buffer.from('second line\n');
      })();
    },
    async exec(target, options) {
      calls.exec.push({ target, options });
      return session(options.command, calls);
    },
    attach: async () => session(['cat'], calls),
    async portForward(_target, port) {
      if (port !== 80) throw new SkeinError('network-failed', `connect to port ${port}: refused`);
      return echo();
    },
  };
}

function session(command: readonly string[], calls: FakeCalls): ExecSession {
  const stdin = new ByteChannel();
  const exit = Promise.withResolvers<ExecExit>();
  const size = Promise.withResolvers<readonly [number, number]>();
  let aborted = false;
  const outcome = { code: 0 };
  async function* output(): AsyncGenerator<ExecOutput> {
    const out = (text: string | Uint8Array): ExecOutput => ({
      channel: 'stdout',
      data: Buffer.from(text),
    });
    const [name, argument = ''] = command;
    if (name === 'cat') for await (const data of stdin) yield out(data);
    else if (name === 'fail') outcome.code = Number(argument);
    else if (name === 'both') {
      yield out('to stdout\n');
      yield { channel: 'stderr', data: Buffer.from('to stderr\n') };
    } else if (name === 'size') yield out(`${(await size.promise).join('x')}\n`);
    else if (name === 'flood') {
      for (let left = Number(argument); left > 0; left -= 65_536) {
        yield out(Buffer.alloc(Math.min(left, 65_536), 0x61));
      }
    } else if (name === 'sink') {
      let bytes = 0;
      for await (const data of stdin) bytes += data.length;
      yield out(`${bytes}\n`);
    } else if (name === 'hang') await exit.promise;
    exit.resolve({ kind: 'exited', code: outcome.code });
  }
  return {
    async writeStdin(data) {
      if (!stdin.push(Buffer.from(data))) await stdin.drained();
    },
    closeStdin: () => stdin.end(),
    resize(columns, rows) {
      calls.sizes.push([columns, rows]);
      size.resolve([columns, rows]);
    },
    output: output(),
    exit: exit.promise,
    abort() {
      if (!aborted) calls.aborted++;
      aborted = true;
      stdin.abort();
      exit.resolve({ kind: 'failed', message: 'aborted' });
    },
  };
}

function echo(): ByteDuplex {
  const bytes = new ByteChannel();
  return {
    async write(data) {
      if (!bytes.push(Buffer.from(data))) await bytes.drained();
    },
    closeWrite: () => bytes.end(),
    input: bytes,
    abort: () => bytes.abort(),
  };
}
