/** Scores: which of the nodes that can take the pod should. Each answers per node; more is better unless scaled. */

import type { Pod } from '../../kinds.ts';
import { matchesNodeSelectorTerm } from '../../node-selectors.ts';
import { controllerOf } from '../../owners.ts';
import { matchesLabels } from '../../selectors.ts';
import { tolerates } from '../../taints.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterView, ScorePlugin } from '../plugin.ts';
import type { PodInfo } from '../requests.ts';

const ZONE = 'topology.kubernetes.io/zone';
const IMAGE_BYTES_MIN = 23 * 1024 * 1024;
const IMAGE_BYTES_MAX = 1000 * 1024 * 1024;

/** Prefers nodes with the larger free share of cpu and memory. */
export const leastAllocated: ScorePlugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  scale: 'none',
  begin: (info) => (node) => {
    const { cpu, memory } = usedShares(info, node);
    return ((1 - cpu + (1 - memory)) / 2) * 100;
  },
};

/** Prefers nodes whose cpu and memory would be used evenly. */
export const balancedAllocation: ScorePlugin = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  scale: 'none',
  begin: (info) => (node) => {
    const { cpu, memory } = usedShares(info, node);
    return (1 - Math.abs(cpu - memory) / 2) * 100;
  },
};

/** Keeps pods of one owner, or behind one Service, apart: over nodes first, over zones where there are any. */
export const selectorSpread: ScorePlugin = {
  name: 'SelectorSpread',
  weight: 2,
  scale: 'lowest',
  begin(info, cluster) {
    if ((info.pod.spec.topologySpreadConstraints ?? []).length > 0) return undefined;
    const related = relation(info.pod, cluster);
    if (!related) return undefined;
    const byNode = new Map<string, number>();
    const byZone = new Map<string, number>();
    for (const node of cluster.nodes()) {
      let count = 0;
      for (const other of node.pods.values()) if (related(other.pod)) count++;
      byNode.set(node.name, count);
      const zone = node.labels[ZONE];
      if (zone !== undefined) byZone.set(zone, (byZone.get(zone) ?? 0) + count);
    }
    return (node) => {
      const zone = node.labels[ZONE];
      return (byNode.get(node.name) ?? 0) + (zone === undefined ? 0 : (byZone.get(zone) ?? 0));
    };
  },
};

/** Prefers nodes without PreferNoSchedule taints that the pod does not tolerate. */
export const taintPreference: ScorePlugin = {
  name: 'TaintToleration',
  weight: 3,
  scale: 'lowest',
  begin(info) {
    const tolerations = info.pod.spec.tolerations ?? [];
    return ({ node }) =>
      (node.spec.taints ?? []).filter(
        (taint) =>
          taint.effect === 'PreferNoSchedule' && !tolerations.some((t) => tolerates(t, taint)),
      ).length;
  },
};

/** Adds up the weights of the preferred node affinity terms a node meets. */
export const nodeAffinityPreference: ScorePlugin = {
  name: 'NodeAffinity',
  weight: 2,
  scale: 'highest',
  begin(info) {
    const preferred =
      info.pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (preferred.length === 0) return undefined;
    return ({ node }) =>
      preferred.reduce(
        (sum, { weight, preference }) =>
          matchesNodeSelectorTerm(preference, node) ? sum + weight : sum,
        0,
      );
  },
};

/** Prefers nodes that have the pod's images, larger ones counting more. */
export const imageLocality: ScorePlugin = {
  name: 'ImageLocality',
  weight: 1,
  scale: 'none',
  begin(info, cluster) {
    const images = (info.pod.spec.containers ?? []).map((c) => normalizeImage(c.image ?? ''));
    if (images.length === 0) return undefined;
    const spread = new Map(images.map((image) => [image, shareOfNodes(image, cluster)]));
    const max = IMAGE_BYTES_MAX * images.length;
    return (node) => {
      // An image that is everywhere already should not pull pods onto the first node that got it.
      const bytes = images.reduce(
        (sum, image) => sum + (node.images.get(image) ?? 0) * (spread.get(image) ?? 0),
        0,
      );
      const bounded = Math.min(Math.max(bytes, IMAGE_BYTES_MIN), max);
      return ((bounded - IMAGE_BYTES_MIN) / (max - IMAGE_BYTES_MIN)) * 100;
    };
  },
};

function usedShares(info: PodInfo, node: NodeInfo): { cpu: number; memory: number } {
  const cpu = node.allocatable.get('cpu') ?? 0;
  const memory = node.allocatable.get('memory') ?? 0;
  return {
    cpu: share(node.scoringCpu + info.scoring.cpu, cpu),
    memory: share(node.scoringMemory + info.scoring.memory, memory),
  };
}

function share(used: number, total: number): number {
  return total <= 0 ? 1 : Math.min(1, used / total);
}

/** The pods that `pod` should keep away from: those of its controller, else those behind its Services. */
function relation(pod: Pod, cluster: ClusterView): ((other: Pod) => boolean) | undefined {
  const namespace = pod.metadata.namespace ?? '';
  const live = (other: Pod) =>
    other.metadata.namespace === namespace && other.metadata.deletionTimestamp === undefined;
  const owner = controllerOf(pod);
  if (owner) return (other) => live(other) && controllerOf(other)?.uid === owner.uid;
  const labels = pod.metadata.labels ?? {};
  const selectors = cluster
    .services(namespace)
    .map((service) => service.spec.selector ?? {})
    .filter((selector) => Object.keys(selector).length > 0 && matchesLabels(selector, labels));
  if (selectors.length === 0) return undefined;
  return (other) =>
    live(other) && selectors.some((selector) => matchesLabels(selector, other.metadata.labels));
}

function shareOfNodes(image: string, cluster: ClusterView): number {
  let having = 0;
  for (const node of cluster.nodes()) if (node.images.has(image)) having++;
  return cluster.nodeCount === 0 ? 0 : having / cluster.nodeCount;
}

function normalizeImage(image: string): string {
  const lastPart = image.slice(image.lastIndexOf('/') + 1);
  return lastPart.includes(':') || lastPart.includes('@') ? image : `${image}:latest`;
}
