/**
 * A naive world for rollouts: ReplicaSets are counted, pods get ready when the seed says so, statuses lag behind. It
 * obeys ReplicaSet semantics and nothing else, so that what `decideRollout` promises can be checked against it.
 */

import {
  decideRollout,
  type RolloutDecision,
} from '../../../../agents/cluster/deployment/decide.ts';
import type { Deployment, ReplicaSet } from '../../../../agents/cluster/kinds.ts';
import type { Random } from '../../../../src/lib/random.ts';

type ModelPod = { ready: boolean };

export class RolloutModel {
  deployment: Deployment;
  replicaSets: ReplicaSet[] = [];
  readonly pods = new Map<string, ModelPod[]>();
  /** The generation each ReplicaSet's pods were last brought in line with. */
  readonly #managed = new Map<string, number>();
  readonly #random: Random;
  #created = 0;
  nowMs = 1_577_836_800_000;

  constructor(deployment: Deployment, random: Random) {
    this.deployment = deployment;
    this.#random = random;
  }

  get total(): number {
    return [...this.pods.values()].reduce((sum, pods) => sum + pods.length, 0);
  }

  get available(): number {
    return [...this.pods.values()].flat().filter(({ ready }) => ready).length;
  }

  get settled(): boolean {
    const before = JSON.stringify([this.replicaSets, this.deployment.status]);
    this.decide();
    return before === JSON.stringify([this.replicaSets, this.deployment.status]);
  }

  /** One step of one of the parties, chosen by the seed. */
  step(): void {
    this.nowMs += 1000;
    const dice = this.#random.int(0, 3);
    const replicaSet =
      this.replicaSets.length > 0 ? this.#random.pick(this.replicaSets) : undefined;
    if (dice === 0 || !replicaSet) this.decide();
    else if (dice === 1) this.#managePods(replicaSet);
    else if (dice === 2) this.#reportStatus(replicaSet);
    else this.#becomeReady(replicaSet);
  }

  decide(): RolloutDecision {
    const { deployment, replicaSets, nowMs } = this;
    const decision = decideRollout({
      deployment,
      replicaSets,
      oldPodsRunning: this.#oldPodsRun(),
      nowMs,
    });
    for (const action of decision.actions) {
      if (action.kind === 'create') this.#create(action.replicaSet);
      else if (action.kind === 'update') this.#replace(action.before, action.replicaSet);
      else if (action.kind === 'delete') this.#delete(action.replicaSet);
      else this.#annotate(action.revision);
    }
    this.deployment = { ...this.deployment, status: decision.status };
    return decision;
  }

  #oldPodsRun(): boolean {
    const image = imageOf(this.deployment);
    return this.replicaSets.some(
      (rs) => imageOf(rs) !== image && (this.pods.get(rs.metadata.name)?.length ?? 0) > 0,
    );
  }

  #create(replicaSet: ReplicaSet): void {
    const second = String(this.#created++ % 60).padStart(2, '0');
    const creationTimestamp = `2020-01-01T00:00:${second}Z`;
    const metadata = { ...replicaSet.metadata, generation: 1, creationTimestamp };
    this.replicaSets = [...this.replicaSets, { ...replicaSet, metadata }];
    this.pods.set(metadata.name, []);
  }

  #replace(before: ReplicaSet, after: ReplicaSet): void {
    const generation = (before.metadata.generation ?? 0) + 1;
    const next = { ...after, metadata: { ...after.metadata, generation } };
    this.replicaSets = this.replicaSets.map((rs) => (rs === before ? next : rs));
  }

  #delete(replicaSet: ReplicaSet): void {
    this.replicaSets = this.replicaSets.filter((rs) => rs !== replicaSet);
    this.pods.delete(replicaSet.metadata.name);
  }

  #annotate(revision: string): void {
    const annotations = { 'deployment.kubernetes.io/revision': revision };
    const metadata = { ...this.deployment.metadata, annotations };
    this.deployment = { ...this.deployment, metadata };
  }

  /** Pods that are not ready go first, as the ReplicaSet controller ranks them. */
  #managePods(replicaSet: ReplicaSet): void {
    const pods = this.pods.get(replicaSet.metadata.name) ?? [];
    const size = replicaSet.spec.replicas ?? 1;
    while (pods.length < size) pods.push({ ready: false });
    pods.sort((a, b) => Number(a.ready) - Number(b.ready));
    pods.splice(0, pods.length - size);
    this.#managed.set(replicaSet.metadata.name, replicaSet.metadata.generation ?? 0);
  }

  #reportStatus(replicaSet: ReplicaSet): void {
    const pods = this.pods.get(replicaSet.metadata.name) ?? [];
    const ready = pods.filter((pod) => pod.ready).length;
    const status = {
      replicas: pods.length,
      readyReplicas: ready,
      availableReplicas: ready,
      observedGeneration: this.#managed.get(replicaSet.metadata.name) ?? 0,
    };
    this.replicaSets = this.replicaSets.map((rs) => (rs === replicaSet ? { ...rs, status } : rs));
  }

  #becomeReady(replicaSet: ReplicaSet): void {
    if (imageOf(replicaSet).includes('broken')) return;
    const waiting = this.pods.get(replicaSet.metadata.name)?.find((pod) => !pod.ready);
    if (waiting) waiting.ready = true;
  }
}

export function imageOf({ spec }: Deployment | ReplicaSet): string {
  return spec.template.spec.containers[0]?.image ?? '';
}
