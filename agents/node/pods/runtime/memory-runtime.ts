/**
 * The runtime port in memory: the twin of Docker for tests and the simulator. Its containers run the
 * few shell words that `memory-program.ts` knows; calls can be made to fail or to hang.
 */

import { abortError } from '../../../../src/lib/async.ts';
import type { Clock } from '../../../../src/lib/clock.ts';
import type {
  ExecOptions,
  ExecSession,
  LogOptions,
} from '../../../../src/lib/container-streams.ts';
import { SkeinError } from '../../../../src/lib/errors.ts';
import type {
  ContainerEvent,
  ContainerInspection,
  ContainerRequest,
  ContainerRuntime,
  ContainerSummary,
  ExecResult,
  ImageInfo,
  ImageSummary,
  PullOutcome,
  RuntimeContainerState,
  RuntimeInfo,
} from '../ports.ts';
import { MemoryProcess } from './memory-program.ts';
import { MemorySession } from './memory-session.ts';

type Operation = 'create' | 'start' | 'stop' | 'inspect' | 'remove' | 'list' | 'exec';

type Held = {
  readonly id: string;
  readonly request: ContainerRequest;
  readonly createdAtMs: number;
  readonly pid: number;
  state: RuntimeContainerState;
  startedAtMs: number;
  finishedAtMs: number;
  exitCode: number;
  error: string;
  process: MemoryProcess | undefined;
  readonly log: { readonly atMs: number; readonly text: string }[];
  readonly followers: Set<() => void>;
};

type Listener = { onConnected(): void; onEvent(event: ContainerEvent): void };

const LOG_LINES_MAX = 10_000;
const NEVER = new Promise<never>(() => {});

export class MemoryRuntime implements ContainerRuntime {
  readonly #clock: Clock;
  readonly #containers = new Map<string, Held>();
  readonly #images = new Map<string, ImageInfo>();
  readonly #watchers = new Map<Listener, string>();
  readonly #faults = new Map<string, 'hang' | string>();
  #made = 0;
  /** Answers pulls of images that are not there. Default: nobody answers. */
  onPull: (name: string) => PullOutcome = () => ({
    kind: 'unreachable',
    message: 'dial tcp: network is unreachable',
  });
  /** While true, events are lost, as when the connection to a daemon breaks. */
  deaf = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Puts an image on the machine. */
  addImage(name: string, info: Partial<ImageInfo> = {}): void {
    const id = `sha256:${Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64)}`;
    this.#images.set(name, { id, sizeBytes: 1_000_000, user: '', digests: [], ...info });
  }

  removeImage(name: string): void {
    this.#images.delete(name);
  }

  /** Makes an operation on containers whose name contains `part` fail with a message, or hang for ever. */
  fault(operation: Operation, part: string, how: 'hang' | string): void {
    this.#faults.set(`${operation} ${part}`, how);
  }

  heal(): void {
    this.#faults.clear();
  }

  /** Tells watchers that the stream is back. */
  reconnect(): void {
    this.deaf = false;
    for (const listener of this.#watchers.keys()) listener.onConnected();
  }

  /** Ends a container's process from outside. */
  crash(id: string, exitCode = 137): void {
    this.#ended(this.#must(id), exitCode);
  }

  /** Ends every process, as a stop of the daemon does. */
  crashAll(): void {
    for (const held of this.#containers.values()) {
      if (held.state === 'running') this.#ended(held, 137);
    }
  }

  async info(): Promise<RuntimeInfo> {
    return { version: 'memory://1', rootDir: '/' };
  }

  async ensureSandboxImage(image: string): Promise<void> {
    if (!this.#images.has(image)) this.addImage(image);
  }

  async list(label: string, signal: AbortSignal): Promise<readonly ContainerSummary[]> {
    await this.#maybeFail('list', '', signal);
    return [...this.#containers.values()]
      .filter(({ request }) => carries(request.labels, label))
      .map(({ id, request, state, createdAtMs }) => ({
        id,
        labels: request.labels,
        state,
        createdAtMs,
      }));
  }

  async watch(label: string, listener: Listener, signal: AbortSignal): Promise<void> {
    this.#watchers.set(listener, label);
    listener.onConnected();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#watchers.delete(listener);
  }

  async create(request: ContainerRequest, signal: AbortSignal): Promise<string> {
    await this.#maybeFail('create', request.name, signal);
    if (!this.#images.has(request.image)) throw failed(`No such image: ${request.image}`);
    for (const old of this.#containers.values()) {
      if (old.request.name === request.name) await this.remove(old.id, signal);
    }
    const number = ++this.#made;
    const id = number.toString(16).padStart(64, '0');
    this.#containers.set(id, {
      id,
      request,
      createdAtMs: this.#clock.nowMs(),
      pid: 100_000 + number,
      state: 'created',
      startedAtMs: 0,
      finishedAtMs: 0,
      exitCode: 0,
      error: '',
      process: undefined,
      log: [],
      followers: new Set(),
    });
    return id;
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    const held = this.#must(id);
    await this.#maybeFail('start', held.request.name, signal);
    if (held.state === 'running') return;
    const { command = [], args = [] } = held.request;
    const words = [...command, ...args];
    const process = MemoryProcess.of(words, this.#clock, {
      onOutput: (text) => this.#print(held, text),
      onExit: (code) => this.#ended(held, code),
    });
    if (process === undefined) {
      held.exitCode = 127;
      held.error = `exec: "${words[0] ?? ''}": executable file not found in $PATH: unknown`;
      throw failed(held.error);
    }
    held.state = 'running';
    held.startedAtMs = this.#clock.nowMs();
    held.process = process;
    this.#tell('started', held);
    process.run();
  }

  async inspect(id: string, signal: AbortSignal): Promise<ContainerInspection | undefined> {
    const held = this.#containers.get(id);
    await this.#maybeFail('inspect', held?.request.name ?? '', signal);
    if (held === undefined) return undefined;
    const running = held.state === 'running';
    return {
      id,
      labels: held.request.labels,
      state: held.state,
      pid: running ? held.pid : 0,
      exitCode: held.exitCode,
      oomKilled: false,
      error: held.error,
      imageId: this.#images.get(held.request.image)?.id ?? 'sha256:0',
      tty: held.request.tty ?? false,
      createdAtMs: held.createdAtMs,
      startedAtMs: held.startedAtMs,
      finishedAtMs: held.finishedAtMs,
    };
  }

  async stop(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    const held = this.#containers.get(id);
    await this.#maybeFail('stop', held?.request.name ?? '', signal);
    if (held?.state !== 'running') return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => end(() => reject(abortError(signal)));
      const timer = this.#clock.after(graceSeconds * 1000, () => {
        if (held.state === 'running') this.#ended(held, 137);
        end(resolve);
      });
      const end = (then: () => void) => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        held.followers.delete(onChange);
        then();
      };
      const onChange = () => {
        if (held.state !== 'running') end(resolve);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      held.followers.add(onChange);
      held.process?.terminate();
    });
  }

  async kill(id: string, signal: AbortSignal): Promise<void> {
    const held = this.#containers.get(id);
    await this.#maybeFail('stop', held?.request.name ?? '', signal);
    if (held?.state === 'running') this.#ended(held, 137);
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    const held = this.#containers.get(id);
    await this.#maybeFail('remove', held?.request.name ?? '', signal);
    if (held === undefined) return;
    if (held.state === 'running') this.#ended(held, 137);
    this.#containers.delete(id);
    this.#tell('removed', held);
  }

  async image(name: string, signal: AbortSignal): Promise<ImageInfo | undefined> {
    if (signal.aborted) throw abortError(signal);
    return this.#images.get(name) ?? this.#images.get(`${name}:latest`);
  }

  async images(): Promise<readonly ImageSummary[]> {
    return [...this.#images].map(([name, { id, sizeBytes }]) => ({ id, names: [name], sizeBytes }));
  }

  async pull(name: string): Promise<PullOutcome> {
    const outcome = this.onPull(name);
    if (outcome.kind === 'pulled') this.addImage(name);
    return outcome;
  }

  async execSync(
    id: string,
    command: readonly string[],
    options: { readonly outputBytesMax?: number },
    signal: AbortSignal,
  ): Promise<ExecResult> {
    const session = await this.exec(
      id,
      { command, stdin: false, stdout: true, stderr: true, tty: false },
      signal,
    );
    const chunks: Uint8Array[] = [];
    for await (const { data } of session.output) chunks.push(data);
    if (signal.aborted) throw abortError(signal);
    const exit = await session.exit;
    const output = Buffer.concat(chunks).subarray(0, options.outputBytesMax ?? 10 * 1024);
    return { exitCode: exit.kind === 'exited' ? exit.code : 126, output: output.toString('utf8') };
  }

  async exec(id: string, options: ExecOptions, signal: AbortSignal): Promise<ExecSession> {
    const held = this.#must(id);
    await this.#maybeFail('exec', held.request.name, signal);
    if (held.state !== 'running') throw failed(`Container ${id} is not running`);
    return new MemorySession(options.command, this.#clock, signal);
  }

  async attach(
    id: string,
    _options: Omit<ExecOptions, 'command'>,
    signal: AbortSignal,
  ): Promise<ExecSession> {
    const held = this.#must(id);
    if (held.state !== 'running') throw failed(`Container ${id} is not running`);
    return new MemorySession(['cat'], this.#clock, signal);
  }

  async logs(
    id: string,
    options: Omit<LogOptions, 'previous'>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    return this.#read(this.#must(id), options, signal);
  }

  async *#read(
    held: Held,
    options: Omit<LogOptions, 'previous'>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { tailLines, timestamps, follow, limitBytes } = options;
    const sinceMs = this.#sinceMs(options);
    const young = held.log.findIndex(({ atMs }) => atMs >= sinceMs);
    const first = young < 0 ? held.log.length : young;
    let at = tailLines === undefined ? first : Math.max(first, held.log.length - tailLines);
    let left = limitBytes ?? Number.POSITIVE_INFINITY;
    for (;;) {
      for (; at < held.log.length && left > 0; at++) {
        const line = held.log[at];
        if (line === undefined) break;
        const stamp = timestamps ? `${new Date(line.atMs).toISOString()} ` : '';
        const bytes = Buffer.from(stamp + line.text).subarray(0, left);
        left -= bytes.length;
        yield bytes;
      }
      if (!follow || left <= 0 || signal.aborted || held.state !== 'running') return;
      await changeOf(held, signal);
    }
  }

  #sinceMs({ sinceTime, sinceSeconds }: LogOptions): number {
    if (sinceTime !== undefined) return Date.parse(sinceTime);
    return sinceSeconds === undefined ? 0 : this.#clock.nowMs() - sinceSeconds * 1000;
  }

  #print(held: Held, text: string): void {
    if (held.log.length >= LOG_LINES_MAX) held.log.shift();
    held.log.push({ atMs: this.#clock.nowMs(), text });
    for (const wake of [...held.followers]) wake();
  }

  #ended(held: Held, exitCode: number): void {
    if (held.state !== 'running') return;
    held.process?.end();
    held.process = undefined;
    held.state = 'exited';
    held.exitCode = exitCode;
    held.finishedAtMs = this.#clock.nowMs();
    this.#tell('exited', held);
    for (const wake of [...held.followers]) wake();
  }

  #tell(kind: ContainerEvent['kind'], { id, request }: Held): void {
    if (this.deaf) return;
    for (const [listener, label] of this.#watchers) {
      if (!carries(request.labels, label)) continue;
      queueMicrotask(() => listener.onEvent({ kind, id, labels: request.labels }));
    }
  }

  #must(id: string): Held {
    const held = this.#containers.get(id);
    if (held === undefined) throw failed(`No such container: ${id}`);
    return held;
  }

  async #maybeFail(operation: Operation, name: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortError(signal);
    for (const [key, how] of this.#faults) {
      const [faulty, part = ''] = key.split(' ', 2);
      if (faulty !== operation || !name.includes(part)) continue;
      if (how === 'hang') await aborted(signal);
      throw failed(how);
    }
  }
}

function carries(labels: Readonly<Record<string, string>>, filter: string): boolean {
  const [key = '', value] = filter.split('=', 2);
  return value === undefined ? key in labels : labels[key] === value;
}

function changeOf(held: Held, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      held.followers.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    held.followers.add(done);
    signal.addEventListener('abort', done, { once: true });
  });
}

async function aborted(signal: AbortSignal): Promise<never> {
  return Promise.race([
    NEVER,
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(abortError(signal)), { once: true });
    }),
  ]);
}

function failed(message: string): SkeinError {
  return new SkeinError('runtime-failed', message);
}
