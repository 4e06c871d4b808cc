/** The container runtime port on Docker's API. */

import Docker from 'dockerode';
import { abortError, sleep } from '../../../../src/lib/async.ts';
import { backoffMs } from '../../../../src/lib/backoff.ts';
import { type Clock, systemClock } from '../../../../src/lib/clock.ts';
import type {
  ExecOptions,
  ExecSession,
  LogOptions,
} from '../../../../src/lib/container-streams.ts';
import { entropyRandom, type Random } from '../../../../src/lib/random.ts';
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
  RegistryAuth,
  RuntimeContainerState,
  RuntimeInfo,
} from '../ports.ts';
import { dockerMessage, runtimeError, statusCodeOf } from './docker-errors.ts';
import { watchEvents } from './docker-events.ts';
import { attachSession, execSession, execToEnd } from './docker-exec.ts';
import { dockerLogs } from './docker-logs.ts';
import { pullImage } from './docker-pull.ts';
import { createBody } from './docker-request.ts';
import { busyboxTar } from './sandbox-image.ts';

export type DockerRuntimeOptions = {
  /** Docker's socket. Default /var/run/docker.sock. */
  readonly socketPath?: string;
  /** Longest wait for the first answer of a registry. Default 5 s. */
  readonly registryAnswerMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
};

const REGISTRY_ANSWER_MS = 5_000;
/** Wait between attempts to get the event stream back. */
const EVENTS_RETRY = { initialMs: 200, maxMs: 5_000 };

/** A runtime that speaks to the Docker daemon at a socket. */
export function createDockerRuntime(options: DockerRuntimeOptions = {}): ContainerRuntime {
  return new DockerRuntime(options);
}

type DockerInfo = { readonly ServerVersion?: string; readonly DockerRootDir?: string };

class DockerRuntime implements ContainerRuntime {
  readonly #docker: Docker;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #registryAnswerMs: number;

  constructor(options: DockerRuntimeOptions) {
    const { socketPath = '/var/run/docker.sock', registryAnswerMs = REGISTRY_ANSWER_MS } = options;
    this.#docker = new Docker({ socketPath });
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? entropyRandom();
    this.#registryAnswerMs = registryAnswerMs;
  }

  async info(signal: AbortSignal): Promise<RuntimeInfo> {
    // The library takes options here; its types do not say so.
    const docker = this.#docker as unknown as { info(options: object): Promise<DockerInfo> };
    const info = await this.#call('reading the runtime', signal, () =>
      docker.info({ abortSignal: signal }),
    );
    const version = `docker://${info.ServerVersion ?? 'unknown'}`;
    return { version, rootDir: info.DockerRootDir ?? '/var/lib/docker' };
  }

  async ensureSandboxImage(image: string, signal: AbortSignal): Promise<void> {
    if (await this.image(image, signal)) return;
    const [repo = image, tag = 'latest'] = image.split(':');
    const tar = await busyboxTar();
    await this.#call(`making image ${image}`, signal, async () => {
      const stream = await this.#docker.importImage(tar as unknown as string, {
        repo,
        tag,
        abortSignal: signal,
      });
      await drain(stream);
    });
  }

  async list(label: string, signal: AbortSignal): Promise<readonly ContainerSummary[]> {
    const found = await this.#call('listing containers', signal, () =>
      this.#docker.listContainers({
        all: true,
        filters: { label: [label] },
        abortSignal: signal,
      }),
    );
    return found.map((info) => ({
      id: info.Id,
      labels: info.Labels,
      state: stateOf(info.State),
      createdAtMs: info.Created * 1000,
    }));
  }

  async watch(
    label: string,
    listener: { onConnected(): void; onEvent(event: ContainerEvent): void },
    signal: AbortSignal,
  ): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await watchEvents(
          this.#docker,
          label,
          {
            onConnected: () => {
              failures = 0;
              listener.onConnected();
            },
            onEvent: listener.onEvent,
          },
          signal,
        );
      } catch {
        // The daemon is away or restarts: keep trying, the list repairs what was missed.
      }
      if (signal.aborted) return;
      const waitMs = backoffMs(failures++, this.#random, EVENTS_RETRY);
      await sleep(waitMs, this.#clock, signal).catch(() => {});
    }
  }

  async create(request: ContainerRequest, signal: AbortSignal): Promise<string> {
    const body = createBody(request);
    const create = () =>
      this.#docker.createContainer({ ...body, name: request.name, abortSignal: signal });
    try {
      return (await create()).id;
    } catch (error) {
      if (statusCodeOf(error) !== 409)
        throw this.#failure(`creating ${request.name}`, error, signal);
    }
    // An earlier attempt whose answer was lost left a container of this name.
    await this.remove(request.name, signal);
    return this.#call(`creating ${request.name}`, signal, async () => (await create()).id);
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    await this.#call(
      'starting the container',
      signal,
      () => this.#docker.getContainer(id).start({ abortSignal: signal }),
      [304],
    );
  }

  async inspect(id: string, signal: AbortSignal): Promise<ContainerInspection | undefined> {
    const info = await this.#call(
      'inspecting the container',
      signal,
      () => this.#docker.getContainer(id).inspect({ abortSignal: signal }),
      [404],
    );
    return info && inspection(info);
  }

  async stop(id: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    await this.#call(
      'stopping the container',
      signal,
      () => this.#docker.getContainer(id).stop({ t: Math.ceil(graceSeconds), abortSignal: signal }),
      [304, 404],
    );
  }

  async kill(id: string, signal: AbortSignal): Promise<void> {
    await this.#call(
      'killing the container',
      signal,
      () => this.#docker.getContainer(id).kill({ signal: 'SIGKILL', abortSignal: signal }),
      [404, 409],
    );
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    await this.#call(
      'removing the container',
      signal,
      () => this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal: signal }),
      [404, 409],
    );
  }

  async image(name: string, signal: AbortSignal): Promise<ImageInfo | undefined> {
    const info = await this.#call(
      `inspecting image ${name}`,
      signal,
      () => this.#docker.getImage(name).inspect(),
      [404],
    );
    if (info === undefined) return undefined;
    return {
      id: info.Id,
      sizeBytes: info.Size,
      user: info.Config?.User ?? '',
      digests: info.RepoDigests ?? [],
    };
  }

  async images(signal: AbortSignal): Promise<readonly ImageSummary[]> {
    const found = await this.#call('listing images', signal, () =>
      this.#docker.listImages({ abortSignal: signal }),
    );
    return found.map((info) => ({
      id: info.Id,
      names: [...(info.RepoDigests ?? []), ...(info.RepoTags ?? [])].filter(
        (name) => !name.startsWith('<none>'),
      ),
      sizeBytes: info.Size,
    }));
  }

  pull(name: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<PullOutcome> {
    const options = { answerMs: this.#registryAnswerMs, clock: this.#clock, signal };
    return pullImage(this.#docker, name, auth, options);
  }

  execSync(
    id: string,
    command: readonly string[],
    options: { readonly outputBytesMax?: number },
    signal: AbortSignal,
  ): Promise<ExecResult> {
    return this.#call('running a command', signal, () =>
      execToEnd(this.#docker, { id, command, ...options }, signal),
    );
  }

  exec(id: string, options: ExecOptions, signal: AbortSignal): Promise<ExecSession> {
    return this.#call('starting a command', signal, () =>
      execSession(this.#docker, id, options, signal),
    );
  }

  attach(
    id: string,
    options: Omit<ExecOptions, 'command'>,
    signal: AbortSignal,
  ): Promise<ExecSession> {
    return this.#call('attaching', signal, () => attachSession(this.#docker, id, options, signal));
  }

  logs(
    id: string,
    options: Omit<LogOptions, 'previous'>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    return this.#call('reading logs', signal, () => dockerLogs(this.#docker, id, options, signal));
  }

  /** Runs a call; the given refusals answer undefined, others become operational errors. */
  async #call<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  async #call<T>(
    what: string,
    signal: AbortSignal,
    work: () => Promise<T>,
    fine: readonly number[],
  ): Promise<T | undefined>;
  async #call<T>(
    what: string,
    signal: AbortSignal,
    work: () => Promise<T>,
    fine: readonly number[] = [],
  ): Promise<T | undefined> {
    try {
      return await abortable(work(), signal);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      if (fine.includes(statusCodeOf(error) ?? 0)) return undefined;
      throw runtimeError(what, error);
    }
  }

  #failure(what: string, error: unknown, signal: AbortSignal): Error {
    return signal.aborted ? abortError(signal) : runtimeError(what, error);
  }
}

/** Rejects when the signal fires, also where the library ignores it. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Reads a response to its end; rejects with what Docker reports in it. */
async function drain(stream: NodeJS.ReadableStream): Promise<void> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  if (text.includes('"errorDetail"')) throw new Error(dockerMessage(new Error(text)));
}

function stateOf(state: string): RuntimeContainerState {
  if (state === 'running' || state === 'paused' || state === 'restarting') return 'running';
  return state === 'created' ? 'created' : 'exited';
}

function inspection(info: Docker.ContainerInspectInfo): ContainerInspection {
  const { State, Config } = info;
  const startedAtMs = timeMs(State.StartedAt);
  const finishedAtMs = timeMs(State.FinishedAt);
  return {
    id: info.Id,
    labels: Config.Labels ?? {},
    state: stateOf(State.Status),
    pid: State.Pid,
    exitCode: State.ExitCode,
    oomKilled: State.OOMKilled,
    error: State.Error,
    imageId: info.Image,
    tty: Config.Tty ?? false,
    createdAtMs: timeMs(info.Created),
    startedAtMs,
    // Of a process that ends at once Docker may note the end before the start.
    finishedAtMs: finishedAtMs === 0 ? 0 : Math.max(startedAtMs, finishedAtMs),
  };
}

/** Docker writes the year 1 for never. */
function timeMs(text: string): number {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms < 0 ? 0 : ms;
}
