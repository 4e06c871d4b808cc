/**
 * Images for containers: the one on the machine, or a pull. A registry that does not answer is
 * remembered for a while, so that a node without network starts its pods without stalling.
 */

import { withDeadline } from '../../../src/lib/async.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import type { Pod } from './kinds.ts';
import type {
  ContainerRuntime,
  ImageInfo,
  ObjectSource,
  PullOutcome,
  RegistryAuth,
} from './ports.ts';

/** What to do when an image is present, its policy says Always, and no registry answers. */
export type ImagePullFallback = 'local' | 'never';

export type ImagesOptions = {
  /** Default local: use the image that is there, and say so in an event. */
  readonly imagePullFallback?: ImagePullFallback;
};

export type ImageOutcome =
  | { readonly kind: 'present'; readonly image: ImageInfo }
  | { readonly kind: 'pulled'; readonly image: ImageInfo; readonly tookMs: number }
  /** Always was asked for, nobody answered, and the image on the machine is used. */
  | { readonly kind: 'fallback'; readonly image: ImageInfo; readonly message: string }
  | { readonly kind: 'never'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** A registry that did not answer is not asked again for this long. */
const UNREACHABLE_MEMORY_MS = 60_000;
const INSPECT_DEADLINE_MS = 10_000;
/** A pull may take long; this only ends one that hangs for ever. */
const PULL_DEADLINE_MS = 30 * 60_000;
const REGISTRIES_MAX = 256;

export type ImagesDeps = {
  readonly runtime: ContainerRuntime;
  readonly objects: ObjectSource;
  readonly clock: Clock;
};

export class Images {
  readonly #deps: ImagesDeps;
  readonly #fallback: ImagePullFallback;
  readonly #pulls = new Map<string, Promise<PullOutcome>>();
  readonly #unreachable = new Map<string, { readonly untilMs: number; readonly message: string }>();

  constructor(deps: ImagesDeps, options: ImagesOptions = {}) {
    this.#deps = deps;
    this.#fallback = options.imagePullFallback ?? 'local';
  }

  /**
   * Makes the image available by the container's policy. `onPull` is called when a pull begins.
   * Rejects with runtime-failed when the runtime does not answer.
   */
  async ensure(
    pod: Pod,
    wanted: { readonly image: string; readonly policy: string | undefined },
    how: { readonly onPull: () => void; readonly signal: AbortSignal },
  ): Promise<ImageOutcome> {
    const { image: name } = wanted;
    const policy = wanted.policy || defaultPolicy(name);
    const { onPull, signal } = how;
    const local = await this.#inspect(name, signal);
    if (local && policy !== 'Always') return { kind: 'present', image: local };
    if (policy === 'Never') {
      const message = `Container image "${name}" is not present with pull policy of Never`;
      return { kind: 'never', message };
    }
    const startedMs = this.#deps.clock.monotonicMs();
    const outcome = await this.#pull(pod, name, { onPull, signal });
    if (outcome.kind === 'pulled') {
      const image = await this.#inspect(name, signal);
      const tookMs = this.#deps.clock.monotonicMs() - startedMs;
      if (image) return { kind: 'pulled', image, tookMs };
      return { kind: 'failed', message: `image "${name}" is absent after its pull` };
    }
    if (outcome.kind === 'unreachable' && local && this.#fallback === 'local') {
      return { kind: 'fallback', image: local, message: outcome.message };
    }
    return { kind: 'failed', message: outcome.message };
  }

  async #pull(
    pod: Pod,
    name: string,
    how: { readonly onPull: () => void; readonly signal: AbortSignal },
  ): Promise<PullOutcome> {
    const { clock, runtime } = this.#deps;
    const registry = registryOf(name);
    const silent = this.#unreachable.get(registry);
    if (silent && clock.monotonicMs() < silent.untilMs) {
      return { kind: 'unreachable', message: silent.message };
    }
    how.onPull();
    const auth = registryAuth(pod, name, this.#deps.objects);
    const running =
      this.#pulls.get(name) ??
      // Shared by every pod that waits for the image: no single pod's end may abort it.
      withDeadline((signal) => runtime.pull(name, auth, signal), {
        deadlineMs: PULL_DEADLINE_MS,
        clock,
        what: `pulling image ${name}`,
      }).catch((error: unknown): PullOutcome => ({ kind: 'refused', message: messageOf(error) }));
    this.#pulls.set(name, running);
    const outcome = await untilAborted(running, how.signal);
    this.#pulls.delete(name);
    if (outcome.kind === 'unreachable') {
      if (this.#unreachable.size >= REGISTRIES_MAX) this.#unreachable.clear();
      const untilMs = clock.monotonicMs() + UNREACHABLE_MEMORY_MS;
      this.#unreachable.set(registry, { untilMs, message: outcome.message });
    }
    return outcome;
  }

  #inspect(name: string, signal: AbortSignal): Promise<ImageInfo | undefined> {
    return withDeadline((inner) => this.#deps.runtime.image(name, inner), {
      deadlineMs: INSPECT_DEADLINE_MS,
      clock: this.#deps.clock,
      what: `inspecting image ${name}`,
      signal,
    });
  }
}

/** Upstream's default: Always for `:latest` or no tag, IfNotPresent otherwise. */
export function defaultPolicy(image: string): 'Always' | 'IfNotPresent' {
  if (image.includes('@')) return 'IfNotPresent';
  const last = image.slice(image.lastIndexOf('/') + 1);
  const [, tag = 'latest'] = last.split(':');
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

/** imageID as the status shows it: where it was pulled from, else its content id. */
export function imageIdOf(image: ImageInfo): string {
  const [digest] = image.digests;
  return digest ? `docker-pullable://${digest}` : `docker://${image.id}`;
}

/** The registry part of an image name; '' for the runtime's default registry. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  const isHost =
    rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost');
  return isHost ? first : '';
}

type DockerConfig = {
  readonly auths?: Readonly<
    Record<
      string,
      { readonly username?: string; readonly password?: string; readonly auth?: string }
    >
  >;
};

/** Credentials for the image from the pod's imagePullSecrets. */
export function registryAuth(
  pod: Pod,
  image: string,
  objects: ObjectSource,
): RegistryAuth | undefined {
  const namespace = pod.metadata.namespace ?? 'default';
  const registry = registryOf(image);
  for (const { name = '' } of pod.spec.imagePullSecrets ?? []) {
    const text = objects.secret(namespace, name)?.data?.['.dockerconfigjson'];
    if (text === undefined) continue;
    const { auths = {} } = parseConfig(text);
    for (const [server, entry] of Object.entries(auths)) {
      const host = server.replace(/^https?:\/\//, '').split('/')[0] ?? '';
      // Without a registry in its name, an image belongs to the runtime's default one: any entry may be it.
      if (registry !== '' && host !== registry) continue;
      const decoded = entry.auth ? Buffer.from(entry.auth, 'base64').toString('utf8') : '';
      const colon = decoded.indexOf(':');
      const username = entry.username ?? (colon < 0 ? '' : decoded.slice(0, colon));
      const password = entry.password ?? (colon < 0 ? '' : decoded.slice(colon + 1));
      return { username, password, serveraddress: server };
    }
  }
  return undefined;
}

function parseConfig(base64: string): DockerConfig {
  try {
    return JSON.parse(Buffer.from(base64, 'base64').toString('utf8')) as DockerConfig;
  } catch {
    return {};
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
