/** Starts one container of a pod: image, checks, environment, mounts, create, start, postStart. */

import { hasCode, messageOf } from '../../../src/lib/errors.ts';
import { bounded } from './deadlines.ts';
import { fieldsOf, type PodServices } from './deps.ts';
import { buildEnv } from './env.ts';
import { etcMounts, terminationMount } from './etc-writer.ts';
import { type EventText, podSubject } from './events.ts';
import { exitOf } from './exits.ts';
import { runHook } from './hooks.ts';
import { imageIdOf } from './images.ts';
import type { Pod } from './kinds.ts';
import type { ContainerRequest, ImageInfo } from './ports.ts';
import { type AnyContainer, type ContainerExit, type ContainerRole, hashOf } from './record.ts';
import { containerRequest } from './requests.ts';
import { rootRefusal } from './security.ts';
import { mountsOf } from './volumes/mounts.ts';

export type StartRequest = {
  readonly pod: Pod;
  readonly spec: AnyContainer;
  readonly role: ContainerRole;
  readonly restartCount: number;
  readonly sandboxId: string;
  readonly podIPs: readonly string[];
  /** Container id of an ephemeral container's target. */
  readonly targetId?: string;
};

export type StartOutcome =
  | {
      readonly kind: 'running';
      readonly id: string;
      readonly startedAtMs: number;
      readonly imageId: string;
      readonly hash: string;
      /** Set when the postStart hook failed: the container must be ended. */
      readonly hookFailure?: string;
    }
  /** Not started, for a reason that may pass. */
  | {
      readonly kind: 'waits';
      readonly reason: string;
      readonly message: string;
      readonly created: boolean;
    }
  | { readonly kind: 'pull-failed'; readonly message: string }
  /** Created, but its process could not be run. */
  | { readonly kind: 'exited'; readonly exit: ContainerExit; readonly imageId: string };

/** An error that ends the start with a waiting reason. */
class Waits extends Error {
  readonly outcome: StartOutcome;
  constructor(outcome: StartOutcome) {
    super(outcome.kind);
    this.outcome = outcome;
  }
}

/** Performs the start. Rejects only when the signal fires. */
export async function startContainer(
  services: PodServices,
  request: StartRequest,
  signal: AbortSignal,
): Promise<StartOutcome> {
  const tell = teller(services, request);
  try {
    const image = await imageFor(services, request, tell, signal);
    const body = await prepare(services, request, image, tell);
    return await run(services, request, { body, image, tell, signal });
  } catch (error) {
    if (error instanceof Waits) return error.outcome;
    if (hasCode(error, 'aborted')) throw error;
    const message = messageOf(error);
    tell({ type: 'Warning', reason: 'Failed', message: `Error: ${message}` });
    return { kind: 'waits', reason: 'CreateContainerError', message, created: false };
  }
}

type Tell = (event: EventText) => void;

async function imageFor(
  services: PodServices,
  { pod, spec }: StartRequest,
  tell: Tell,
  signal: AbortSignal,
): Promise<ImageInfo> {
  const { image: name = '' } = spec;
  const onPull = () =>
    tell({ type: 'Normal', reason: 'Pulling', message: `Pulling image "${name}"` });
  const wanted = { image: name, policy: spec.imagePullPolicy };
  const outcome = await services.images.ensure(pod, wanted, { onPull, signal });
  const present = `Container image "${name}" already present on machine`;
  switch (outcome.kind) {
    case 'present':
      tell({ type: 'Normal', reason: 'Pulled', message: present });
      return outcome.image;
    case 'fallback':
      tell({
        type: 'Warning',
        reason: 'RegistryUnreachable',
        message: `No registry answered for image "${name}", using the one on this machine: ${outcome.message}`,
      });
      tell({ type: 'Normal', reason: 'Pulled', message: present });
      return outcome.image;
    case 'pulled': {
      const took = `${(outcome.tookMs / 1000).toFixed(3)}s`;
      const message = `Successfully pulled image "${name}" in ${took} (${took} including waiting). Image size: ${outcome.image.sizeBytes} bytes.`;
      tell({ type: 'Normal', reason: 'Pulled', message });
      return outcome.image;
    }
    case 'never': {
      const { message } = outcome;
      tell({ type: 'Warning', reason: 'ErrImageNeverPull', message });
      tell({ type: 'Warning', reason: 'Failed', message: 'Error: ErrImageNeverPull' });
      throw new Waits({ kind: 'waits', reason: 'ErrImageNeverPull', message, created: false });
    }
    case 'failed': {
      const { message } = outcome;
      tell({
        type: 'Warning',
        reason: 'Failed',
        message: `Failed to pull image "${name}": ${message}`,
      });
      tell({ type: 'Warning', reason: 'Failed', message: 'Error: ErrImagePull' });
      throw new Waits({ kind: 'pull-failed', message });
    }
  }
}

/** Builds what the runtime is asked for; what is missing shows as CreateContainerConfigError. */
async function prepare(
  services: PodServices,
  request: StartRequest,
  image: ImageInfo,
  tell: Tell,
): Promise<ContainerRequest> {
  const { settings, objects, volumes } = services;
  const { pod, spec, restartCount, sandboxId, podIPs, targetId } = request;
  const refuse = (message: string): never => {
    tell({ type: 'Warning', reason: 'Failed', message: `Error: ${message}` });
    const reason = 'CreateContainerConfigError';
    throw new Waits({ kind: 'waits', reason, message, created: false });
  };
  const refusal = rootRefusal(pod, spec, image.user);
  if (refusal !== undefined) return refuse(refusal);
  const ips = pod.spec.hostNetwork ? settings.hostIPs : podIPs;
  const built = buildEnv(fieldsOf(settings, pod, ips), spec, objects);
  if (built.kind === 'missing') return refuse(built.message);
  const mounted = await mountsOf(volumes, pod, spec, built.env);
  if (mounted.kind === 'refused') return refuse(mounted.message);
  const mounts = [
    ...mounted.mounts,
    ...etcMounts(settings, pod, spec),
    await terminationMount(settings, pod, spec, restartCount),
  ];
  return containerRequest(pod, spec, {
    settings,
    sandboxId,
    restartCount,
    env: built.env,
    mounts,
    imageUser: image.user,
    ...(targetId === undefined ? {} : { targetId }),
  });
}

async function run(
  services: PodServices,
  request: StartRequest,
  how: {
    readonly body: ContainerRequest;
    readonly image: ImageInfo;
    readonly tell: Tell;
    readonly signal: AbortSignal;
  },
): Promise<StartOutcome> {
  const { runtime, clock, slots } = services;
  const { pod, spec } = request;
  const { body, image, tell, signal } = how;
  const call = { clock, signal };
  const imageId = imageIdOf(image);
  const started = await slots.run(async () => {
    const id = await bounded('create', call, (inner) => runtime.create(body, inner));
    tell({ type: 'Normal', reason: 'Created', message: `Created container: ${spec.name}` });
    try {
      await bounded('start', call, (inner) => runtime.start(id, inner));
      return { id, failure: undefined };
    } catch (error) {
      if (hasCode(error, 'aborted')) throw error;
      return { id, failure: messageOf(error) };
    }
  }, signal);
  const { id, failure } = started;
  if (failure !== undefined)
    return startFailed(services, request, { ...how, id, failure, imageId });
  const startedAtMs = clock.nowMs();
  tell({ type: 'Normal', reason: 'Started', message: `Started container ${spec.name}` });
  const running = { kind: 'running', id, startedAtMs, imageId, hash: hashOf(spec) } as const;
  const hook = spec.lifecycle?.postStart;
  if (hook === undefined) return running;
  const result = await runHook(
    services,
    { pod, spec, id, podIPs: request.podIPs },
    hook,
    signal,
  ).catch(
    // The pod ends while its hook runs: the container is ended with the rest.
    () => ({ kind: 'passed' as const }),
  );
  if (result.kind === 'passed') return running;
  tell({
    type: 'Warning',
    reason: 'FailedPostStartHook',
    message: `PostStartHook failed: ${result.message}`,
  });
  return { ...running, hookFailure: result.message };
}

async function startFailed(
  services: PodServices,
  { pod, spec }: StartRequest,
  how: {
    readonly id: string;
    readonly failure: string;
    readonly imageId: string;
    readonly tell: Tell;
    readonly signal: AbortSignal;
  },
): Promise<StartOutcome> {
  const { id, failure, imageId, tell, signal } = how;
  tell({
    type: 'Warning',
    reason: 'Failed',
    message: `Error: failed to start container "${spec.name}": ${failure}`,
  });
  const call = { clock: services.clock, signal };
  const info = await bounded('inspect', call, (inner) => services.runtime.inspect(id, inner));
  if (info === undefined) {
    return { kind: 'waits', reason: 'RunContainerError', message: failure, created: true };
  }
  const exit = await exitOf(services, pod, spec.name, info, signal);
  const message = exit.message ?? failure;
  return { kind: 'exited', imageId, exit: { ...exit, message } };
}

function teller(services: PodServices, { pod, spec, role }: StartRequest): Tell {
  const field =
    role === 'main'
      ? 'containers'
      : role === 'ephemeral'
        ? 'ephemeralContainers'
        : 'initContainers';
  const subject = podSubject(pod, { field, name: spec.name });
  return (event) => services.events.record(subject, event);
}
