/**
 * The scheduler's shell: informers feed the snapshot and the queue, decisions are made one after the other
 * against the snapshot (each assuming its outcome), their writes run side by side.
 *
 * Nothing waits for a write: a binding that fails takes its assumption back and the pod returns to the queue.
 * A binding is refused by the API unless the pod is unbound and has the uid that was meant, so a stale
 * picture can cost an attempt, never a second placement.
 */

import { isConflict, isNotFound } from '../../../src/client/errors.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import type { Node, Pod } from '../kinds.ts';
import { isPodFinished, podCondition } from '../pods.ts';
import { deleteIfPresent } from '../remove.ts';
import { isoSeconds } from '../times.ts';
import { type Decision, decide } from './decide.ts';
import type { ClusterView } from './plugin.ts';
import { decidePreemption, type Preemption } from './preemption.ts';
import { SchedulingQueue } from './queue.ts';
import type { PodInfo } from './requests.ts';
import { Snapshot } from './snapshot.ts';

export type SchedulerOptions = {
  /** Pods that ask for this scheduler are placed. Default default-scheduler. */
  readonly schedulerName?: string;
};

/** Decisions made before the event loop gets its turn. */
const BATCH_MAX = 64;
/** A pod nothing seems to help is tried again after this long regardless, should a change have been missed. */
const SWEEP_MS = 300_000;

/** The scheduler as a cluster singleton. */
export function createScheduler(deps: ClusterAgentDeps, options: SchedulerOptions = {}) {
  return controller(deps, { name: 'scheduler', component: 'default-scheduler' }, (context) =>
    new Scheduler(context, options.schedulerName ?? 'default-scheduler').run(),
  );
}

class Scheduler {
  readonly #context: ControllerContext;
  readonly #name: string;
  readonly #snapshot = new Snapshot();
  readonly #queue = new SchedulingQueue();
  #wake: (() => void) | undefined;

  constructor(context: ControllerContext, schedulerName: string) {
    this.#context = context;
    this.#name = schedulerName;
  }

  /** The cluster as the decision on one pod sees it. */
  #viewFor(info: PodInfo): ClusterView {
    const { client } = this.#context;
    const nodes = [...this.#snapshot.nodesFor(info)];
    return {
      nodeCount: nodes.length,
      nodes: () => nodes,
      services: (namespace) => client.informer('Service').list(namespace),
      namespaceLabels: (name) => client.informer('Namespace').get({ name })?.metadata.labels ?? {},
    };
  }

  async run(): Promise<void> {
    const { client, signal, clock } = this.#context;
    const unsubscribes: (() => void)[] = [];
    try {
      unsubscribes.push(...this.#subscribe());
      // Placing a pod before all others are known would overfill nodes.
      await Promise.all([
        client.informer('Node').whenSynced(signal),
        client.informer('Pod').whenSynced(signal),
        client.informer('Service').whenSynced(signal),
        client.informer('Namespace').whenSynced(signal),
      ]);
      while (!signal.aborted) {
        const batch = this.#queue.take(BATCH_MAX, clock.monotonicMs());
        if (batch.length === 0) {
          await this.#idle();
          continue;
        }
        for (const info of batch) this.#place(info);
        await new Promise<void>((resolve) => clock.soon(resolve));
      }
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  #subscribe(): (() => void)[] {
    const { client } = this.#context;
    return [
      client.informer('Node').subscribe((event) => {
        if (event.type === 'deleted') this.#snapshot.removeNode(event.object.metadata.name);
        else this.#snapshot.setNode(event.object);
        if (event.type === 'modified' && !matters(event.object, event.previous)) return;
        this.#notice('node-changed');
      }),
      client.informer('Pod').subscribe((event) => {
        if (event.type === 'deleted') this.#podGone(event.object);
        else this.#podSeen(event.object, event.type === 'modified' ? event.previous : undefined);
      }),
      client.informer('Namespace').subscribe(() => this.#notice('namespace-changed')),
    ];
  }

  #podGone(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    this.#queue.delete(uid);
    const placed = this.#snapshot.isPlaced(uid);
    this.#snapshot.removePod(uid);
    if (placed) this.#notice('pod-left');
  }

  #podSeen(pod: Pod, previous: Pod | undefined): void {
    const uid = pod.metadata.uid ?? '';
    // The same name may come back as another pod without a deletion in between being reported.
    if (previous?.metadata.uid !== undefined && previous.metadata.uid !== uid) {
      this.#podGone(previous);
    }
    const finished = isPodFinished(pod);
    if (finished || pod.spec.nodeName) {
      this.#queue.delete(uid);
      const wasPlaced = this.#snapshot.isPlaced(uid);
      this.#snapshot.setPod(pod);
      if (finished && wasPlaced) this.#notice('pod-left');
      else if (!finished) this.#notice('pod-placed');
      return;
    }
    if (this.#isOurs(pod)) {
      this.#queue.set(pod, this.#context.clock.monotonicMs());
      this.#wake?.();
    } else {
      this.#queue.delete(uid);
    }
  }

  #isOurs(pod: Pod): boolean {
    return (
      (pod.spec.schedulerName ?? this.#name) === this.#name &&
      pod.metadata.deletionTimestamp === undefined &&
      (pod.spec.schedulingGates ?? []).length === 0
    );
  }

  #notice(change: Parameters<SchedulingQueue['notice']>[0]): void {
    this.#queue.notice(change, this.#context.clock.monotonicMs());
    this.#wake?.();
  }

  /** Waits until a pod is due, one arrives, or the sweep is. */
  #idle(): Promise<void> {
    const { clock, signal } = this.#context;
    const delayMs = Math.min(this.#queue.msToNext(clock.monotonicMs()) ?? SWEEP_MS, SWEEP_MS);
    return new Promise((resolve) => {
      const timer = clock.after(delayMs, () => {
        if (delayMs >= SWEEP_MS) this.#queue.notice('node-changed', clock.monotonicMs());
        done();
      });
      const done = () => {
        timer.cancel();
        signal.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#wake = done;
      if (signal.aborted) done();
    });
  }

  #place(info: PodInfo): void {
    // A pod whose binding was seen between taking the batch and now is no longer ours to place.
    if (this.#snapshot.isPlaced(info.uid)) return;
    const view = this.#viewFor(info);
    const decision = decide(info, view, this.#context.random);
    if (decision.kind === 'fits') {
      this.#snapshot.assume(info, decision.node);
      this.#inBackground(info, () => this.#bind(info, decision.node));
    } else {
      const preemption = this.#preemption(info, view, decision);
      // Made way for, the pod must not find its room taken by a lesser one that came first.
      if (preemption.kind === 'evict') this.#snapshot.reserve(info, preemption.node);
      this.#queue.wait(info.uid, this.#context.clock.monotonicMs());
      this.#inBackground(info, () => this.#refuse(info, decision, preemption));
    }
  }

  #preemption(
    info: PodInfo,
    view: ClusterView,
    decision: Decision & { kind: 'unschedulable' },
  ): Preemption {
    const nominated = info.pod.status?.nominatedNodeName;
    const node = nominated === undefined ? undefined : this.#snapshot.node(nominated);
    const leaving = [...(node?.pods.values() ?? [])].some(
      (pod) => pod.priority < info.priority && pod.pod.metadata.deletionTimestamp !== undefined,
    );
    if (leaving) {
      const message = ' preemption: not eligible due to a terminating pod on the nominated node.';
      return { kind: 'none', message };
    }
    this.#snapshot.release(info.uid);
    return decidePreemption(info, view, decision.candidates);
  }

  async #bind(info: PodInfo, node: string): Promise<void> {
    const { client, events } = this.#context;
    const { namespace = '', name, uid } = info.pod.metadata;
    try {
      await client.bind({ namespace, name }, node, uid);
    } catch (error) {
      this.#snapshot.forget(info.uid);
      throw error;
    }
    const text = `Successfully assigned ${namespace}/${name} to ${node}`;
    events.event(subject(info.pod), 'Normal', 'Scheduled', text);
  }

  async #refuse(
    info: PodInfo,
    decision: Decision & { kind: 'unschedulable' },
    preemption: Preemption,
  ): Promise<void> {
    const { events } = this.#context;
    const message = decision.message + (preemption.kind === 'none' ? preemption.message : '');
    events.event(subject(info.pod), 'Warning', 'FailedScheduling', message);
    const nominated = preemption.kind === 'evict' ? preemption.node : undefined;
    await this.#report(info.pod, message, nominated);
    if (preemption.kind === 'evict') await this.#evict(info, preemption);
  }

  async #report(pod: Pod, message: string, nominated: string | undefined): Promise<void> {
    const { client, clock } = this.#context;
    const { namespace = '', name } = pod.metadata;
    const before = podCondition(pod, 'PodScheduled');
    const same = before?.status === 'False' && before.message === message;
    if (same && (nominated === undefined || nominated === pod.status?.nominatedNodeName)) return;
    const now = isoSeconds(clock.nowMs());
    const since = before?.status === 'False' ? (before.lastTransitionTime ?? now) : now;
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastProbeTime: null,
      lastTransitionTime: since,
    };
    const status = {
      conditions: [condition],
      ...(nominated === undefined ? {} : { nominatedNodeName: nominated }),
    };
    const body = { metadata: { uid: pod.metadata.uid }, status };
    await client.patch(
      'Pod',
      { namespace, name },
      { type: 'strategic', body },
      { subresource: 'status' },
    );
  }

  async #evict(info: PodInfo, preemption: Preemption & { kind: 'evict' }): Promise<void> {
    const { client, events, logger } = this.#context;
    const outcomes = await Promise.allSettled(
      preemption.victims.map(async ({ pod }) => {
        if (pod.metadata.deletionTimestamp !== undefined) return;
        if (!(await deleteIfPresent(client, 'Pod', pod))) return;
        const text = `Preempted by pod ${info.uid} on node ${preemption.node}`;
        events.event(subject(pod), 'Normal', 'Preempted', text);
      }),
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
    const victims = preemption.victims.map((victim) => victim.key);
    logger.info({ pod: info.key, node: preemption.node, victims }, 'preempted pods');
  }

  /** Runs the writes of a decision; a failure sends the pod back for another attempt. */
  #inBackground(info: PodInfo, work: () => Promise<void>): void {
    const { logger, signal, clock } = this.#context;
    work().catch((error: unknown) => {
      if (signal.aborted) return;
      const facts = { pod: info.key, error };
      if (isConflict(error) || isNotFound(error)) logger.debug(facts, 'the pod changed meanwhile');
      else logger.warn(facts, `scheduling will be tried again: ${messageOf(error)}`);
      this.#queue.retry(info.uid, clock.monotonicMs());
      this.#wake?.();
    });
  }
}

/** True when a node changed in a way that filters read. */
function matters(node: Node, previous: Node): boolean {
  const read = ({ metadata, spec, status }: Node) =>
    JSON.stringify([
      metadata.labels,
      spec.taints,
      spec.unschedulable,
      status?.allocatable,
      status?.capacity,
    ]);
  return read(node) !== read(previous);
}

function subject(pod: Pod) {
  return { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
}
