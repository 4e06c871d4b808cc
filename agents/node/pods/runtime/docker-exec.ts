/** Commands in containers and attachments to them, over Docker's hijacked connections. */

import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import type {
  ExecExit,
  ExecOptions,
  ExecOutput,
  ExecSession,
} from '../../../../src/lib/container-streams.ts';
import { messageOf } from '../../../../src/lib/errors.ts';
import type { ExecResult } from '../ports.ts';
import { dockerFrames } from './docker-frames.ts';

/** Output of a command run to its end is cut here, as upstream cuts probe output. */
const OUTPUT_BYTES_MAX = 10 * 1024;
/** Docker may report a command as running for a moment after its streams ended. */
const EXIT_LOOKS_MAX = 50;
const EXIT_LOOK_MS = 20;

/** Runs a command to its end and answers its exit code and (bounded) output. */
export async function execToEnd(
  docker: Docker,
  run: {
    readonly id: string;
    readonly command: readonly string[];
    readonly outputBytesMax?: number;
  },
  signal: AbortSignal,
): Promise<ExecResult> {
  const { id, command, outputBytesMax = OUTPUT_BYTES_MAX } = run;
  const options = { command, stdin: false, stdout: true, stderr: true, tty: false };
  const { exec, stream } = await startExec(docker, id, options, signal);
  const chunks: Uint8Array[] = [];
  let kept = 0;
  for await (const { data } of dockerFrames(stream)) {
    if (kept < outputBytesMax) chunks.push(data.subarray(0, outputBytesMax - kept));
    kept += data.length;
  }
  signal.throwIfAborted();
  const exitCode = await exitCodeOf(exec, signal);
  return { exitCode, output: Buffer.concat(chunks).toString('utf8') };
}

/** Starts a command with live streams. */
export async function execSession(
  docker: Docker,
  id: string,
  options: ExecOptions,
  signal: AbortSignal,
): Promise<ExecSession> {
  const { exec, stream } = await startExec(docker, id, options, signal);
  return new DockerSession(stream, {
    tty: options.tty,
    resize: (columns, rows) => exec.resize({ w: columns, h: rows }),
    exitOf: async () => {
      const never = new AbortController().signal;
      return { kind: 'exited', code: await exitCodeOf(exec, never) };
    },
  });
}

/** Joins the streams of a container's main process. */
export async function attachSession(
  docker: Docker,
  id: string,
  options: Omit<ExecOptions, 'command'>,
  signal: AbortSignal,
): Promise<ExecSession> {
  const container = docker.getContainer(id);
  const info = await container.inspect({ abortSignal: signal });
  const { stdin, stdout, stderr } = options;
  const stream = await container.attach({
    stream: true,
    hijack: true,
    stdin,
    stdout,
    stderr,
    abortSignal: signal,
  });
  endWith(stream as unknown as Duplex, signal);
  // 1. The container ends. 2. We attach: Docker takes that for waiting until it starts again, which it never will.
  if (!(await container.inspect({ abortSignal: signal })).State.Running) {
    (stream as unknown as Duplex).destroy();
    throw new Error('the container is not running');
  }
  return new DockerSession(stream as unknown as Duplex, {
    tty: info.Config.Tty,
    resize: (columns, rows) => container.resize({ w: columns, h: rows }),
    exitOf: async () => ({ kind: 'exited', code: 0 }),
  });
}

class DockerSession implements ExecSession {
  readonly output: AsyncIterable<ExecOutput>;
  readonly exit: Promise<ExecExit>;
  readonly #stream: Duplex;
  readonly #resize: (columns: number, rows: number) => Promise<unknown>;

  constructor(
    stream: Duplex,
    how: {
      readonly tty: boolean;
      readonly resize: (columns: number, rows: number) => Promise<unknown>;
      readonly exitOf: () => Promise<ExecExit>;
    },
  ) {
    this.#stream = stream;
    this.#resize = how.resize;
    this.output = how.tty ? rawFrames(stream) : dockerFrames(stream);
    this.exit = new Promise((resolve) => {
      stream.once('close', () => {
        how.exitOf().then(resolve, (error: unknown) => {
          resolve({ kind: 'failed', message: messageOf(error) });
        });
      });
    });
  }

  writeStdin(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  closeStdin(): void {
    this.#stream.end();
  }

  resize(columns: number, rows: number): void {
    // Best effort: a terminal that is gone needs no size.
    this.#resize(columns, rows).catch(() => {});
  }

  abort(): void {
    this.#stream.destroy();
  }
}

async function startExec(
  docker: Docker,
  id: string,
  options: ExecOptions,
  signal: AbortSignal,
): Promise<{ exec: Docker.Exec; stream: Duplex }> {
  const exec = await docker.getContainer(id).exec({
    Cmd: [...options.command],
    AttachStdin: options.stdin,
    AttachStdout: options.stdout,
    AttachStderr: options.stderr && !options.tty,
    Tty: options.tty,
    abortSignal: signal,
  });
  const stream = await exec.start({
    hijack: true,
    stdin: true,
    Tty: options.tty,
    abortSignal: signal,
  });
  endWith(stream, signal);
  return { exec, stream };
}

function endWith(stream: Duplex, signal: AbortSignal): void {
  const onAbort = () => stream.destroy();
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', onAbort));
  // A broken connection shows as the end of the output; without a listener it would end the process.
  stream.on('error', () => {});
}

async function exitCodeOf(exec: Docker.Exec, signal: AbortSignal): Promise<number> {
  for (let look = 0; look < EXIT_LOOKS_MAX; look++) {
    const info = await exec.inspect({ abortSignal: signal });
    if (!info.Running && info.ExitCode !== null) return info.ExitCode;
    await new Promise((resolve) => setTimeout(resolve, EXIT_LOOK_MS));
  }
  throw new Error('the command is still running although its streams ended');
}

async function* rawFrames(stream: Duplex): AsyncIterable<ExecOutput> {
  for await (const data of stream) yield { channel: 'stdout', data: data as Uint8Array };
}
