/** How a pod's record changes: when a decided action begins, and when the world answers. Pure. */

import { unreachable } from '../../../src/lib/invariant.ts';
import type { Action } from './decide.ts';
import type { Pod } from './kinds.ts';
import {
  type ContainerExit,
  type ContainerPhase,
  type ContainerRecord,
  containerSpec,
  graceSecondsOf,
  hashOf,
  type PodRecord,
  podLabel,
  withContainer,
  withPod,
} from './record.ts';
import { goDuration } from './restart-backoff.ts';

/** First and longest delay between pulls of an image that fails. */
const PULL_BACKOFF_INITIAL_MS = 10_000;
const PULL_BACKOFF_MAX_MS = 300_000;

/** What a pod gets to end when nobody waits for it anymore. */
const VANISHED_GRACE_MS_MAX = 2_000;

/** Marks `action` as under way, so that it is not decided again. */
export function begin(record: PodRecord, action: Action, nowMs: number): PodRecord {
  switch (action.kind) {
    case 'mount-volumes':
      return { ...record, volumes: { kind: 'mounting' } };
    case 'release-volumes':
      return { ...record, volumes: { kind: 'releasing' } };
    case 'create-sandbox':
      return { ...record, sandbox: { kind: 'creating', attempt: action.attempt } };
    case 'remove-sandbox':
      return beginRemoveSandbox(record, action.final);
    case 'start-container':
      return beginStart(record, action);
    case 'back-off':
      return beginBackOff(record, action, nowMs);
    case 'image-back-off':
      return beginImageBackOff(record, action.name, nowMs);
    case 'stop-container':
      return changePhase(record, action.name, (phase) =>
        phase.kind === 'running'
          ? {
              kind: 'stopping',
              id: phase.id,
              startedAtMs: phase.startedAtMs,
              ready: phase.ready,
              deadlineMs: nowMs + action.graceMs,
              killed: false,
            }
          : phase,
      );
    case 'kill-container':
      return changePhase(record, action.name, (phase) =>
        phase.kind === 'stopping' ? { ...phase, killed: true } : phase,
      );
    case 'stop-pod': {
      const { cause, deadlineMs, reason, message } = action;
      return {
        ...record,
        lifecycle: {
          kind: 'stopping',
          cause,
          deadlineMs,
          ...(reason === undefined ? {} : { reason }),
          ...(message === undefined ? {} : { message }),
        },
      };
    }
    case 'finish-pod':
      return finish(record);
    case 'delete-object':
      return { ...record, lifecycle: { kind: 'deleting' } };
    case 'forget':
      return { ...record, lifecycle: { kind: 'gone' } };
    default:
      unreachable(action);
  }
}

/** The API shows a newer version of the pod: a deletion that shortens the grace shortens waits. */
export function podChanged(record: PodRecord, pod: Pod, nowMs: number): PodRecord {
  const next = withPod(record, pod, nowMs);
  const { lifecycle } = next;
  if (lifecycle.kind !== 'stopping' || !pod.metadata.deletionTimestamp) return next;
  return endBy({ ...next, lifecycle }, nowMs + graceSecondsOf(pod) * 1000);
}

/**
 * The object is gone from the API, which is how a deletion by force looks from here: whatever still runs must end, with little time
 * to do so, whatever grace it was or would have been given.
 */
export function podVanished(record: PodRecord, nowMs: number): PodRecord {
  const { lifecycle } = record;
  const graceMs = Math.min(graceSecondsOf(record.pod) * 1000, VANISHED_GRACE_MS_MAX);
  const deadlineMs = nowMs + graceMs;
  switch (lifecycle.kind) {
    case 'active':
      return { ...record, lifecycle: { kind: 'stopping', cause: 'vanished', deadlineMs } };
    case 'stopping':
      return endBy({ ...record, lifecycle: { ...lifecycle, cause: 'vanished' } }, deadlineMs);
    case 'finished':
      return { ...record, lifecycle: { ...lifecycle, cause: 'vanished' } };
    case 'deleting':
      return { ...record, lifecycle: { kind: 'finished', cause: 'vanished' } };
    case 'gone':
      return record;
    default:
      unreachable(lifecycle);
  }
}

type Stopping = PodRecord & { readonly lifecycle: { readonly kind: 'stopping' } };

/** Brings the deadlines of a stopping pod and its containers forward, never back. */
function endBy(record: Stopping, latestMs: number): PodRecord {
  const { lifecycle } = record;
  const deadlineMs = Math.min(lifecycle.deadlineMs, latestMs);
  const containers = new Map(record.containers);
  for (const [name, container] of containers) {
    const { phase } = container;
    if (phase.kind !== 'stopping' || phase.deadlineMs <= deadlineMs) continue;
    containers.set(name, { ...container, phase: { ...phase, deadlineMs } });
  }
  return { ...record, containers, lifecycle: { ...lifecycle, deadlineMs } };
}

/** A container runs: it was started, or found running after a restart of ours. */
export function containerRunning(
  record: PodRecord,
  name: string,
  run: {
    readonly id: string;
    readonly startedAtMs: number;
    readonly restartCount: number;
    readonly imageId: string;
    readonly hash: string;
  },
): PodRecord {
  const spec = containerSpec(record.pod, name);
  const probed = spec?.startupProbe !== undefined;
  const started = !probed;
  const ready = started && spec?.readinessProbe === undefined;
  const { id, startedAtMs, restartCount, imageId, hash } = run;
  return withContainer(record, name, {
    phase: { kind: 'running', id, startedAtMs, started, ready },
    restartCount,
    imageId,
    hash,
    everCreated: true,
    pullFailures: 0,
  });
}

/** A container's run is over. */
export function containerExited(record: PodRecord, name: string, exit: ContainerExit): PodRecord {
  const container = record.containers.get(name);
  if (container?.phase.kind === 'exited' && container.phase.exit.containerId === exit.containerId) {
    return record;
  }
  const next = withContainer(record, name, {
    phase: { kind: 'exited', exit },
    everCreated: true,
  });
  return { ...next, initialized: next.initialized || initDone(next) };
}

/** A container could not be started for a reason that may pass: it waits and shows why. */
export function containerWaits(
  record: PodRecord,
  name: string,
  why: { readonly reason: string; readonly message: string; readonly retryMs: number },
  nowMs: number,
): PodRecord {
  const { reason, message, retryMs } = why;
  return withContainer(record, name, {
    phase: { kind: 'waiting', reason, message, sinceMs: nowMs, notBeforeMs: nowMs + retryMs },
  });
}

/** An image could not be had: the delay before the next pull doubles. */
export function pullFailed(
  record: PodRecord,
  name: string,
  message: string,
  nowMs: number,
): PodRecord {
  const failures = record.containers.get(name)?.pullFailures ?? 0;
  const retryMs = Math.min(
    PULL_BACKOFF_MAX_MS,
    PULL_BACKOFF_INITIAL_MS * 2 ** Math.min(failures, 10),
  );
  const next = containerWaits(record, name, { reason: 'ErrImagePull', message, retryMs }, nowMs);
  return withContainer(next, name, { pullFailures: failures + 1 });
}

/** An attempt to end a container failed or took too long: it counts as running and is tried again. */
export function stopFailed(record: PodRecord, name: string, retryAtMs: number): PodRecord {
  return changePhase(record, name, (phase) =>
    phase.kind === 'stopping'
      ? {
          kind: 'running',
          id: phase.id,
          startedAtMs: phase.startedAtMs,
          started: true,
          ready: false,
          retryStopAtMs: retryAtMs,
        }
      : phase,
  );
}

/** A probe changed what is known of a running container. */
export function probed(
  record: PodRecord,
  name: string,
  change: { readonly started?: boolean; readonly ready?: boolean },
): PodRecord {
  const next = changePhase(record, name, (phase) => {
    if (phase.kind === 'running') return { ...phase, ...change };
    if (phase.kind === 'stopping' && change.ready !== undefined) {
      return { ...phase, ready: change.ready };
    }
    return phase;
  });
  return { ...next, initialized: next.initialized || initDone(next) };
}

/** The sandbox's process ended by itself. */
export function sandboxLost(record: PodRecord, retryMs: number, nowMs: number): PodRecord {
  const { sandbox } = record;
  if (sandbox.kind !== 'ready') return record;
  const { id, attempt, ips } = sandbox;
  const notBeforeMs = nowMs + retryMs;
  return { ...record, sandbox: { kind: 'lost', id, attempt, ips, notBeforeMs } };
}

/** The sandbox is taken down; a new one begins with the init containers. */
export function sandboxRemoved(record: PodRecord, nowMs: number): PodRecord {
  const { sandbox } = record;
  if (sandbox.kind !== 'removing') return record;
  if (sandbox.final) return { ...record, sandbox: { kind: 'removed', ips: sandbox.ips } };
  const containers = new Map(record.containers);
  for (const [name, container] of containers) {
    const { phase, role } = container;
    if (role !== 'init' || phase.kind !== 'exited' || phase.exit.exitCode !== 0) continue;
    containers.set(name, {
      ...container,
      last: phase.exit,
      phase: { kind: 'waiting', reason: 'PodInitializing', sinceMs: nowMs, notBeforeMs: 0 },
    });
  }
  return {
    ...record,
    containers,
    initialized: false,
    sandbox: { kind: 'absent', attempt: sandbox.attempt + 1, notBeforeMs: 0 },
  };
}

/** True when every init container ended well and every sidecar has started. */
export function initDone(record: PodRecord): boolean {
  return [...record.containers.values()].every(({ role, phase }) => {
    if (role === 'init') return phase.kind === 'exited' && phase.exit.exitCode === 0;
    if (role === 'sidecar') return phase.kind === 'running' && phase.started;
    return true;
  });
}

function changePhase(
  record: PodRecord,
  name: string,
  change: (phase: ContainerPhase) => ContainerPhase,
): PodRecord {
  const container = record.containers.get(name);
  if (container === undefined) return record;
  return withContainer(record, name, { phase: change(container.phase) });
}

function beginRemoveSandbox(record: PodRecord, final: boolean): PodRecord {
  const { sandbox } = record;
  if (sandbox.kind !== 'ready' && sandbox.kind !== 'lost') return record;
  const { id, attempt, ips } = sandbox;
  return { ...record, sandbox: { kind: 'removing', id, attempt, ips, final } };
}

function beginStart(
  record: PodRecord,
  action: Extract<Action, { kind: 'start-container' }>,
): PodRecord {
  const container = record.containers.get(action.name);
  if (container === undefined) return record;
  const { phase } = container;
  const spec = containerSpec(record.pod, action.name);
  const initialized =
    record.initialized || container.role === 'main' || container.role === 'ephemeral';
  const backoff = action.backoff;
  return withContainer({ ...record, initialized }, action.name, {
    phase: { kind: 'starting' },
    ...(phase.kind === 'exited' ? { last: phase.exit } : {}),
    ...(backoff ? { backoff } : {}),
    ...(spec ? { hash: hashOf(spec) } : {}),
  });
}

function beginBackOff(
  record: PodRecord,
  action: Extract<Action, { kind: 'back-off' }>,
  nowMs: number,
): PodRecord {
  const { name, exit, delayMs, untilMs } = action;
  const label = podLabel(record.pod);
  const message = `back-off ${goDuration(delayMs)} restarting failed container=${name} pod=${label}`;
  return withContainer(record, name, {
    last: exit,
    phase: {
      kind: 'waiting',
      reason: 'CrashLoopBackOff',
      message,
      sinceMs: nowMs,
      notBeforeMs: untilMs,
    },
  });
}

function beginImageBackOff(record: PodRecord, name: string, nowMs: number): PodRecord {
  const image = containerSpec(record.pod, name)?.image ?? '';
  return changePhase(record, name, (phase) =>
    phase.kind === 'waiting'
      ? {
          ...phase,
          reason: 'ImagePullBackOff',
          message: `Back-off pulling image "${image}"${phase.message ? `: ErrImagePull: ${phase.message}` : ''}`,
          sinceMs: nowMs,
        }
      : phase,
  );
}

/** What cannot be located when the pod has ended is reported as ended, as upstream does. */
function finish(record: PodRecord): PodRecord {
  const { lifecycle } = record;
  if (lifecycle.kind !== 'stopping') return record;
  const { cause, reason, message } = lifecycle;
  const containers = new Map<string, ContainerRecord>();
  for (const [name, container] of record.containers) {
    containers.set(name, settled(container));
  }
  return {
    ...record,
    containers,
    lifecycle: {
      kind: 'finished',
      cause,
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
    },
  };
}

function settled(container: ContainerRecord): ContainerRecord {
  const { phase, last } = container;
  if (phase.kind === 'exited') return container;
  // Back in a crash loop, or never started: the latest run's outcome stands.
  const exit: ContainerExit = last ?? {
    containerId: '',
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
    startedAtMs: 0,
    finishedAtMs: 0,
  };
  return { ...container, phase: { kind: 'exited', exit } };
}
