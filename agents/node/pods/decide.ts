/**
 * The policy of a pod: from what is known and the time, which steps to take now and when to look
 * again. Pure. The shell marks each step as under way before it performs it, so that the same step
 * is never decided twice.
 */

import { unreachable } from '../../../src/lib/invariant.ts';
import {
  type ContainerExit,
  type ContainerRecord,
  containerSpec,
  graceSecondsOf,
  hashOf,
  type Lifecycle,
  type PodRecord,
  type RestartBackoff,
  type StopCause,
} from './record.ts';
import {
  decideRestart,
  RESTART_BACKOFF_DEFAULTS,
  type RestartBackoffOptions,
} from './restart-backoff.ts';

export type StopReason =
  | 'pod-ends'
  | 'sandbox-lost'
  | 'definition-changed'
  | 'retry'
  | 'liveness'
  | 'startup'
  | 'post-start';

export type Action =
  | { readonly kind: 'mount-volumes' }
  | { readonly kind: 'release-volumes' }
  | { readonly kind: 'create-sandbox'; readonly attempt: number }
  | { readonly kind: 'remove-sandbox'; readonly final: boolean }
  | {
      readonly kind: 'start-container';
      readonly name: string;
      readonly restartCount: number;
      readonly backoff: RestartBackoff | undefined;
    }
  /** Shows CrashLoopBackOff until the delay is over. */
  | {
      readonly kind: 'back-off';
      readonly name: string;
      readonly exit: ContainerExit;
      readonly delayMs: number;
      readonly untilMs: number;
    }
  /** Turns ErrImagePull into ImagePullBackOff while the delay runs. */
  | { readonly kind: 'image-back-off'; readonly name: string }
  | {
      readonly kind: 'stop-container';
      readonly name: string;
      readonly id: string;
      readonly graceMs: number;
      readonly reason: StopReason;
    }
  | { readonly kind: 'kill-container'; readonly name: string; readonly id: string }
  | {
      readonly kind: 'stop-pod';
      readonly cause: StopCause;
      readonly deadlineMs: number;
      readonly reason?: string;
      readonly message?: string;
    }
  | { readonly kind: 'finish-pod' }
  | { readonly kind: 'delete-object' }
  | { readonly kind: 'forget' };

export type Decision = {
  readonly actions: readonly Action[];
  /** When to decide again if nothing happens before. */
  readonly wakeAtMs: number | undefined;
};

export type DecideOptions = {
  readonly backoff: RestartBackoffOptions;
};

/** SIGKILL of our own follows when the runtime has not ended a container this long after its grace. */
const KILL_MARGIN_MS = 2_000;
/** ErrImagePull is shown this long before it reads ImagePullBackOff. */
const PULL_ERROR_SHOWN_MS = 2_000;
/** Least time a stopped container gets, as upstream. */
const GRACE_MS_MIN = 2_000;

/** The next steps for a pod at `nowMs` (wall time). */
export function decide(
  record: PodRecord,
  nowMs: number,
  options: DecideOptions = { backoff: RESTART_BACKOFF_DEFAULTS },
): Decision {
  const plan = new Plan(nowMs, options);
  const { lifecycle } = record;
  switch (lifecycle.kind) {
    case 'active':
      decideActive(record, plan);
      break;
    case 'stopping':
      decideStopping(record, lifecycle, plan);
      break;
    case 'finished':
      if (lifecycle.cause === 'vanished') plan.act({ kind: 'forget' });
      else if (record.pod.metadata.deletionTimestamp) plan.act({ kind: 'delete-object' });
      break;
    case 'deleting':
    case 'gone':
      break;
    default:
      unreachable(lifecycle);
  }
  return plan.decision();
}

/** Whether a container that ended is to run again. */
export function shouldRestart(
  record: PodRecord,
  container: ContainerRecord,
  exitCode: number,
): boolean {
  if (container.role === 'ephemeral') return false;
  if (container.role === 'sidecar') return true;
  const policy = record.pod.spec.restartPolicy ?? 'Always';
  if (policy === 'Never') return false;
  if (container.role === 'init' || policy === 'OnFailure') return exitCode !== 0;
  return true;
}

/** Collects actions and the earliest time at which something falls due. */
class Plan {
  readonly nowMs: number;
  readonly options: DecideOptions;
  readonly #actions: Action[] = [];
  #wakeAtMs: number | undefined;

  constructor(nowMs: number, options: DecideOptions) {
    this.nowMs = nowMs;
    this.options = options;
  }

  act(action: Action): void {
    this.#actions.push(action);
  }

  /** True if `atMs` has come; otherwise remembers to look again then. */
  due(atMs: number): boolean {
    if (this.nowMs >= atMs) return true;
    this.#wakeAtMs = Math.min(this.#wakeAtMs ?? atMs, atMs);
    return false;
  }

  decision(): Decision {
    return { actions: this.#actions, wakeAtMs: this.#wakeAtMs };
  }
}

function decideActive(record: PodRecord, plan: Plan): void {
  const { pod } = record;
  if (pod.metadata.deletionTimestamp) {
    const deadlineMs = plan.nowMs + graceSecondsOf(pod) * 1000;
    plan.act({ kind: 'stop-pod', cause: 'deleted', deadlineMs });
    return;
  }
  const activeSeconds = pod.spec.activeDeadlineSeconds;
  if (activeSeconds !== undefined && plan.due(record.startedAtMs + activeSeconds * 1000)) {
    plan.act({
      kind: 'stop-pod',
      cause: 'failed',
      deadlineMs: plan.nowMs + graceSecondsOf(pod) * 1000,
      reason: 'DeadlineExceeded',
      message: 'Pod was active on the node longer than the specified deadline',
    });
    return;
  }
  if (isOver(record)) {
    const deadlineMs = plan.nowMs + graceSecondsOf(pod) * 1000;
    plan.act({ kind: 'stop-pod', cause: 'completed', deadlineMs });
    return;
  }
  if (!volumesReady(record, plan)) return;
  if (!sandboxReady(record, plan)) return;
  if (!record.initialized && !decideInit(record, plan)) return;
  for (const container of record.containers.values()) {
    // Sidecars are kept running beside the main containers; plain init containers are done.
    if (container.role !== 'init') keepRunning(record, container, plan);
  }
}

/** True when no main container will ever run (again), or an init container failed for good. */
function isOver(record: PodRecord): boolean {
  let mains = 0;
  let over = true;
  for (const container of record.containers.values()) {
    const { phase, role } = container;
    const ended = phase.kind === 'exited' && !shouldRestart(record, container, phase.exit.exitCode);
    if (role === 'init' && ended && phase.exit.exitCode !== 0) return true;
    if (role === 'main') {
      mains++;
      over &&= ended;
    }
  }
  return over && mains > 0;
}

function volumesReady(record: PodRecord, plan: Plan): boolean {
  const { volumes } = record;
  if (volumes.kind === 'ready') return true;
  if (volumes.kind === 'absent' && plan.due(volumes.notBeforeMs)) {
    plan.act({ kind: 'mount-volumes' });
  }
  return false;
}

function sandboxReady(record: PodRecord, plan: Plan): boolean {
  const { sandbox } = record;
  switch (sandbox.kind) {
    case 'ready':
      return true;
    case 'absent':
      if (plan.due(sandbox.notBeforeMs)) {
        plan.act({ kind: 'create-sandbox', attempt: sandbox.attempt });
      }
      return false;
    case 'lost':
      // Containers that outlived it sit in a namespace without an address: end them first.
      if (stopRunning(record, plan, { graceMs: GRACE_MS_MIN, reason: 'sandbox-lost' }) > 0) {
        return false;
      }
      if (plan.due(sandbox.notBeforeMs)) plan.act({ kind: 'remove-sandbox', final: false });
      return false;
    default:
      return false;
  }
}

/** Runs init containers in order; true when all are through and the main ones may start. */
function decideInit(record: PodRecord, plan: Plan): boolean {
  for (const container of record.containers.values()) {
    if (container.role !== 'init' && container.role !== 'sidecar') continue;
    const { phase } = container;
    if (container.role === 'init' && phase.kind === 'exited' && phase.exit.exitCode === 0) continue;
    keepRunning(record, container, plan);
    const through = container.role === 'sidecar' && phase.kind === 'running' && phase.started;
    if (!through) return false;
  }
  return true;
}

/** Starts a container that should run and does not; ends one whose definition changed. */
function keepRunning(record: PodRecord, container: ContainerRecord, plan: Plan): void {
  const { phase, name } = container;
  switch (phase.kind) {
    case 'waiting':
      decideWaiting(container, phase, plan);
      return;
    case 'exited': {
      if (!shouldRestart(record, container, phase.exit.exitCode)) return;
      const next = decideRestart(phase.exit, container.backoff, plan.nowMs, plan.options.backoff);
      if (next.kind === 'start') {
        start(container, next.backoff, plan);
        return;
      }
      const { delayMs, untilMs } = next;
      plan.act({ kind: 'back-off', name, exit: phase.exit, delayMs, untilMs });
      return;
    }
    case 'running': {
      const spec = containerSpec(record.pod, name);
      const { id, retryStopAtMs } = phase;
      if (retryStopAtMs !== undefined) {
        if (!plan.due(retryStopAtMs)) return;
        plan.act({ kind: 'stop-container', name, id, graceMs: 0, reason: 'retry' });
        return;
      }
      if (container.role === 'ephemeral' || !spec || hashOf(spec) === container.hash) return;
      const graceMs = graceSecondsOf(record.pod) * 1000;
      plan.act({ kind: 'stop-container', name, id, graceMs, reason: 'definition-changed' });
      return;
    }
    case 'stopping':
      overdueKill(name, phase, plan);
      return;
    case 'starting':
      return;
    default:
      unreachable(phase);
  }
}

function decideWaiting(
  container: ContainerRecord,
  phase: Extract<ContainerRecord['phase'], { kind: 'waiting' }>,
  plan: Plan,
): void {
  if (plan.due(phase.notBeforeMs)) {
    // A wait for the crash-loop delay ends in a run that the next exit is measured against.
    const crashed = phase.reason === 'CrashLoopBackOff' ? container.last : undefined;
    const next =
      crashed && decideRestart(crashed, container.backoff, plan.nowMs, plan.options.backoff);
    start(container, next?.kind === 'start' ? next.backoff : container.backoff, plan);
    return;
  }
  if (phase.reason === 'ErrImagePull' && plan.due(phase.sinceMs + PULL_ERROR_SHOWN_MS)) {
    plan.act({ kind: 'image-back-off', name: container.name });
  }
}

function start(container: ContainerRecord, backoff: RestartBackoff | undefined, plan: Plan): void {
  const restartCount = container.everCreated ? container.restartCount + 1 : 0;
  plan.act({ kind: 'start-container', name: container.name, restartCount, backoff });
}

function decideStopping(
  record: PodRecord,
  lifecycle: Extract<Lifecycle, { kind: 'stopping' }>,
  plan: Plan,
): void {
  const graceMs = Math.max(0, lifecycle.deadlineMs - plan.nowMs);
  if (stopRunning(record, plan, { graceMs, reason: 'pod-ends' }) > 0) return;
  const { sandbox, volumes } = record;
  if (sandbox.kind === 'ready') {
    plan.act({ kind: 'remove-sandbox', final: true });
    return;
  }
  if (sandbox.kind === 'lost') {
    if (plan.due(sandbox.notBeforeMs)) plan.act({ kind: 'remove-sandbox', final: true });
    return;
  }
  if (sandbox.kind === 'creating' || sandbox.kind === 'removing') return;
  if (volumes.kind === 'ready' || volumes.kind === 'absent') {
    plan.act({ kind: 'release-volumes' });
    return;
  }
  if (volumes.kind === 'released') plan.act({ kind: 'finish-pod' });
}

/**
 * Ends containers: main and ephemeral ones at once, sidecars after them, the last declared first.
 * Answers how many have not ended yet.
 */
function stopRunning(
  record: PodRecord,
  plan: Plan,
  how: { readonly graceMs: number; readonly reason: StopReason },
): number {
  const alive = [...record.containers.values()].filter(
    ({ phase }) => phase.kind !== 'waiting' && phase.kind !== 'exited',
  );
  const first = alive.filter(({ role }) => role !== 'sidecar');
  const now = first.length > 0 ? first : alive.slice(-1);
  for (const { name, phase } of now) {
    if (phase.kind === 'running' && plan.due(phase.retryStopAtMs ?? 0)) {
      const graceMs = phase.retryStopAtMs === undefined ? how.graceMs : 0;
      plan.act({ kind: 'stop-container', name, id: phase.id, graceMs, reason: how.reason });
    }
    if (phase.kind === 'stopping') overdueKill(name, phase, plan);
  }
  return alive.length;
}

function overdueKill(
  name: string,
  phase: { readonly id: string; readonly deadlineMs: number; readonly killed: boolean },
  plan: Plan,
): void {
  if (phase.killed || !plan.due(phase.deadlineMs + KILL_MARGIN_MS)) return;
  plan.act({ kind: 'kill-container', name, id: phase.id });
}
