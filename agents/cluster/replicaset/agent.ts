/** The ReplicaSet controller: keeps as many pods of a template as asked for. */

import { isNamespaceTerminating } from '../../../src/client/errors.ts';
import { keyOf, parseKey } from '../../../src/client/keys.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { claimPods } from '../claim-pods.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import { PodExpectations } from '../expectations.ts';
import type { Pod, ReplicaSet } from '../kinds.ts';
import { controllerOf, controllerReference } from '../owners.ts';
import { addOwnerIndex, OWNER_INDEX, orphansOf } from '../pod-index.ts';
import { podFromTemplate } from '../pod-template.ts';
import { isPodActive, isPodFinished } from '../pods.ts';
import { deleteIfPresent } from '../remove.ts';
import { sameStatus } from '../statuses.ts';
import { decideReplicas, decideStatus, slowStartBatches } from './decide.ts';

const NAME = 'replicaset';
/** A cache that lacks our own writes is looked at again after this long. */
const STALE_CACHE_MS = 50;

type Failure = { readonly reason: string; readonly message: string; readonly error: unknown };

/** The ReplicaSet controller as a cluster singleton. */
export function createReplicaSetController(deps: ClusterAgentDeps) {
  return controller(deps, { name: NAME, component: 'replicaset-controller' }, (context) =>
    new ReplicaSetController(context).run(),
  );
}

class ReplicaSetController {
  readonly #context: ControllerContext;
  readonly #expectations: PodExpectations;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#expectations = new PodExpectations(context.client);
  }

  run(): Promise<void> {
    const pods = this.#context.client.informer('Pod');
    addOwnerIndex(pods);
    return runReconciler({
      ...this.#context,
      name: NAME,
      concurrency: 8,
      watches: [
        { kind: 'ReplicaSet', keys: (replicaSet) => [keyOf(replicaSet)] },
        { kind: 'Pod', keys: (pod) => this.#keysOfPod(pod) },
      ],
      reconcile: (key) => this.#reconcile(key),
    }).stopped;
  }

  /** A pod concerns its controller; one without concerns every ReplicaSet that may adopt it. */
  #keysOfPod(pod: Pod): readonly string[] {
    const namespace = pod.metadata.namespace ?? '';
    const owner = controllerOf(pod);
    if (owner) return owner.kind === 'ReplicaSet' ? [`${namespace}/${owner.name}`] : [];
    if (pod.metadata.labels === undefined) return [];
    return this.#context.client.informer('ReplicaSet').list(namespace).map(keyOf);
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const replicaSet = client.informer('ReplicaSet').get(parseKey(key));
    if (!replicaSet) {
      this.#expectations.forget(key);
      return { kind: 'done' };
    }
    if (!(await this.#expectations.satisfied(key))) {
      return { kind: 'again', afterMs: STALE_CACHE_MS };
    }
    const owned = await claimPods(client, replicaSet, 'ReplicaSet', this.#candidates(replicaSet));
    const dying = replicaSet.metadata.deletionTimestamp !== undefined;
    const failure = dying ? undefined : await this.#manage(key, replicaSet, owned);
    // Counted anew: what was just created or deleted shows in the cache by now.
    const present = client.informer('Pod').byIndex(OWNER_INDEX, replicaSet.metadata.uid ?? '');
    const { status, availableInMs } = decideStatus(replicaSet, {
      active: present.filter(isPodActive),
      terminating: present.filter(isLeaving).length,
      failure,
      nowMs: clock.nowMs(),
    });
    if (!sameStatus(replicaSet.status, status)) {
      await client.updateStatus('ReplicaSet', { ...replicaSet, status });
    }
    if (failure) throw failure.error;
    return availableInMs === undefined
      ? { kind: 'done' }
      : { kind: 'again', afterMs: availableInMs + 1 };
  }

  #candidates(replicaSet: ReplicaSet): readonly Pod[] {
    const pods = this.#context.client.informer('Pod');
    const { uid = '', namespace = '' } = replicaSet.metadata;
    const labels = replicaSet.spec.selector.matchLabels ?? {};
    return [...pods.byIndex(OWNER_INDEX, uid), ...orphansOf(pods, namespace, labels)];
  }

  async #manage(
    key: string,
    replicaSet: ReplicaSet,
    owned: readonly Pod[],
  ): Promise<Failure | undefined> {
    const decision = decideReplicas({
      replicas: replicaSet.spec.replicas ?? 1,
      active: owned.filter(isPodActive),
      perNode: this.#activePerNode(replicaSet),
      nowMs: this.#context.clock.nowMs(),
    });
    switch (decision.kind) {
      case 'enough':
        return undefined;
      case 'create':
        return this.#create(key, replicaSet, decision.count);
      case 'delete':
        return this.#delete(key, replicaSet, decision.pods);
    }
  }

  /** Pods of all ReplicaSets with the same controller count: a rollout should thin out crowded nodes. */
  #activePerNode(replicaSet: ReplicaSet): Map<string, number> {
    const { client } = this.#context;
    const parent = controllerOf(replicaSet)?.uid;
    const siblings = client
      .informer('ReplicaSet')
      .list(replicaSet.metadata.namespace ?? '')
      .filter(
        (other) =>
          other.metadata.uid === replicaSet.metadata.uid ||
          (parent !== undefined && controllerOf(other)?.uid === parent),
      );
    const counts = new Map<string, number>();
    for (const sibling of siblings) {
      const pods = client.informer('Pod').byIndex(OWNER_INDEX, sibling.metadata.uid ?? '');
      for (const pod of pods.filter(isPodActive)) {
        const node = pod.spec.nodeName ?? '';
        counts.set(node, (counts.get(node) ?? 0) + 1);
      }
    }
    return counts;
  }

  async #create(key: string, replicaSet: ReplicaSet, count: number): Promise<Failure | undefined> {
    const { client, events } = this.#context;
    const owner = controllerReference(replicaSet, 'apps/v1', 'ReplicaSet');
    const subject = subjectOf(replicaSet);
    const createOne = async () => {
      const pod = await client.create(
        'Pod',
        podFromTemplate(replicaSet, replicaSet.spec.template, owner),
      );
      this.#expectations.created(key, pod);
      events.event(subject, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
    };
    for (const size of slowStartBatches(count)) {
      const error = firstFailure(await Promise.allSettled(Array.from({ length: size }, createOne)));
      if (error === undefined) continue;
      // A namespace that is going away takes no pods; nothing needs saying.
      if (isNamespaceTerminating(error)) return undefined;
      const message = messageOf(error);
      events.event(subject, 'Warning', 'FailedCreate', `Error creating: ${message}`);
      return { reason: 'FailedCreate', message, error };
    }
    return undefined;
  }

  async #delete(
    key: string,
    replicaSet: ReplicaSet,
    pods: readonly Pod[],
  ): Promise<Failure | undefined> {
    const { client, events } = this.#context;
    const subject = subjectOf(replicaSet);
    const deleteOne = async (pod: Pod) => {
      if (!(await deleteIfPresent(client, 'Pod', pod))) return;
      this.#expectations.deleted(key, pod);
      const text = `Deleted pod: ${pod.metadata.name}`;
      events.event(subject, 'Normal', 'SuccessfulDelete', text);
    };
    const error = firstFailure(await Promise.allSettled(pods.map(deleteOne)));
    if (error === undefined) return undefined;
    const message = messageOf(error);
    events.event(subject, 'Warning', 'FailedDelete', `Error deleting: ${message}`);
    return { reason: 'FailedDelete', message, error };
  }
}

function isLeaving(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined && !isPodFinished(pod);
}

function subjectOf(replicaSet: ReplicaSet) {
  return { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: replicaSet.metadata };
}

function firstFailure(outcomes: readonly PromiseSettledResult<void>[]): unknown {
  return outcomes.find((outcome) => outcome.status === 'rejected')?.reason;
}
