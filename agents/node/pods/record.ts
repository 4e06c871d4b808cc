/**
 * What the agent knows of one pod: the desired object and the observed sandbox, volumes and
 * containers, each as one tagged union. Values are never modified; transitions answer a new record.
 */

import { createHash } from 'node:crypto';
import type { Container, EphemeralContainer, Pod } from './kinds.ts';

/** How a container's run ended. Times in milliseconds since the epoch, 0 when unknown. */
export type ContainerExit = {
  readonly containerId: string;
  readonly exitCode: number;
  /** Completed, Error, OOMKilled, ContainerCannotRun, ContainerStatusUnknown, ... */
  readonly reason: string;
  readonly message?: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
};

export type ContainerPhase =
  /** Nothing is under way; may be started from `notBeforeMs` on. */
  | {
      readonly kind: 'waiting';
      readonly reason: string;
      readonly message?: string;
      readonly sinceMs: number;
      readonly notBeforeMs: number;
    }
  /** Image, create, start and the postStart hook are under way. */
  | { readonly kind: 'starting' }
  | {
      readonly kind: 'running';
      readonly id: string;
      readonly startedAtMs: number;
      /** The startup probe has passed, or there is none. */
      readonly started: boolean;
      readonly ready: boolean;
      /** Set when an attempt to stop it failed: when to try again. */
      readonly retryStopAtMs?: number;
    }
  | {
      readonly kind: 'stopping';
      readonly id: string;
      readonly startedAtMs: number;
      readonly ready: boolean;
      /** When SIGKILL is due. */
      readonly deadlineMs: number;
      /** True once the agent itself sent SIGKILL after the deadline. */
      readonly killed: boolean;
    }
  | { readonly kind: 'exited'; readonly exit: ContainerExit };

export type ContainerRole = 'init' | 'sidecar' | 'main' | 'ephemeral';

/** Crash-loop delay: how long from the last exit, and when it was set. */
export type RestartBackoff = { readonly delayMs: number; readonly setAtMs: number };

export type ContainerRecord = {
  readonly name: string;
  readonly role: ContainerRole;
  readonly phase: ContainerPhase;
  /** Runs so far minus one: the restartCount of the current or latest run. */
  readonly restartCount: number;
  /** True once any run was created: the next one counts as a restart. */
  readonly everCreated: boolean;
  /** The latest ended run before the current phase. */
  readonly last?: ContainerExit;
  readonly imageId: string;
  /** Hash of the definition that the current run was made from. */
  readonly hash: string;
  readonly backoff?: RestartBackoff;
  /** Failed pulls in a row. */
  readonly pullFailures: number;
};

export type Sandbox =
  | { readonly kind: 'absent'; readonly attempt: number; readonly notBeforeMs: number }
  | { readonly kind: 'creating'; readonly attempt: number }
  | {
      readonly kind: 'ready';
      readonly id: string;
      readonly attempt: number;
      readonly ips: readonly string[];
    }
  /** Its process ended: it must be taken down and made anew. */
  | {
      readonly kind: 'lost';
      readonly id: string;
      readonly attempt: number;
      readonly ips: readonly string[];
      readonly notBeforeMs: number;
    }
  | {
      readonly kind: 'removing';
      readonly id: string;
      readonly attempt: number;
      readonly ips: readonly string[];
      readonly final: boolean;
    }
  | { readonly kind: 'removed'; readonly ips: readonly string[] };

export type Volumes =
  | { readonly kind: 'absent'; readonly notBeforeMs: number }
  | { readonly kind: 'mounting' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'releasing' }
  | { readonly kind: 'released' };

/**
 * deleted: the object has a deletionTimestamp. vanished: the object is gone. completed: every
 * container ended for good. failed: the agent ends the pod, with a reason for its status.
 */
export type StopCause = 'deleted' | 'vanished' | 'completed' | 'failed';

export type Lifecycle =
  | { readonly kind: 'active' }
  | {
      readonly kind: 'stopping';
      readonly cause: StopCause;
      readonly deadlineMs: number;
      readonly reason?: string;
      readonly message?: string;
    }
  /** Nothing runs, nothing is mounted; the status is final. */
  | {
      readonly kind: 'finished';
      readonly cause: StopCause;
      readonly reason?: string;
      readonly message?: string;
    }
  /** The object is being deleted from the API. */
  | { readonly kind: 'deleting' }
  | { readonly kind: 'gone' };

export type PodRecord = {
  readonly pod: Pod;
  readonly lifecycle: Lifecycle;
  readonly volumes: Volumes;
  readonly sandbox: Sandbox;
  readonly containers: ReadonlyMap<string, ContainerRecord>;
  /** When this node took the pod on. */
  readonly startedAtMs: number;
  /** Init containers have all ended well in the present sandbox. */
  readonly initialized: boolean;
  /** The API showed a terminal phase before we ever ran it: its status is not ours to rewrite. */
  readonly frozen: boolean;
};

/** A container of any role, seen through what all of them have. */
export type AnyContainer = Container | EphemeralContainer;

/** Every container of the pod with its role: init and sidecars in order, then main, then ephemeral. */
export function containersOf(pod: Pod): { spec: AnyContainer; role: ContainerRole }[] {
  const { initContainers = [], containers, ephemeralContainers = [] } = pod.spec;
  return [
    ...initContainers.map((spec) => ({
      spec,
      role: spec.restartPolicy === 'Always' ? ('sidecar' as const) : ('init' as const),
    })),
    ...containers.map((spec) => ({ spec, role: 'main' as const })),
    ...ephemeralContainers.map((spec) => ({ spec, role: 'ephemeral' as const })),
  ];
}

/** The definition of the container with this name. */
export function containerSpec(pod: Pod, name: string): AnyContainer | undefined {
  return containersOf(pod).find(({ spec }) => spec.name === name)?.spec;
}

/** Hash of what a change of makes a running container out of date: its name and image. */
export function hashOf(spec: AnyContainer): string {
  const text = JSON.stringify([spec.name, spec.image ?? '']);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** A record of a pod that nothing was done for yet. */
export function newRecord(pod: Pod, nowMs: number): PodRecord {
  const startTime = pod.status?.startTime;
  const record: PodRecord = {
    pod,
    lifecycle: { kind: 'active' },
    volumes: { kind: 'absent', notBeforeMs: 0 },
    sandbox: { kind: 'absent', attempt: 0, notBeforeMs: 0 },
    containers: new Map(),
    startedAtMs: startTime ? Date.parse(startTime) : nowMs,
    initialized: false,
    frozen: false,
  };
  return withPod(record, pod, nowMs);
}

/** The record with a newer version of the object; containers that the spec gained are added. */
export function withPod(record: PodRecord, pod: Pod, nowMs: number): PodRecord {
  const containers = new Map(record.containers);
  for (const { spec, role } of containersOf(pod)) {
    if (!containers.has(spec.name)) containers.set(spec.name, newContainer(spec, role, nowMs));
  }
  return { ...record, pod, containers };
}

/** The record with some fields of one container replaced; unknown names change nothing. */
export function withContainer(
  record: PodRecord,
  name: string,
  change: Partial<ContainerRecord>,
): PodRecord {
  const old = record.containers.get(name);
  if (old === undefined) return record;
  const containers = new Map(record.containers);
  containers.set(name, { ...old, ...change });
  return { ...record, containers };
}

/** Grace period in seconds for ending the pod: what the deletion says, else what the spec says. */
export function graceSecondsOf(pod: Pod): number {
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
}

/** `name_namespace(uid)`, as messages name a pod. */
export function podLabel(pod: Pod): string {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  return `${name}_${namespace}(${uid})`;
}

/** True while the container serves: running, started, and ready by its probe. */
export function isReady({ phase }: ContainerRecord): boolean {
  if (phase.kind === 'running') return phase.started && phase.ready;
  return phase.kind === 'stopping' && phase.ready;
}

function newContainer(spec: AnyContainer, role: ContainerRole, nowMs: number): ContainerRecord {
  return {
    name: spec.name,
    role,
    phase: { kind: 'waiting', reason: 'ContainerCreating', sinceMs: nowMs, notBeforeMs: 0 },
    restartCount: 0,
    everCreated: false,
    imageId: '',
    hash: hashOf(spec),
    pullFailures: 0,
  };
}
