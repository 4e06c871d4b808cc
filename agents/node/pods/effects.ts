/** Performs the decided actions of one pod; every outcome comes back to its actor as a message. */

import type { ActorContext } from '../../../src/actors/types.ts';
import { sleep } from '../../../src/lib/async.ts';
import { backoffMs } from '../../../src/lib/backoff.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { bounded } from './deadlines.ts';
import type { Action, StopReason } from './decide.ts';
import { fieldsOf, type PodServices } from './deps.ts';
import { type EventText, podSubject } from './events.ts';
import { exitOf, lostExit } from './exits.ts';
import { LABEL } from './labels.ts';
import type { PodMessage } from './protocol.ts';
import {
  type ContainerExit,
  type ContainerRecord,
  containerSpec,
  type PodRecord,
  podLabel,
} from './record.ts';
import { targetOf } from './requests.ts';
import { makeSandbox, removeSandbox } from './sandbox.ts';
import { startContainer } from './start-container.ts';
import { phaseOf } from './status.ts';
import type { StatusSync } from './status-sync.ts';
import { stopContainer } from './stop-container.ts';

const DELETE_RETRY = { initialMs: 500, maxMs: 10_000 };
const FORGET_RETRY = { initialMs: 500, maxMs: 30_000 };

type Of<K extends Action['kind']> = Extract<Action, { kind: K }>;

export class Effects {
  readonly #services: PodServices;
  readonly #context: ActorContext<PodMessage>;
  readonly #status: StatusSync;
  /** Preparations and starts under way, to be withdrawn when the pod ends. */
  readonly #underWay = new Map<string, AbortController>();

  constructor(services: PodServices, context: ActorContext<PodMessage>, status: StatusSync) {
    this.#services = services;
    this.#context = context;
    this.#status = status;
  }

  /** Begins an action. `record` has it marked as under way already. */
  perform(record: PodRecord, action: Action): void {
    switch (action.kind) {
      case 'mount-volumes':
        this.#mountVolumes(record);
        break;
      case 'release-volumes':
        this.#releaseVolumes(record);
        break;
      case 'create-sandbox':
        this.#createSandbox(record, action);
        break;
      case 'remove-sandbox':
        this.#removeSandbox(record);
        break;
      case 'start-container':
        this.#start(record, action);
        break;
      case 'back-off':
        this.event(record, action.name, {
          type: 'Warning',
          reason: 'BackOff',
          message: `Back-off restarting failed container ${action.name} in pod ${podLabel(record.pod)}`,
        });
        break;
      case 'image-back-off':
        this.#imageBackOff(record, action.name);
        break;
      case 'stop-container':
        this.#stop(record, action);
        break;
      case 'kill-container':
        this.#kill(record, action);
        break;
      case 'stop-pod':
        this.#stopPod(record, action);
        break;
      case 'finish-pod':
        this.#finish(record);
        break;
      case 'delete-object':
        this.#deleteObject(record);
        break;
      case 'forget':
        this.#forget(record);
        break;
    }
  }

  /** Finds out how a container's run ended; nothing comes back if it still runs. */
  lookAtExit(record: PodRecord, container: ContainerRecord, id: string): void {
    const { name } = container;
    this.#context.pipe(
      (signal) => this.#exit(record, name, id, signal),
      (exit) => (exit ? { kind: 'exited', name, exit } : { kind: 'not-exited' }),
      () => ({ kind: 'not-exited' }), // The next list of the runtime shows it again.
    );
  }

  /** Brings files in volumes up to date. */
  refreshVolumes(record: PodRecord): void {
    const { volumes, clock } = this.#services;
    void bounded('volumes', { clock, signal: this.#context.signal }, (signal) =>
      volumes.refresh(this.#fields(record), signal),
    ).catch(() => {});
  }

  /** Removes a container that the record knows nothing of, or no longer needs. */
  removeStray(id: string): void {
    const { runtime, clock } = this.#services;
    const call = { clock, signal: this.#context.signal };
    void bounded('remove', call, (signal) => runtime.remove(id, signal)).catch(() => {});
  }

  /** Gives up what is being prepared or started: the pod ends. */
  withdraw(): void {
    for (const controller of this.#underWay.values()) controller.abort();
    this.#underWay.clear();
  }

  event(record: PodRecord, name: string | undefined, event: EventText): void {
    const role = name === undefined ? undefined : record.containers.get(name)?.role;
    const field = fieldOf(role);
    const where = name === undefined ? undefined : { field, name };
    this.#services.events.record(podSubject(record.pod, where), event);
  }

  /** What is said when a container is ended, by reason. */
  killing(record: PodRecord, name: string, reason: StopReason): void {
    if (reason === 'retry') return;
    this.event(record, name, { type: 'Normal', reason: 'Killing', message: KILLING[reason](name) });
  }

  #mountVolumes(record: PodRecord): void {
    const { volumes, clock } = this.#services;
    const fields = this.#fields(record);
    const withdrawn = this.#withdrawable('volumes');
    this.#context.pipe(
      (stopped) => {
        const signal = AbortSignal.any([stopped, withdrawn]);
        return bounded('volumes', { clock, signal }, (inner) => volumes.setUp(fields, inner));
      },
      (result) => ({ kind: 'volumes-set-up', result }),
      (error) => ({
        kind: 'volumes-set-up',
        result: { kind: 'failed', volume: '', message: messageOf(error) },
      }),
    );
  }

  #releaseVolumes(record: PodRecord): void {
    const { volumes, log } = this.#services;
    const uid = uidOf(record);
    this.#context.pipe(
      () => volumes.tearDown(uid),
      () => ({ kind: 'volumes-released' }),
      (error) => {
        // What is left is found by the sweep of directories without a pod.
        log.warn({ uid, error: messageOf(error) }, 'volumes not fully removed');
        return { kind: 'volumes-released' };
      },
    );
  }

  #createSandbox(record: PodRecord, { attempt }: Of<'create-sandbox'>): void {
    const withdrawn = this.#withdrawable('sandbox');
    this.#context.pipe(
      (stopped) => {
        const signal = AbortSignal.any([stopped, withdrawn]);
        return makeSandbox(this.#services, record.pod, attempt, signal);
      },
      (made) => ({ kind: 'sandbox-made', made, attempt }),
      (error) => ({ kind: 'sandbox-failed', message: messageOf(error), attempt }),
    );
  }

  #removeSandbox(record: PodRecord): void {
    const { sandbox, pod } = record;
    if (sandbox.kind !== 'removing') return;
    this.#context.pipe(
      (signal) => removeSandbox(this.#services, pod, sandbox.id, signal),
      () => ({ kind: 'sandbox-unmade', failure: undefined }),
      (error) => ({ kind: 'sandbox-unmade', failure: messageOf(error) }),
    );
  }

  #start(record: PodRecord, { name, restartCount }: Of<'start-container'>): void {
    const { pod, sandbox } = record;
    const spec = containerSpec(pod, name);
    const role = record.containers.get(name)?.role;
    if (sandbox.kind !== 'ready' || spec === undefined || role === undefined) return;
    const target = targetOf(spec);
    const targetPhase = target === undefined ? undefined : record.containers.get(target)?.phase;
    const withdrawn = this.#withdrawable(`start ${name}`);
    const request = {
      pod,
      spec,
      role,
      restartCount,
      sandboxId: sandbox.id,
      podIPs: sandbox.ips,
      ...(targetPhase?.kind === 'running' ? { targetId: targetPhase.id } : {}),
    };
    this.#context.pipe(
      (signal) => startContainer(this.#services, request, AbortSignal.any([signal, withdrawn])),
      (outcome) => ({ kind: 'start-ended', name, restartCount, outcome }),
      () => ({ kind: 'start-ended', name, restartCount, outcome: undefined }),
    );
  }

  #imageBackOff(record: PodRecord, name: string): void {
    const image = containerSpec(record.pod, name)?.image ?? '';
    const message = `Back-off pulling image "${image}"`;
    this.event(record, name, { type: 'Normal', reason: 'BackOff', message });
    const text = 'Error: ImagePullBackOff';
    this.event(record, name, { type: 'Warning', reason: 'Failed', message: text });
  }

  #stop(record: PodRecord, { name, id, graceMs, reason }: Of<'stop-container'>): void {
    const { pod } = record;
    const spec = containerSpec(pod, name);
    if (spec === undefined) return;
    this.killing(record, name, reason);
    const podIPs = record.sandbox.kind === 'ready' ? record.sandbox.ips : [];
    this.#context.pipe(
      async (signal) => {
        await stopContainer(this.#services, { pod, spec, id, podIPs }, graceMs, signal);
        return this.#exit(record, name, id, signal);
      },
      (exit) =>
        exit
          ? { kind: 'exited', name, exit }
          : { kind: 'stop-ended', name, id, failure: 'it still runs' },
      (error) => ({ kind: 'stop-ended', name, id, failure: messageOf(error) }),
    );
  }

  #kill(record: PodRecord, { name, id }: Of<'kill-container'>): void {
    const { runtime, clock } = this.#services;
    this.#context.pipe(
      async (signal) => {
        await bounded('kill', { clock, signal }, (inner) => runtime.kill(id, inner));
        return this.#exit(record, name, id, signal);
      },
      (exit) => (exit ? { kind: 'exited', name, exit } : { kind: 'not-exited' }),
      (error) => ({ kind: 'stop-ended', name, id, failure: messageOf(error) }),
    );
  }

  #stopPod(record: PodRecord, { cause, reason, message }: Of<'stop-pod'>): void {
    this.withdraw();
    if (cause !== 'failed' || reason === undefined) return;
    this.event(record, undefined, { type: 'Warning', reason, message: message ?? '' });
  }

  /** A pod that is over must not run again after a restart of the node, cut off or not. */
  #finish(record: PodRecord): void {
    const { checkpoints, objects } = this.#services;
    const { pod } = record;
    void checkpoints.save({ ...pod, status: { ...pod.status, phase: phaseOf(record) } }, objects);
  }

  #deleteObject(record: PodRecord): void {
    this.#context.pipe(
      async (signal) => {
        for (let attempt = 0; ; attempt++) {
          const outcome = await this.#status.finalize(record, signal);
          if (outcome !== 'failed') return outcome;
          await this.#pause(attempt, DELETE_RETRY, signal);
        }
      },
      (outcome) => ({ kind: 'object-deleted', outcome }),
      () => ({ kind: 'object-deleted', outcome: 'failed' }),
    );
  }

  /** Removes every trace of the pod, however often it takes. */
  #forget(record: PodRecord): void {
    const { runtime, clock, volumes, checkpoints, log } = this.#services;
    const uid = uidOf(record);
    this.#context.pipe(
      async (signal) => {
        const call = { clock, signal };
        for (let attempt = 0; ; attempt++) {
          try {
            const filter = `${LABEL.podUid}=${uid}`;
            const left = await bounded('list', call, (inner) => runtime.list(filter, inner));
            for (const { id } of left) {
              await bounded('remove', call, (inner) => runtime.remove(id, inner));
            }
            await volumes.tearDown(uid);
            await checkpoints.remove(uid);
            return;
          } catch (error) {
            signal.throwIfAborted();
            log.warn({ uid, error: messageOf(error) }, 'traces of a pod not removed yet');
            await this.#pause(attempt, FORGET_RETRY, signal);
          }
        }
      },
      () => ({ kind: 'forgotten' }),
      () => ({ kind: 'forgotten' }),
    );
  }

  /** The exit of a run, undefined while it runs. */
  async #exit(
    record: PodRecord,
    name: string,
    id: string,
    signal: AbortSignal,
  ): Promise<ContainerExit | undefined> {
    const { runtime, clock } = this.#services;
    const info = await bounded('inspect', { clock, signal }, (inner) => runtime.inspect(id, inner));
    if (info === undefined) {
      const phase = record.containers.get(name)?.phase;
      const startedAtMs = phase && 'startedAtMs' in phase ? phase.startedAtMs : 0;
      return lostExit(id, startedAtMs, clock.nowMs());
    }
    if (info.state === 'running') return undefined;
    return exitOf(this.#services, record.pod, name, info, signal);
  }

  #fields(record: PodRecord) {
    const { settings } = this.#services;
    const ips = record.sandbox.kind === 'ready' ? record.sandbox.ips : [];
    return fieldsOf(settings, record.pod, record.pod.spec.hostNetwork ? settings.hostIPs : ips);
  }

  #withdrawable(key: string): AbortSignal {
    const controller = new AbortController();
    this.#underWay.set(key, controller);
    return controller.signal;
  }

  async #pause(
    attempt: number,
    options: { readonly initialMs: number; readonly maxMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const waitMs = backoffMs(attempt, this.#context.random, options);
    await sleep(waitMs, this.#services.clock, signal);
  }
}

const KILLING: Record<Exclude<StopReason, 'retry'>, (name: string) => string> = {
  'pod-ends': (name) => `Stopping container ${name}`,
  'sandbox-lost': (name) => `Stopping container ${name}`,
  'definition-changed': (name) => `Container ${name} definition changed, will be restarted`,
  liveness: (name) => `Container ${name} failed liveness probe, will be restarted`,
  startup: (name) => `Container ${name} failed startup probe, will be restarted`,
  'post-start': () => 'FailedPostStartHook',
};

/** The part of the spec that events of a container point to. */
function fieldOf(role: ContainerRecord['role'] | undefined): string {
  if (role === 'ephemeral') return 'ephemeralContainers';
  return role === 'main' ? 'containers' : 'initContainers';
}

function uidOf(record: PodRecord): string {
  return record.pod.metadata.uid ?? '';
}
