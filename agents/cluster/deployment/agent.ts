/** The Deployment controller: carries out what `decide.ts` says, one small step per look at the world. */

import { isAlreadyExists, isNamespaceTerminating } from '../../../src/client/errors.ts';
import { keyOf, parseKey } from '../../../src/client/keys.ts';
import { runReconciler } from '../../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../../src/client/types.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { matchesLabelSelector } from '../../../src/resources/labels.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import type { Deployment, Pod, ReplicaSet } from '../kinds.ts';
import { controllerOf, controllerReference, decideClaim } from '../owners.ts';
import { addOwnerIndex, OWNER_INDEX } from '../pod-index.ts';
import { isPodFinished } from '../pods.ts';
import { deleteIfPresent } from '../remove.ts';
import { sameStatus } from '../statuses.ts';
import { REVISION } from './annotations.ts';
import { withFailedCreate } from './conditions.ts';
import { type Action, decideRollout, findCurrent, type RolloutDecision } from './decide.ts';
import { sameTemplate } from './hash.ts';
import { isRecreate, sizeOf } from './sizes.ts';

const NAME = 'deployment';

/** The Deployment controller as a cluster singleton. */
export function createDeploymentController(deps: ClusterAgentDeps) {
  return controller(deps, { name: NAME, component: 'deployment-controller' }, (context) =>
    new DeploymentController(context).run(),
  );
}

class DeploymentController {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  run(): Promise<void> {
    addOwnerIndex(this.#context.client.informer('Pod'));
    return runReconciler({
      ...this.#context,
      name: NAME,
      watches: [
        { kind: 'Deployment', keys: (deployment) => [keyOf(deployment)] },
        { kind: 'ReplicaSet', keys: (replicaSet) => this.#keysOfReplicaSet(replicaSet) },
        // Only Recreate waits for pods: for their end.
        { kind: 'Pod', keys: (pod) => this.#keysOfPod(pod), filter: hasEnded },
      ],
      reconcile: (key) => this.#reconcile(key),
    }).stopped;
  }

  #keysOfReplicaSet(replicaSet: ReplicaSet): readonly string[] {
    const namespace = replicaSet.metadata.namespace ?? '';
    const owner = controllerOf(replicaSet);
    if (owner) return owner.kind === 'Deployment' ? [`${namespace}/${owner.name}`] : [];
    return this.#context.client
      .informer('Deployment')
      .list(namespace)
      .filter((d) => matchesLabelSelector(d.spec.selector, replicaSet.metadata.labels))
      .map(keyOf);
  }

  #keysOfPod(pod: Pod): readonly string[] {
    const owner = controllerOf(pod);
    if (owner?.kind !== 'ReplicaSet') return [];
    const { namespace = '' } = pod.metadata;
    const replicaSet = this.#context.client
      .informer('ReplicaSet')
      .get({ namespace, name: owner.name });
    const parent = replicaSet && controllerOf(replicaSet);
    if (parent?.kind !== 'Deployment') return [];
    const deployment = this.#context.client
      .informer('Deployment')
      .get({ namespace, name: parent.name });
    return deployment && isRecreate(deployment) ? [keyOf(deployment)] : [];
  }

  async #reconcile(key: string): Promise<ReconcileResult> {
    const { client, clock, events } = this.#context;
    const deployment = client.informer('Deployment').get(parseKey(key));
    if (!deployment) return { kind: 'done' };
    if (selectsEverything(deployment)) {
      const text = 'This deployment is selecting all pods. A non-empty selector is required.';
      events.event(subjectOf(deployment), 'Warning', 'SelectingAll', text);
      return { kind: 'terminal', reason: text };
    }
    const replicaSets = await this.#claim(deployment);
    const decision = decideRollout({
      deployment,
      replicaSets,
      oldPodsRunning: isRecreate(deployment) && this.#oldPodsRun(deployment, replicaSets),
      nowMs: clock.nowMs(),
    });
    const before = await this.#perform(deployment, decision);
    if (!sameStatus(before.status, decision.status)) {
      await client.updateStatus('Deployment', { ...before, status: decision.status });
    }
    return decision.againMs === undefined
      ? { kind: 'done' }
      : { kind: 'again', afterMs: decision.againMs + 1000 };
  }

  /** Carries out the actions; returns the Deployment as it stands after them. */
  async #perform(deployment: Deployment, decision: RolloutDecision): Promise<Deployment> {
    let latest = deployment;
    for (const action of decision.actions) {
      if (action.kind === 'annotate') latest = await this.#annotate(latest, action.revision);
      else if (action.kind === 'create') await this.#create(latest, action.replicaSet);
      else if (action.kind === 'update') await this.#update(latest, action);
      else await this.#delete(action.replicaSet);
    }
    return latest;
  }

  async #annotate(deployment: Deployment, revision: string): Promise<Deployment> {
    const { namespace = '', name, resourceVersion } = deployment.metadata;
    const body = { metadata: { resourceVersion, annotations: { [REVISION]: revision } } };
    const key = { namespace, name };
    return this.#context.client.patch('Deployment', key, { type: 'merge', body });
  }

  async #create(deployment: Deployment, replicaSet: ReplicaSet): Promise<void> {
    const { client } = this.#context;
    try {
      const created = await client.create('ReplicaSet', replicaSet);
      if (sizeOf(created) > 0) this.#tellScaling(deployment, created, 0);
    } catch (error) {
      if (isAlreadyExists(error)) return this.#resolveCollision(deployment, replicaSet);
      if (!isNamespaceTerminating(error)) await this.#reportFailedCreate(deployment, error);
      throw error;
    }
  }

  /** The name is taken: by our own earlier attempt, or by another template with the same hash. */
  async #resolveCollision(deployment: Deployment, wanted: ReplicaSet): Promise<void> {
    const { client } = this.#context;
    const { namespace = '', name } = wanted.metadata;
    const present = await client.get('ReplicaSet', { namespace, name });
    const ours =
      controllerOf(present)?.uid === deployment.metadata.uid &&
      sameTemplate(present.spec.template, deployment.spec.template);
    if (ours) return;
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    const status = { ...deployment.status, collisionCount };
    await client.updateStatus('Deployment', { ...deployment, status });
    throw new CollisionError(`the name ${name} is taken by another template`);
  }

  async #reportFailedCreate(deployment: Deployment, error: unknown): Promise<void> {
    const { client, clock, events } = this.#context;
    const message = `Failed to create new replica set: ${messageOf(error)}`;
    events.event(subjectOf(deployment), 'Warning', 'ReplicaSetCreateError', message);
    const present = deployment.status?.conditions ?? [];
    const conditions = withFailedCreate(deployment, present, messageOf(error), clock.nowMs());
    if (conditions === present) return;
    const status = { ...deployment.status, conditions: [...conditions] };
    await client.updateStatus('Deployment', { ...deployment, status });
  }

  async #update(deployment: Deployment, action: Action & { kind: 'update' }): Promise<void> {
    await this.#context.client.update('ReplicaSet', action.replicaSet);
    if (sizeOf(action.replicaSet) !== sizeOf(action.before)) {
      this.#tellScaling(deployment, action.replicaSet, sizeOf(action.before));
    }
  }

  #tellScaling(deployment: Deployment, replicaSet: ReplicaSet, from: number): void {
    const size = sizeOf(replicaSet);
    const direction = size > from ? 'up' : 'down';
    const text = `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${from} to ${size}`;
    this.#context.events.event(subjectOf(deployment), 'Normal', 'ScalingReplicaSet', text);
  }

  async #delete(replicaSet: ReplicaSet): Promise<void> {
    const { resourceVersion = '' } = replicaSet.metadata;
    const preconditions = { resourceVersion };
    await deleteIfPresent(this.#context.client, 'ReplicaSet', replicaSet, { preconditions });
  }

  /** The Deployment's ReplicaSets, after adopting and releasing what its selector says. */
  async #claim(deployment: Deployment): Promise<readonly ReplicaSet[]> {
    const { client } = this.#context;
    const namespace = deployment.metadata.namespace ?? '';
    const owned: ReplicaSet[] = [];
    let adoptionChecked = false;
    for (const replicaSet of client.informer('ReplicaSet').list(namespace)) {
      const { selector } = deployment.spec;
      const selected = matchesLabelSelector(selector, replicaSet.metadata.labels);
      const claim = decideClaim(deployment, replicaSet, selected);
      if (claim === 'own') owned.push(replicaSet);
      if (claim === 'release') await this.#setOwner(replicaSet, deployment, false);
      if (claim !== 'adopt') continue;
      if (!adoptionChecked && !(await this.#mayAdopt(deployment))) continue;
      adoptionChecked = true;
      owned.push(await this.#setOwner(replicaSet, deployment, true));
    }
    return owned;
  }

  /** A cache may not know yet that the Deployment is being deleted; the API does. */
  async #mayAdopt(deployment: Deployment): Promise<boolean> {
    const { namespace = '', name, uid } = deployment.metadata;
    const live = await this.#context.client.get('Deployment', { namespace, name });
    return live.metadata.uid === uid && live.metadata.deletionTimestamp === undefined;
  }

  #setOwner(replicaSet: ReplicaSet, deployment: Deployment, owned: boolean): Promise<ReplicaSet> {
    const { namespace = '', name, uid, resourceVersion } = replicaSet.metadata;
    const others = (replicaSet.metadata.ownerReferences ?? []).filter(
      (reference) => reference.uid !== deployment.metadata.uid,
    );
    const reference = controllerReference(deployment, 'apps/v1', 'Deployment');
    const ownerReferences = owned ? [...others, reference] : others;
    const body = { metadata: { uid, resourceVersion, ownerReferences } };
    const key = { namespace, name };
    return this.#context.client.patch('ReplicaSet', key, { type: 'merge', body });
  }

  /** Pods of old templates that have not ended; those on their way out count until they are gone. */
  #oldPodsRun(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
    const current = findCurrent(deployment, replicaSets);
    const pods = this.#context.client.informer('Pod');
    return replicaSets
      .filter((replicaSet) => replicaSet !== current)
      .some(
        (replicaSet) =>
          (replicaSet.status?.replicas ?? 0) > 0 ||
          pods
            .byIndex(OWNER_INDEX, replicaSet.metadata.uid ?? '')
            .some((pod) => !isPodFinished(pod)),
      );
  }
}

/** Thrown to have the step made again with another hash. */
class CollisionError extends Error {
  override readonly name = 'CollisionError';
}

function selectsEverything(deployment: Deployment): boolean {
  const { matchLabels = {}, matchExpressions = [] } = deployment.spec.selector;
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

function hasEnded(event: { readonly type: string; readonly object: Pod }): boolean {
  return event.type === 'deleted' || isPodFinished(event.object);
}

function subjectOf(deployment: Deployment) {
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: deployment.metadata };
}
