/** The pod conditions that the node is responsible for, worded as upstream. Pure. */

import type { Pod, PodCondition } from './kinds.ts';
import { type ContainerRecord, isReady, type PodRecord } from './record.ts';
import { isoSeconds } from './times.ts';

type Verdict = { readonly ok: boolean; readonly reason?: string; readonly message?: string };

/**
 * PodReadyToStartContainers, Initialized, Ready, ContainersReady and PodScheduled. The transition time
 * of a condition whose status did not change is kept.
 */
export function conditionsOf(
  record: PodRecord,
  seen: {
    readonly phase: string;
    readonly sandboxReady: boolean;
    readonly previous: readonly PodCondition[];
  },
  nowMs: number,
): PodCondition[] {
  const { pod } = record;
  const { previous } = seen;
  const condition = (type: string, verdict: Verdict) => conditionOf(previous, type, verdict, nowMs);
  const initialized = initializedVerdict(record, seen.phase);
  const containersReady = containersReadyVerdict(record, seen.phase);
  const ready = readyVerdict(pod, containersReady);
  return [
    condition('PodReadyToStartContainers', { ok: seen.sandboxReady }),
    condition('Initialized', initialized),
    condition('Ready', ready),
    condition('ContainersReady', containersReady),
    condition('PodScheduled', { ok: true }),
  ];
}

function conditionOf(
  previous: readonly PodCondition[],
  type: string,
  verdict: Verdict,
  nowMs: number,
): PodCondition {
  const status = verdict.ok ? 'True' : 'False';
  const old = previous.find((other) => other.type === type);
  const kept = old?.status === status ? old.lastTransitionTime : undefined;
  return {
    type,
    status,
    ...(verdict.reason ? { reason: verdict.reason } : {}),
    ...(verdict.message ? { message: verdict.message } : {}),
    lastTransitionTime: kept ?? isoSeconds(nowMs),
  };
}

function initializedVerdict(record: PodRecord, phase: string): Verdict {
  if (phase === 'Succeeded') return { ok: true, reason: 'PodCompleted' };
  const incomplete = [...record.containers.values()].filter(
    (container) =>
      (container.role === 'init' && !endedWell(container)) ||
      (container.role === 'sidecar' && !hasStarted(container)),
  );
  if (record.initialized || incomplete.length === 0) return { ok: true };
  const names = incomplete.map(({ name }) => name).join(' ');
  return {
    ok: false,
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${names}]`,
  };
}

function containersReadyVerdict(record: PodRecord, phase: string): Verdict {
  if (phase === 'Succeeded') return { ok: false, reason: 'PodCompleted' };
  if (phase === 'Failed') return { ok: false, reason: 'PodFailed' };
  const unready = [...record.containers.values()].filter(
    (container) =>
      (container.role === 'main' || container.role === 'sidecar') && !isReady(container),
  );
  if (unready.length === 0) return { ok: true };
  const names = unready.map(({ name }) => name).join(' ');
  return {
    ok: false,
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${names}]`,
  };
}

function readyVerdict(pod: Pod, containersReady: Verdict): Verdict {
  if (!containersReady.ok) return containersReady;
  const problems: string[] = [];
  for (const { conditionType } of pod.spec.readinessGates ?? []) {
    const gate = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (gate === undefined) {
      problems.push(
        `corresponding condition of pod readiness gate "${conditionType}" does not exist.`,
      );
    } else if (gate.status !== 'True') {
      problems.push(
        `the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`,
      );
    }
  }
  if (problems.length === 0) return { ok: true };
  return { ok: false, reason: 'ReadinessGatesNotReady', message: problems.join(', ') };
}

function endedWell({ phase }: ContainerRecord): boolean {
  return phase.kind === 'exited' && phase.exit.exitCode === 0;
}

function hasStarted({ phase }: ContainerRecord): boolean {
  return phase.kind === 'running' && phase.started;
}
