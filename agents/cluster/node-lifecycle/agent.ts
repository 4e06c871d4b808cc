/**
 * The node-lifecycle actor. Heartbeats go to the tracker in memory and cost no write; a change of a node's verdict,
 * of a Node or of its pods queues the node's name, and one reconciler does what `decide.ts` says: conditions, taints,
 * pods that are no longer ready, evictions.
 */

import type { Behaviour, LeadershipScope } from '../../../src/actors/types.ts';
import { isConflict } from '../../../src/client/errors.ts';
import { type Reconciler, runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { unreachable } from '../../../src/lib/invariant.ts';
import { type ClusterAgentDeps, type ControllerContext, openContext } from '../controller.ts';
import type { Node, NodeCondition, Pod, Taint } from '../kinds.ts';
import { addNodeIndex, NODE_INDEX } from '../pod-index.ts';
import { podCondition } from '../pods.ts';
import { deleteIfPresent } from '../remove.ts';
import { sameStatus } from '../statuses.ts';
import { isoSeconds } from '../times.ts';
import {
  decideConditions,
  decideEviction,
  decideTaints,
  type NodeView,
  podsToMarkNotReady,
} from './decide.ts';
import type { NodeHeartbeat, NodeLifecycleMessage } from './protocol.ts';
import { HeartbeatTracker, type TrackerOptions, type Verdict } from './tracker.ts';

export type NodeLifecycleOptions = TrackerOptions & {
  /** How long a pod that says nothing about it stays on a node that is not ready or unreachable. Default 300 s. */
  readonly defaultTolerationSeconds?: number;
  /** How often verdicts are looked at. Default 200 ms. */
  readonly tickMs?: number;
};

const NAME = 'node-lifecycle';
/** Waiting heartbeats; one per node suffices, since a newer replaces an older. */
const MAILBOX_MAX = 4096;

/** The node-lifecycle actor as a cluster singleton. */
export function createNodeLifecycle(deps: ClusterAgentDeps, options: NodeLifecycleOptions = {}) {
  return (scope: LeadershipScope): Behaviour<NodeLifecycleMessage, NodeLifecycle> => ({
    mailbox: {
      capacity: MAILBOX_MAX,
      onFull: (message) =>
        message.kind === 'heartbeat'
          ? { coalesce: `of ${message.node}` }
          : { coalesce: message.kind },
    },
    init(actor) {
      const names = { name: NAME, component: 'node-controller' };
      const { context, stop } = openContext(deps, names, scope, actor);
      const lifecycle = new NodeLifecycle(context, options, stop);
      actor.pipe(
        () => lifecycle.stopped,
        (): NodeLifecycleMessage => ({ kind: 'ended' }),
      );
      actor.startTimer('tick', options.tickMs ?? 200, { kind: 'tick' });
      return lifecycle;
    },
    receive(lifecycle, message, actor) {
      switch (message.kind) {
        case 'heartbeat':
          lifecycle.hear(message);
          break;
        case 'tick':
          lifecycle.lookAround();
          actor.startTimer('tick', options.tickMs ?? 200, { kind: 'tick' });
          break;
        case 'ended':
          actor.stop();
          break;
        default:
          unreachable(message);
      }
      return lifecycle;
    },
    dispose: (lifecycle) => lifecycle.dispose(),
  });
}

class NodeLifecycle {
  readonly stopped: Promise<void>;
  readonly dispose: () => void;
  readonly #context: ControllerContext;
  readonly #tracker: HeartbeatTracker;
  readonly #defaultTolerationSeconds: number;
  readonly #reconciler: Reconciler;
  readonly #verdicts = new Map<string, Verdict>();

  constructor(context: ControllerContext, options: NodeLifecycleOptions, dispose: () => void) {
    this.#context = context;
    this.dispose = dispose;
    this.#tracker = new HeartbeatTracker(context.clock.monotonicMs(), options);
    this.#defaultTolerationSeconds = options.defaultTolerationSeconds ?? 300;
    addNodeIndex(context.client.informer('Pod'));
    this.#reconciler = runReconciler({
      ...context,
      name: NAME,
      watches: [
        { kind: 'Node', keys: ({ metadata }) => [metadata.name] },
        { kind: 'Pod', keys: ({ spec }) => (spec.nodeName ? [spec.nodeName] : []) },
      ],
      reconcile: (node) => this.#reconcile(node),
    });
    this.stopped = this.#reconciler.stopped;
  }

  hear(heartbeat: NodeHeartbeat): void {
    this.#tracker.hear(heartbeat, this.#context.clock.monotonicMs());
    // A node that returns is taken back at once, not at the next tick.
    if (this.#verdicts.get(heartbeat.node) === 'silent') this.#judge(heartbeat.node);
    else if (this.#saysNews(heartbeat)) this.#reconciler.add(heartbeat.node);
  }

  lookAround(): void {
    const { client } = this.#context;
    for (const { metadata } of client.informer('Node').list()) this.#judge(metadata.name);
  }

  #judge(node: string): void {
    const verdict = this.#tracker.verdict(node, this.#context.clock.monotonicMs());
    if (this.#verdicts.get(node) === verdict) return;
    this.#verdicts.set(node, verdict);
    this.#context.logger.info({ node, verdict }, `the node is ${verdict}`);
    this.#reconciler.add(node);
  }

  /** True when the node's object says otherwise than its heartbeat. Costs no write: most beats bring no news. */
  #saysNews({ node: name, ready }: NodeHeartbeat): boolean {
    const node = this.#context.client.informer('Node').get({ name });
    const present = node?.status?.conditions?.find(({ type }) => type === 'Ready');
    if (present === undefined) return false;
    const { status = 'True', message } = ready ?? {};
    return present.status !== status || (message !== undefined && present.message !== message);
  }

  async #reconcile(name: string): Promise<ReconcileResult> {
    const { client } = this.#context;
    const node = client.informer('Node').get({ name });
    if (!node) {
      this.#tracker.forget(name);
      this.#verdicts.delete(name);
      return { kind: 'done' };
    }
    const conditions = await this.#writeConditions(node);
    const pods = client.informer('Pod').byIndex(NODE_INDEX, name);
    // Services must stop sending to the node's pods at once; that matters more than the taints.
    await Promise.all(
      podsToMarkNotReady(conditions, pods).map((pod) => this.#markNotReady(pod, name)),
    );
    const taints = await this.#writeTaints(node, conditions);
    return taints === 'outdated' ? { kind: 'again', afterMs: 0 } : this.#evict(pods, taints);
  }

  #view(node: string): NodeView {
    const nowMs = this.#context.clock.monotonicMs();
    return {
      silent: this.#tracker.verdict(node, nowMs) === 'silent',
      speaking: this.#tracker.isSpeaking(node, nowMs),
      reported: this.#tracker.reported(node),
    };
  }

  async #writeConditions(node: Node): Promise<readonly NodeCondition[]> {
    const { client, clock, events, logger } = this.#context;
    const { name, uid } = node.metadata;
    const conditions = decideConditions(node, this.#view(name), clock.nowMs());
    if (!conditions) return node.status?.conditions ?? [];
    const body = { metadata: { uid }, status: { conditions } };
    const patch = { type: 'strategic' as const, body };
    await client.patch('Node', { name }, patch, { subresource: 'status' });
    const ready = conditions.find(({ type }) => type === 'Ready');
    const reason = ready?.status === 'True' ? 'NodeReady' : 'NodeNotReady';
    const subject = { apiVersion: 'v1', kind: 'Node', metadata: node.metadata };
    events.event(subject, 'Normal', reason, `Node ${name} status is now: ${reason}`);
    logger.info({ node: name, ready: ready?.status }, `node status is now ${reason}`);
    return conditions;
  }

  /** The taints that hold after it, or 'outdated' when somebody else changed them meanwhile. */
  async #writeTaints(
    node: Node,
    conditions: readonly NodeCondition[],
  ): Promise<readonly Taint[] | 'outdated'> {
    const { client, clock } = this.#context;
    const { name } = node.metadata;
    const taints = decideTaints(node, conditions, clock.nowMs());
    if (!taints) return node.spec.taints ?? [];
    // The newest version is what the decision must be based on: our own status write has just raised it.
    const latest = client.informer('Node').get({ name }) ?? node;
    if (!sameStatus(latest.spec, node.spec)) return 'outdated';
    const { resourceVersion } = latest.metadata;
    const body = { metadata: { resourceVersion }, spec: { taints } };
    await client.patch('Node', { name }, { type: 'merge', body });
    return taints;
  }

  async #markNotReady(pod: Pod, node: string): Promise<void> {
    const { client, clock, events } = this.#context;
    const { namespace = '', name, uid, resourceVersion } = pod.metadata;
    const ready = podCondition(pod, 'Ready');
    const lastTransitionTime = isoSeconds(clock.nowMs());
    const condition = { ...ready, type: 'Ready', status: 'False', lastTransitionTime };
    const body = {
      metadata: { uid, resourceVersion },
      status: {
        conditions: [
          { ...condition, reason: 'NodeNotReady', message: `Node ${node} is not ready` },
        ],
      },
    };
    const patch = { type: 'strategic' as const, body };
    try {
      await client.patch('Pod', { namespace, name }, patch, { subresource: 'status' });
    } catch (error) {
      // The pod changed meanwhile: that change queues the node again.
      if (!isConflict(error)) throw error;
    }
    const subject = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
    events.event(subject, 'Warning', 'NodeNotReady', 'Node is not ready');
  }

  async #evict(pods: readonly Pod[], taints: readonly Taint[]): Promise<ReconcileResult> {
    const { clock } = this.#context;
    // A node may only be on its way to the new leader: nothing is removed by force before it had the time.
    const graceMs = this.#tracker.graceLeftMs(clock.monotonicMs());
    const options = {
      defaultTolerationSeconds: this.#defaultTolerationSeconds,
      nowMs: clock.nowMs(),
    };
    let nextMs: number | undefined;
    const leaving: Promise<void>[] = [];
    for (const pod of pods) {
      const eviction = decideEviction(pod, taints, options);
      if (eviction.kind === 'stays') continue;
      const inMs = eviction.force ? Math.max(eviction.inMs, graceMs) : eviction.inMs;
      if (inMs === 0) leaving.push(this.#remove(pod, eviction.force));
      else if (nextMs === undefined || inMs < nextMs) nextMs = inMs;
    }
    await Promise.all(leaving);
    return nextMs === undefined ? { kind: 'done' } : { kind: 'again', afterMs: nextMs };
  }

  async #remove(pod: Pod, force: boolean): Promise<void> {
    const { client, events } = this.#context;
    const { namespace = '', name } = pod.metadata;
    const removed = await deleteIfPresent(
      client,
      'Pod',
      pod,
      force ? { gracePeriodSeconds: 0 } : {},
    );
    if (!removed) return;
    const text = `Marking for deletion Pod ${namespace}/${name}`;
    const subject = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
    events.event(subject, 'Normal', 'TaintManagerEviction', text);
  }
}
