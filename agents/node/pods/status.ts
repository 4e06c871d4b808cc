/** The pod's status as the API shows it, computed from its record. Pure. */

import { conditionsOf } from './conditions.ts';
import { shouldRestart } from './decide.ts';
import type { ContainerStatus, Pod, PodStatus } from './kinds.ts';
import { qosClassOf } from './qos.ts';
import {
  type ContainerExit,
  type ContainerRecord,
  containersOf,
  isReady,
  type PodRecord,
} from './record.ts';
import { isoSeconds } from './times.ts';

export type NodeAddresses = {
  /** The node's addresses, the primary one first. */
  readonly hostIPs: readonly string[];
};

export type PodPhaseName = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

type ContainerState = NonNullable<ContainerStatus['state']>;

/** The whole status that this node is responsible for; `previous` is what was shown last. */
export function statusOf(
  record: PodRecord,
  context: { readonly node: NodeAddresses; readonly previous: PodStatus | undefined },
  nowMs: number,
): PodStatus {
  const { node, previous } = context;
  const { pod, lifecycle, sandbox } = record;
  const phase = phaseOf(record);
  const ended = lifecycle.kind === 'finished' || lifecycle.kind === 'deleting';
  const says =
    lifecycle.kind === 'stopping' || lifecycle.kind === 'finished' ? lifecycle : undefined;
  const ips = podIPsOf(record, node);
  const hostIP = node.hostIPs[0];
  const shown = says?.cause === 'failed' && ended ? says : undefined;
  return {
    phase,
    ...(shown?.reason === undefined ? {} : { reason: shown.reason }),
    ...(shown?.message === undefined ? {} : { message: shown.message }),
    ...(hostIP === undefined ? {} : { hostIP, hostIPs: node.hostIPs.map((ip) => ({ ip })) }),
    ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    startTime: isoSeconds(record.startedAtMs),
    qosClass: pod.status?.qosClass ?? qosClassOf(pod),
    conditions: conditionsOf(
      record,
      { phase, sandboxReady: sandbox.kind === 'ready', previous: previous?.conditions ?? [] },
      nowMs,
    ),
    ...containerStatuses(record),
  };
}

/** The addresses of the pod: its own, or the node's for a pod on the host's network. */
export function podIPsOf(record: PodRecord, node: NodeAddresses): readonly string[] {
  const { sandbox } = record;
  if (sandbox.kind === 'absent' || sandbox.kind === 'creating') return [];
  return record.pod.spec.hostNetwork ? node.hostIPs : sandbox.ips;
}

/** The pod's phase, by the rules of upstream. */
export function phaseOf(record: PodRecord): PodPhaseName {
  const { lifecycle } = record;
  const mains = [...record.containers.values()].filter(({ role }) => role === 'main');
  const ended = lifecycle.kind === 'finished' || lifecycle.kind === 'deleting';
  if (ended) {
    if (record.frozen) return frozenPhase(record.pod);
    const cause = lifecycle.kind === 'finished' ? lifecycle.cause : 'deleted';
    const allWell = [...record.containers.values()].every(
      ({ phase, role }) => role === 'sidecar' || role === 'ephemeral' || exitCodeOf(phase) === 0,
    );
    return cause !== 'failed' && allWell ? 'Succeeded' : 'Failed';
  }
  if (!record.initialized) return 'Pending';
  // A container that ran once and waits for its next run leaves the pod Running.
  const waiting = mains.some(
    ({ phase, everCreated }) =>
      (phase.kind === 'waiting' || phase.kind === 'starting') && !everCreated,
  );
  return waiting ? 'Pending' : 'Running';
}

function frozenPhase(pod: Pod): PodPhaseName {
  return pod.status?.phase === 'Succeeded' ? 'Succeeded' : 'Failed';
}

function exitCodeOf(phase: ContainerRecord['phase']): number | undefined {
  return phase.kind === 'exited' ? phase.exit.exitCode : undefined;
}

function containerStatuses(record: PodRecord): Partial<PodStatus> {
  const main: ContainerStatus[] = [];
  const init: ContainerStatus[] = [];
  const ephemeral: ContainerStatus[] = [];
  for (const { spec, role } of containersOf(record.pod)) {
    const container = record.containers.get(spec.name);
    if (container === undefined) continue;
    const list = role === 'main' ? main : role === 'ephemeral' ? ephemeral : init;
    list.push(containerStatus(record, container, spec.image ?? ''));
  }
  return {
    containerStatuses: main,
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
  };
}

function containerStatus(
  record: PodRecord,
  container: ContainerRecord,
  image: string,
): ContainerStatus {
  const { phase, last, role, imageId } = container;
  const current = phase.kind === 'running' || phase.kind === 'stopping' ? phase.id : undefined;
  const id = current ?? (phase.kind === 'exited' ? phase.exit : last)?.containerId;
  const initWell = role === 'init' && phase.kind === 'exited' && phase.exit.exitCode === 0;
  const started = phase.kind === 'stopping' || (phase.kind === 'running' && phase.started);
  return {
    name: container.name,
    image,
    imageID: imageId,
    ...(id ? { containerID: `docker://${id}` } : {}),
    state: stateOf(record, container),
    lastState: lastStateOf(container),
    ready: initWell || isReady(container),
    restartCount: container.restartCount,
    started,
  };
}

function stateOf(record: PodRecord, container: ContainerRecord): ContainerState {
  const { phase } = container;
  switch (phase.kind) {
    case 'running':
    case 'stopping':
      return { running: { startedAt: isoSeconds(phase.startedAtMs) } };
    case 'exited': {
      const { exit } = phase;
      const again =
        record.lifecycle.kind === 'active' && shouldRestart(record, container, exit.exitCode);
      if (exit.reason === 'ContainerCannotRun' && again) {
        const message = exit.message ? { message: exit.message } : {};
        return { waiting: { reason: 'RunContainerError', ...message } };
      }
      return { terminated: terminated(exit) };
    }
    case 'starting':
      return { waiting: { reason: waitingReason(record, container) } };
    case 'waiting': {
      const first = phase.reason === 'ContainerCreating';
      const reason = first ? waitingReason(record, container) : phase.reason;
      return { waiting: { reason, ...(phase.message ? { message: phase.message } : {}) } };
    }
  }
}

/** Main containers of a pod whose init containers are not through show PodInitializing. */
function waitingReason(record: PodRecord, container: ContainerRecord): string {
  const hasInit = (record.pod.spec.initContainers?.length ?? 0) > 0;
  const mainLike = container.role === 'main' || container.role === 'ephemeral';
  return hasInit && (mainLike ? !container.everCreated : true)
    ? 'PodInitializing'
    : 'ContainerCreating';
}

function lastStateOf({ phase, last }: ContainerRecord): ContainerState {
  if (last === undefined) return {};
  if (phase.kind === 'exited' && phase.exit.containerId === last.containerId) return {};
  return { terminated: terminated(last) };
}

function terminated(exit: ContainerExit): NonNullable<ContainerState['terminated']> {
  const { exitCode, reason, message, containerId, startedAtMs, finishedAtMs } = exit;
  return {
    exitCode,
    reason,
    ...(message ? { message } : {}),
    ...(startedAtMs > 0 ? { startedAt: isoSeconds(startedAtMs) } : {}),
    ...(finishedAtMs > 0 ? { finishedAt: isoSeconds(finishedAtMs) } : {}),
    ...(containerId ? { containerID: `docker://${containerId}` } : {}),
  };
}
