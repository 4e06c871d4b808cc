/**
 * The words `kubectl get pods` shows: the STATUS that sums up phase, container states and deletion, the READY
 * count, and restarts with the time since the last.
 */
import type { ContainerStatus, Pod } from '../generated/kinds.ts';
import { ageOf } from '../human-duration.ts';

export type PodSummary = {
  /** `Running`, `Init:0/1`, `CrashLoopBackOff`, `Terminating`, ... */
  readonly status: string;
  /** `1/2`. */
  readonly ready: string;
  /** `3 (5m ago)`. */
  readonly restarts: string;
};

type Tally = { restarts: number; lastRestart: string; ready: number };

/** Sums up a pod as upstream's printer does. */
export function summarizePod(pod: Pod, nowMs: number): PodSummary {
  const sidecars = new Set(
    (pod.spec?.initContainers ?? [])
      .filter((container) => container.restartPolicy === 'Always')
      .map((container) => container.name),
  );
  const total = (pod.spec?.containers ?? []).length + sidecars.size;
  const init = initProgress(pod, sidecars);
  let tally = init.tally;
  let status = init.reason ?? phaseReason(pod);
  if (init.reason === undefined || hasCondition(pod, 'Initialized')) {
    // Restarts of init containers are forgotten once they are done; those of sidecars count on.
    tally = init.sidecarTally;
    status = mainStatus(pod, status, tally);
  }
  status = deletionStatus(pod, status);
  const last = tally.lastRestart;
  return {
    status,
    ready: `${tally.ready}/${total}`,
    restarts:
      tally.restarts > 0 && last !== ''
        ? `${tally.restarts} (${ageOf(last, nowMs)} ago)`
        : String(tally.restarts),
  };
}

function phaseReason(pod: Pod): string {
  const gated = (pod.status?.conditions ?? []).some(
    (condition) => condition.type === 'PodScheduled' && condition.reason === 'SchedulingGated',
  );
  if (gated) return 'SchedulingGated';
  return pod.status?.reason || pod.status?.phase || '';
}

type InitProgress = { reason: string | undefined; tally: Tally; sidecarTally: Tally };

function initProgress(pod: Pod, sidecars: ReadonlySet<string>): InitProgress {
  const tally: Tally = { restarts: 0, lastRestart: '', ready: 0 };
  const sidecarTally: Tally = { restarts: 0, lastRestart: '', ready: 0 };
  const statuses = pod.status?.initContainerStatuses ?? [];
  const total = (pod.spec?.initContainers ?? []).length;
  for (const [index, container] of statuses.entries()) {
    countRestarts(container, tally);
    const sidecar = sidecars.has(container.name);
    if (sidecar) countRestarts(container, sidecarTally);
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecar && container.started === true) {
      if (container.ready) {
        tally.ready += 1;
        sidecarTally.ready += 1;
      }
      continue;
    }
    if (terminated !== undefined) {
      return { reason: `Init:${terminationReason(terminated)}`, tally, sidecarTally };
    }
    if (waiting?.reason !== undefined && !['', 'PodInitializing'].includes(waiting.reason)) {
      return { reason: `Init:${waiting.reason}`, tally, sidecarTally };
    }
    return { reason: `Init:${index}/${total}`, tally, sidecarTally };
  }
  return { reason: undefined, tally, sidecarTally };
}

function mainStatus(pod: Pod, initial: string, tally: Tally): string {
  let status = initial;
  let running = false;
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestarts(container, tally);
    const state = container.state ?? {};
    if (state.waiting?.reason) status = state.waiting.reason;
    else if (state.terminated !== undefined) status = terminationReason(state.terminated);
    else if (container.ready && state.running !== undefined) {
      running = true;
      tally.ready += 1;
    }
  }
  // One container has ended while another runs: the pod as a whole still runs.
  if (status === 'Completed' && running) {
    return hasCondition(pod, 'Ready') ? 'Running' : 'NotReady';
  }
  return status;
}

function deletionStatus(pod: Pod, status: string): string {
  if (pod.metadata.deletionTimestamp === undefined) return status;
  if (pod.status?.reason === 'NodeLost') return 'Unknown';
  const phase = pod.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed' ? status : 'Terminating';
}

type Terminated = NonNullable<NonNullable<ContainerStatus['state']>['terminated']>;

function terminationReason(terminated: Terminated): string {
  if (terminated.reason) return terminated.reason;
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
}

function countRestarts(container: ContainerStatus, tally: Tally): void {
  tally.restarts += container.restartCount ?? 0;
  const finished = container.lastState?.terminated?.finishedAt ?? '';
  if (finished > tally.lastRestart) tally.lastRestart = finished;
}

function hasCondition(pod: Pod, type: string): boolean {
  return (pod.status?.conditions ?? []).some(
    (condition) => condition.type === type && condition.status === 'True',
  );
}
