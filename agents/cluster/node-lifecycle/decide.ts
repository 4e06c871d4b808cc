/** What a node's silence, return or own report means for its conditions, its taints and the pods on it. Pure. */

import type { Node, NodeCondition, Pod, Taint } from '../kinds.ts';
import { isPodReady } from '../pods.ts';
import { TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE, tolerates } from '../taints.ts';
import { isoSeconds } from '../times.ts';
import type { ReportedReadiness } from './protocol.ts';

export type NodeView = {
  /** Nobody hears the node. */
  readonly silent: boolean;
  /** The node has been heard by the leader itself since it was given up. */
  readonly speaking: boolean;
  readonly reported: ReportedReadiness | undefined;
};

const UNKNOWN_REASON = 'NodeStatusUnknown';
const UNKNOWN_MESSAGE = 'The node stopped posting node status.';

/** Conditions that silence makes unknown, and what a node that is heard again has until it says otherwise. */
const HEALTHY: Readonly<Record<string, { status: string; reason: string; message: string }>> = {
  Ready: { status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' },
  MemoryPressure: {
    status: 'False',
    reason: 'KubeletHasSufficientMemory',
    message: 'kubelet has sufficient memory available',
  },
  DiskPressure: {
    status: 'False',
    reason: 'KubeletHasNoDiskPressure',
    message: 'kubelet has no disk pressure',
  },
  PIDPressure: {
    status: 'False',
    reason: 'KubeletHasSufficientPID',
    message: 'kubelet has sufficient PID available',
  },
};

/** Conditions that keep new pods away while they hold. */
const CONDITION_TAINTS: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};

/** Taints this agent sets and removes; all others are the user's. */
const MANAGED_TAINTS: readonly string[] = [
  TAINT_NOT_READY,
  TAINT_UNREACHABLE,
  TAINT_UNSCHEDULABLE,
  ...Object.values(CONDITION_TAINTS),
];

/** The conditions `node` should report, or undefined when they stand already. */
export function decideConditions(
  node: Node,
  view: NodeView,
  nowMs: number,
): NodeCondition[] | undefined {
  const present = node.status?.conditions ?? [];
  const next = present.map((condition) => nextCondition(condition, view, nowMs));
  if (view.silent && !present.some(({ type }) => type === 'Ready')) {
    const never: NodeCondition = { type: 'Ready', status: 'Unknown' };
    next.push(changed(never, unknown(), nowMs));
  }
  return next.some((condition, index) => condition !== present[index]) ? next : undefined;
}

function nextCondition(condition: NodeCondition, view: NodeView, nowMs: number): NodeCondition {
  const healthy = HEALTHY[condition.type];
  if (!healthy) return condition;
  if (view.silent) {
    return condition.status === 'Unknown' ? condition : changed(condition, unknown(), nowMs);
  }
  // Grace after an election is no sign of life: only the node's own word counts.
  if (!view.speaking) return condition;
  if (condition.type === 'Ready') {
    // Once registered, a node tells its readiness by heartbeat; its agent does not write this condition.
    const said = view.reported ?? healthy;
    const same = condition.status === said.status && condition.message === said.message;
    const settled = said === healthy && condition.status === 'True';
    return same || settled ? condition : changed(condition, said, nowMs);
  }
  return condition.status === 'Unknown' ? changed(condition, healthy, nowMs) : condition;
}

function unknown() {
  return { status: 'Unknown', reason: UNKNOWN_REASON, message: UNKNOWN_MESSAGE };
}

function changed(
  condition: NodeCondition,
  news: { readonly status: string; readonly reason: string; readonly message: string },
  nowMs: number,
): NodeCondition {
  const { lastTransitionTime } = condition;
  const since = condition.status === news.status ? lastTransitionTime : undefined;
  return { ...condition, ...news, lastTransitionTime: since ?? isoSeconds(nowMs) };
}

/** The taints that follow from `conditions`, or undefined when the node has just these. */
export function decideTaints(
  node: Node,
  conditions: readonly NodeCondition[],
  nowMs: number,
): Taint[] | undefined {
  const present = node.spec.taints ?? [];
  const wanted = wantedTaints(node, conditions);
  const kept = present.filter(
    (taint) =>
      !MANAGED_TAINTS.includes(taint.key) ||
      wanted.some((other) => other.key === taint.key && other.effect === taint.effect),
  );
  const added = wanted
    .filter((taint) => !kept.some((k) => k.key === taint.key && k.effect === taint.effect))
    .map((taint) => ({ ...taint, timeAdded: isoSeconds(nowMs) }));
  if (added.length === 0 && kept.length === present.length) return undefined;
  return [...kept, ...added];
}

function wantedTaints(node: Node, conditions: readonly NodeCondition[]): Taint[] {
  const taints: Taint[] = [];
  const ready = conditions.find(({ type }) => type === 'Ready')?.status ?? 'False';
  if (ready !== 'True') {
    const key = ready === 'Unknown' ? TAINT_UNREACHABLE : TAINT_NOT_READY;
    taints.push({ key, effect: 'NoSchedule' }, { key, effect: 'NoExecute' });
  }
  for (const { type, status } of conditions) {
    const key = CONDITION_TAINTS[type];
    if (key !== undefined && status === 'True') taints.push({ key, effect: 'NoSchedule' });
  }
  if (node.spec.unschedulable === true) {
    taints.push({ key: TAINT_UNSCHEDULABLE, effect: 'NoSchedule' });
  }
  return taints;
}

/** Pods of a node that is not ready must not be sent requests, whatever they last said of themselves. */
export function podsToMarkNotReady(
  conditions: readonly NodeCondition[],
  pods: readonly Pod[],
): readonly Pod[] {
  const ready = conditions.find(({ type }) => type === 'Ready')?.status;
  return ready === 'True' ? [] : pods.filter(isPodReady);
}

export type Eviction =
  | { readonly kind: 'stays' }
  | { readonly kind: 'leaves'; readonly inMs: number; readonly force: boolean };

/**
 * Whether and when `pod` must leave a node with `taints`. The shortest tolerationSeconds of the tolerations in use counts, from
 * the moment its taint was added. A pod without a toleration for silence or unreadiness gets
 * `defaultTolerationSeconds`. On an unreachable node nobody can confirm the end: the pod is removed by force.
 */
export function decideEviction(
  pod: Pod,
  taints: readonly Taint[],
  options: { readonly defaultTolerationSeconds: number; readonly nowMs: number },
): Eviction {
  const executing = taints.filter(({ effect }) => effect === 'NoExecute');
  const force = executing.some(({ key }) => key === TAINT_UNREACHABLE);
  let inMs: number | undefined;
  for (const taint of executing) {
    const seconds = toleratedSeconds(pod, taint, options.defaultTolerationSeconds);
    if (seconds === undefined) continue;
    const sinceMs = Date.parse(taint.timeAdded ?? '');
    const fromMs = Number.isNaN(sinceMs) ? options.nowMs : sinceMs;
    const dueMs = Math.max(0, fromMs + seconds * 1000 - options.nowMs);
    if (inMs === undefined || dueMs < inMs) inMs = dueMs;
  }
  // What is already on its way out of a dead node waits for an answer that will not come.
  const leaving = pod.metadata.deletionTimestamp !== undefined;
  if (inMs === undefined || (leaving && !force)) return { kind: 'stays' };
  return { kind: 'leaves', inMs, force };
}

/** Seconds the pod puts up with `taint`; undefined for ever. */
function toleratedSeconds(pod: Pod, taint: Taint, byDefault: number): number | undefined {
  const covering = (pod.spec.tolerations ?? []).filter((toleration) =>
    tolerates(toleration, taint),
  );
  if (covering.length === 0) {
    return taint.key === TAINT_NOT_READY || taint.key === TAINT_UNREACHABLE ? byDefault : 0;
  }
  const limits = covering.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
  return limits.length === 0 ? undefined : Math.max(0, Math.min(...limits));
}
