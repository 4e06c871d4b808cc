/**
 * The actor of one pod. It holds the record, asks `decide` what to do after every message, marks the
 * steps as under way and hands them to the effects.
 */

import type { ActorContext, Behaviour } from '../../../src/actors/types.ts';
import { invariant, unreachable } from '../../../src/lib/invariant.ts';
import { adopt } from './adopt.ts';
import { type Action, decide } from './decide.ts';
import type { PodServices } from './deps.ts';
import { describePod } from './describe.ts';
import { Effects } from './effects.ts';
import type { Pod } from './kinds.ts';
import { compareWithRuntime, containerWithRun } from './observation.ts';
import type { ContainerSummary } from './ports.ts';
import { Probing } from './probing.ts';
import type { PodMessage } from './protocol.ts';
import { graceSecondsOf, type PodRecord, withContainer } from './record.ts';
import { podRefusal } from './security.ts';
import type { StartOutcome } from './start-container.ts';
import { StatusSync } from './status-sync.ts';
import {
  begin,
  containerExited,
  containerRunning,
  containerWaits,
  podChanged,
  podVanished,
  probed,
  pullFailed,
  sandboxLost,
  sandboxRemoved,
  stopFailed,
} from './transitions.ts';

export type PodStart = {
  /** The newest version of the object; asked again when the actor restarts. */
  readonly pod: () => Pod;
  /** Containers of the pod that the runtime has. */
  readonly containers: (signal: AbortSignal) => Promise<readonly ContainerSummary[]>;
  /** Called when nothing of the pod is left; the actor stops then. */
  readonly onForgotten: () => void;
};

/** Decisions in a row after one message; more would mean that deciding does not settle. */
const ROUNDS_MAX = 32;
const RETRY_MS = {
  volumesInitial: 500,
  volumesMax: 120_000,
  sandboxInitial: 1_000,
  sandboxMax: 60_000,
  sandboxLost: 0,
  config: 10_000,
  stop: 2_000,
};
/** Ends that came before their start was reported; failed starts leave some behind. */
const EARLY_EXITS_MAX = 64;
/** Timers cannot be set for years ahead: wake now and then, and look again. */
const WAKE_MS_MAX = 3_600_000;
/** How often files in volumes are compared with their sources, besides when these change. */
const REFRESH_MS = 60_000;

/** The behaviour of a pod's actor. */
export function podBehaviour(
  services: PodServices,
  start: PodStart,
): Behaviour<PodMessage, PodShell> {
  return {
    mailbox: { capacity: 1024, onFull: () => 'drop-oldest' },
    async init(context) {
      const found = await start.containers(context.signal);
      const record = await adopt(services, start.pod(), found, context.signal);
      const shell = new PodShell(services, context, { record, onForgotten: start.onForgotten });
      shell.begin();
      return shell;
    },
    receive(shell, message) {
      shell.handle(message);
      return shell;
    },
  };
}

export class PodShell {
  #record: PodRecord;
  readonly #services: PodServices;
  readonly #context: ActorContext<PodMessage>;
  readonly #effects: Effects;
  readonly #status: StatusSync;
  readonly #probing: Probing;
  /** Runs that ended before their start was reported. */
  readonly #earlyExits = new Set<string>();
  #volumeFailures = 0;
  #sandboxFailures = 0;

  readonly #onForgotten: () => void;

  constructor(
    services: PodServices,
    context: ActorContext<PodMessage>,
    start: { readonly record: PodRecord; readonly onForgotten: () => void },
  ) {
    const { record, onForgotten } = start;
    this.#onForgotten = onForgotten;
    this.#services = services;
    this.#context = context;
    this.#record = record;
    this.#status = new StatusSync(services, context, record.pod.status);
    this.#effects = new Effects(services, context, this.#status);
    this.#probing = new Probing(services, context);
  }

  /** First decisions. */
  begin(): void {
    const { pod, lifecycle } = this.#record;
    const refusal = lifecycle.kind === 'active' ? podRefusal(pod) : undefined;
    if (refusal) {
      const deadlineMs = this.#nowMs();
      this.#act({ kind: 'stop-pod', cause: 'failed', deadlineMs, ...refusal });
    }
    this.#planRefresh();
    this.#settle();
  }

  handle(message: PodMessage): void {
    this.#take(message);
    if (message.kind !== 'describe') this.#settle();
  }

  #take(message: PodMessage): void {
    const nowMs = this.#nowMs();
    switch (message.kind) {
      case 'pod-changed':
        this.#podChanged(message.pod);
        break;
      case 'pod-vanished':
        this.#effects.withdraw();
        this.#record = podVanished(this.#record, nowMs);
        break;
      case 'objects-changed':
        this.#objectsChanged();
        break;
      case 'container-event':
        this.#containerEvent(message.event.id, message.event.kind);
        break;
      case 'observed':
        this.#observed(message.containers);
        break;
      case 'describe':
        message.replyTo.tell(describePod(this.#record, this.#services.settings.hostIPs));
        break;
      case 'wake':
      case 'not-exited':
        break;
      case 'refresh-volumes':
        this.#effects.refreshVolumes(this.#record);
        this.#planRefresh();
        break;
      case 'write-status':
        this.#status.write(this.#record);
        break;
      case 'status-written':
        this.#status.written(message.status, message.outcome);
        break;
      case 'probe-due':
        this.#probing.due(this.#record, message);
        break;
      case 'probed':
        this.#probed(message);
        break;
      default:
        this.#outcome(message, nowMs);
    }
  }

  /** Outcomes of the effects. */
  #outcome(
    message: Extract<
      PodMessage,
      {
        kind:
          | 'volumes-set-up'
          | 'volumes-released'
          | 'sandbox-made'
          | 'sandbox-failed'
          | 'sandbox-unmade'
          | 'start-ended'
          | 'stop-ended'
          | 'exited'
          | 'object-deleted'
          | 'forgotten';
      }
    >,
    nowMs: number,
  ): void {
    switch (message.kind) {
      case 'volumes-set-up':
        this.#volumesSetUp(message.result);
        break;
      case 'volumes-released':
        this.#record = { ...this.#record, volumes: { kind: 'released' } };
        break;
      case 'sandbox-made':
        this.#sandboxFailures = 0;
        this.#record = {
          ...this.#record,
          sandbox: { kind: 'ready', attempt: message.attempt, ...message.made },
        };
        break;
      case 'sandbox-failed':
        this.#sandboxFailed(message);
        break;
      case 'sandbox-unmade':
        this.#sandboxUnmade(message.failure);
        break;
      case 'start-ended':
        this.#startEnded(message);
        break;
      case 'stop-ended':
        this.#context.log.warn(message, 'a container did not end');
        this.#record = stopFailed(this.#record, message.name, nowMs + RETRY_MS.stop);
        break;
      case 'exited':
        this.#exited(message);
        break;
      case 'object-deleted':
        // Gone, or about to show as gone in the informer: either way nothing is left to report to.
        if (message.outcome !== 'failed') this.#record = podVanished(this.#record, nowMs);
        break;
      case 'forgotten':
        this.#onForgotten();
        this.#context.stop();
        break;
      default:
        unreachable(message);
    }
  }

  #settle(): void {
    const { settings } = this.#services;
    for (let round = 0; ; round++) {
      invariant(round < ROUNDS_MAX, 'decisions settle', { pod: this.#record.pod.metadata.name });
      const nowMs = this.#nowMs();
      const { actions, wakeAtMs } = decide(this.#record, nowMs, { backoff: settings.backoff });
      for (const action of actions) this.#act(action);
      if (actions.length > 0) continue;
      if (wakeAtMs === undefined) this.#context.cancelTimer('wake');
      else this.#wakeAt(wakeAtMs - nowMs);
      break;
    }
    this.#probing.sync(this.#record);
    if (this.#record.lifecycle.kind !== 'gone') this.#status.changed(this.#record);
  }

  #wakeAt(delayMs: number): void {
    const boundedMs = Math.min(WAKE_MS_MAX, Math.max(1, delayMs));
    this.#context.startTimer('wake', boundedMs, { kind: 'wake' });
  }

  #act(action: Action): void {
    this.#record = begin(this.#record, action, this.#nowMs());
    this.#effects.perform(this.#record, action);
  }

  #podChanged(pod: Pod): void {
    const before = this.#record.pod.metadata;
    this.#record = podChanged(this.#record, pod, this.#nowMs());
    this.#status.observe(pod);
    const { lifecycle } = this.#record;
    if (lifecycle.kind === 'active') {
      void this.#services.checkpoints.save(pod, this.#services.objects);
    }
    const { labels, annotations } = pod.metadata;
    const shown = JSON.stringify([labels, annotations]);
    if (shown === JSON.stringify([before.labels, before.annotations])) return;
    this.#objectsChanged(); // They show in downward API files, and in sub-paths.
  }

  /** What waits for an object need not wait longer. */
  #objectsChanged(): void {
    const { volumes, containers } = this.#record;
    if (volumes.kind === 'ready') this.#effects.refreshVolumes(this.#record);
    if (volumes.kind === 'absent') {
      this.#record = { ...this.#record, volumes: { kind: 'absent', notBeforeMs: 0 } };
    }
    for (const { name, phase } of containers.values()) {
      if (phase.kind !== 'waiting' || phase.reason !== 'CreateContainerConfigError') continue;
      this.#record = withContainer(this.#record, name, { phase: { ...phase, notBeforeMs: 0 } });
    }
  }

  #volumesSetUp(result: Extract<PodMessage, { kind: 'volumes-set-up' }>['result']): void {
    if (result.kind === 'ready') {
      this.#volumeFailures = 0;
      this.#record = { ...this.#record, volumes: { kind: 'ready' } };
      return;
    }
    const { volume, message } = result;
    if (this.#record.lifecycle.kind !== 'active') {
      this.#record = { ...this.#record, volumes: { kind: 'absent', notBeforeMs: 0 } };
      return;
    }
    const text = `MountVolume.SetUp failed for volume "${volume}" : ${message}`;
    this.#effects.event(this.#record, undefined, {
      type: 'Warning',
      reason: 'FailedMount',
      message: text,
    });
    const waitMs = doubled(RETRY_MS.volumesInitial, this.#volumeFailures++, RETRY_MS.volumesMax);
    const notBeforeMs = this.#nowMs() + waitMs;
    this.#record = { ...this.#record, volumes: { kind: 'absent', notBeforeMs } };
  }

  #sandboxFailed({ message, attempt }: Extract<PodMessage, { kind: 'sandbox-failed' }>): void {
    if (this.#record.lifecycle.kind !== 'active') {
      this.#record = { ...this.#record, sandbox: { kind: 'absent', attempt, notBeforeMs: 0 } };
      return;
    }
    this.#effects.event(this.#record, undefined, {
      type: 'Warning',
      reason: 'FailedCreatePodSandBox',
      message: `Failed to create pod sandbox: ${message}`,
    });
    const waitMs = doubled(RETRY_MS.sandboxInitial, this.#sandboxFailures++, RETRY_MS.sandboxMax);
    const notBeforeMs = this.#nowMs() + waitMs;
    this.#record = {
      ...this.#record,
      sandbox: { kind: 'absent', attempt: attempt + 1, notBeforeMs },
    };
  }

  #sandboxUnmade(failure: string | undefined): void {
    const { sandbox } = this.#record;
    if (failure === undefined) {
      this.#record = sandboxRemoved(this.#record, this.#nowMs());
      return;
    }
    if (sandbox.kind !== 'removing') return;
    this.#context.log.warn({ failure }, 'a sandbox was not removed');
    const waitMs = doubled(RETRY_MS.sandboxInitial, this.#sandboxFailures++, RETRY_MS.sandboxMax);
    const { id, attempt, ips } = sandbox;
    const notBeforeMs = this.#nowMs() + waitMs;
    this.#record = { ...this.#record, sandbox: { kind: 'lost', id, attempt, ips, notBeforeMs } };
  }

  #startEnded(message: Extract<PodMessage, { kind: 'start-ended' }>): void {
    const { name, restartCount, outcome } = message;
    const nowMs = this.#nowMs();
    if (this.#record.containers.get(name)?.phase.kind !== 'starting') return;
    if (outcome?.kind !== 'running' && this.#earlyExits.size > EARLY_EXITS_MAX) {
      this.#earlyExits.clear();
    }
    if (outcome === undefined) {
      const why = { reason: 'ContainerCreating', message: '', retryMs: 0 };
      this.#record = containerWaits(this.#record, name, why, nowMs);
      return;
    }
    switch (outcome.kind) {
      case 'running':
        this.#started(name, restartCount, outcome);
        break;
      case 'pull-failed':
        this.#record = pullFailed(this.#record, name, outcome.message, nowMs);
        break;
      case 'waits': {
        const { reason, message: text } = outcome;
        const why = { reason, message: text, retryMs: RETRY_MS.config };
        this.#record = containerWaits(this.#record, name, why, nowMs);
        break;
      }
      case 'exited':
        this.#record = withContainer(this.#record, name, {
          restartCount,
          imageId: outcome.imageId,
        });
        this.#record = containerExited(this.#record, name, outcome.exit);
        break;
      default:
        unreachable(outcome);
    }
  }

  #started(
    name: string,
    restartCount: number,
    run: Extract<StartOutcome, { kind: 'running' }>,
  ): void {
    this.#record = containerRunning(this.#record, name, { ...run, restartCount });
    const container = this.#record.containers.get(name);
    if (container === undefined) return;
    if (this.#earlyExits.delete(run.id)) this.#effects.lookAtExit(this.#record, container, run.id);
    if (run.hookFailure !== undefined) this.#stopUnhealthy(name, 'post-start', undefined);
  }

  #exited({ name, exit }: Extract<PodMessage, { kind: 'exited' }>): void {
    const phase = this.#record.containers.get(name)?.phase;
    const current = phase && 'id' in phase ? phase.id : undefined;
    if (current !== exit.containerId) return;
    const older = this.#record.containers.get(name)?.last?.containerId;
    // One ended run is kept for its logs; those before it are removed.
    if (older && older !== exit.containerId) this.#effects.removeStray(older);
    this.#record = containerExited(this.#record, name, exit);
  }

  #probed(message: Extract<PodMessage, { kind: 'probed' }>): void {
    const conclusion = this.#probing.conclude(this.#record, message);
    if (conclusion === undefined) return;
    const { name } = message;
    switch (conclusion.kind) {
      case 'started': {
        const spec = this.#record.containers.get(name);
        const pod = this.#record.pod;
        const gated = pod.spec.containers.find(
          (other) => other.name === spec?.name,
        )?.readinessProbe;
        const ready = gated === undefined ? { ready: true } : {};
        this.#record = probed(this.#record, name, { started: true, ...ready });
        break;
      }
      case 'ready':
        this.#record = probed(this.#record, name, { ready: conclusion.ready });
        break;
      case 'unhealthy': {
        const reason = message.probe === 'startup' ? 'startup' : 'liveness';
        this.#stopUnhealthy(name, reason, conclusion.graceSeconds);
        break;
      }
      default:
        unreachable(conclusion);
    }
  }

  #stopUnhealthy(
    name: string,
    reason: 'liveness' | 'startup' | 'post-start',
    graceSeconds: number | undefined,
  ): void {
    const phase = this.#record.containers.get(name)?.phase;
    if (phase?.kind !== 'running') return;
    const graceMs = (graceSeconds ?? graceSecondsOf(this.#record.pod)) * 1000;
    this.#act({ kind: 'stop-container', name, id: phase.id, graceMs, reason });
  }

  #containerEvent(id: string, kind: 'started' | 'exited' | 'removed'): void {
    if (kind === 'started') return;
    const { sandbox } = this.#record;
    if (sandbox.kind === 'ready' && sandbox.id === id) {
      this.#lostSandbox();
      return;
    }
    const container = containerWithRun(this.#record, id);
    if (container) this.#effects.lookAtExit(this.#record, container, id);
    else if (anyStarting(this.#record)) this.#earlyExits.add(id);
  }

  #lostSandbox(): void {
    this.#record = sandboxLost(this.#record, RETRY_MS.sandboxLost, this.#nowMs());
    if (this.#record.lifecycle.kind !== 'active') return;
    this.#effects.event(this.#record, undefined, {
      type: 'Normal',
      reason: 'SandboxChanged',
      message: 'Pod sandbox changed, it will be killed and re-created.',
    });
  }

  /** Repairs what events did not tell, and removes what nobody needs. */
  #observed(found: readonly ContainerSummary[]): void {
    const { sandboxLost: lost, ended, strays } = compareWithRuntime(this.#record, found);
    if (lost) this.#lostSandbox();
    for (const { container, id } of ended) this.#effects.lookAtExit(this.#record, container, id);
    for (const id of strays) this.#effects.removeStray(id);
  }

  #planRefresh(): void {
    const { volumes } = this.#services;
    if (!volumes.needsRefresh(this.#record.pod)) return;
    const jitterMs = this.#context.random.int(0, REFRESH_MS / 4);
    this.#context.startTimer('refresh', REFRESH_MS + jitterMs, { kind: 'refresh-volumes' });
  }

  #nowMs(): number {
    return this.#services.clock.nowMs();
  }
}

function doubled(initialMs: number, failures: number, maxMs: number): number {
  return Math.min(maxMs, initialMs * 2 ** Math.min(failures, 20));
}

function anyStarting({ containers }: PodRecord): boolean {
  return [...containers.values()].some(({ phase }) => phase.kind === 'starting');
}
