/**
 * One scheduling decision: filter the nodes, score those that are left, or say in words why none is. Pure: the
 * snapshot is read, never changed; ties are broken by the caller's randomness.
 */

import type { Random } from '../../../src/lib/random.ts';
import type { Pod } from '../kinds.ts';
import { explainRefusals, NO_NODES } from './explain.ts';
import type { NodeInfo } from './node-info.ts';
import type { ClusterView, FilterPlugin, Refusal, ScorePlugin } from './plugin.ts';
import {
  nodeAffinity,
  nodeName,
  nodeUnschedulable,
  taintToleration,
} from './plugins/node-filters.ts';
import { interPodAffinity, interPodAffinityScore } from './plugins/pod-affinity.ts';
import { nodePorts, nodeResourcesFit } from './plugins/resource-filters.ts';
import {
  balancedAllocation,
  imageLocality,
  leastAllocated,
  nodeAffinityPreference,
  selectorSpread,
  taintPreference,
} from './plugins/scores.ts';
import { topologySpread, topologySpreadScore } from './plugins/topology-spread.ts';
import type { PodInfo } from './requests.ts';

export type Decision =
  | { readonly kind: 'fits'; readonly node: string }
  | {
      readonly kind: 'unschedulable';
      /** Upstream's sentence, without what preemption adds. */
      readonly message: string;
      /** Nodes that evictions could open. */
      readonly candidates: readonly string[];
    };

/** Cheap filters that rule out most nodes come first: the first refusal of a node is its explanation. */
export const FILTERS: readonly FilterPlugin[] = [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
  topologySpread,
  interPodAffinity,
];

export const SCORES: readonly ScorePlugin[] = [
  leastAllocated,
  balancedAllocation,
  selectorSpread,
  topologySpreadScore,
  interPodAffinityScore,
  taintPreference,
  nodeAffinityPreference,
  imageLocality,
];

/** Chooses a node for `info`, or explains why there is none. */
export function decide(info: PodInfo, cluster: ClusterView, random: Random): Decision {
  const unsupported = unsupportedConstraint(info.pod);
  if (unsupported !== undefined) return refuseAll(cluster, unsupported);
  if (cluster.nodeCount === 0) return { kind: 'unschedulable', message: NO_NODES, candidates: [] };
  const { fitting, refused } = filterNodes(info, cluster);
  if (fitting.length === 0) {
    const candidates = [...refused].filter(([, why]) => why.every((r) => r.resolvable));
    return {
      kind: 'unschedulable',
      message: explainRefusals(cluster.nodeCount, [...refused.values()]),
      candidates: candidates.map(([name]) => name),
    };
  }
  return { kind: 'fits', node: bestNode(info, cluster, fitting, random).name };
}

/** Splits the nodes into those that can take the pod and those that cannot, with the reasons. */
export function filterNodes(
  info: PodInfo,
  cluster: ClusterView,
): { readonly fitting: readonly NodeInfo[]; readonly refused: Map<string, readonly Refusal[]> } {
  const filters = FILTERS.flatMap((plugin) => plugin.begin(info, cluster) ?? []);
  const fitting: NodeInfo[] = [];
  const refused = new Map<string, readonly Refusal[]>();
  for (const node of cluster.nodes()) {
    const refusals = firstRefusals(filters, node);
    if (refusals === undefined) fitting.push(node);
    else refused.set(node.name, refusals);
  }
  return { fitting, refused };
}

/**
 * What the pod asks for and this release cannot honour: to place it regardless would break its promise,
 * so it is refused and told so.
 */
export function unsupportedConstraint(pod: Pod): string | undefined {
  if ((pod.spec.resourceClaims ?? []).length > 0) {
    return 'pod uses resourceClaims, which this cluster does not support';
  }
  for (const volume of pod.spec.volumes ?? []) {
    if (volume.persistentVolumeClaim || volume.ephemeral) {
      return `volume "${volume.name}" uses a persistent volume claim, which this cluster does not support`;
    }
  }
  return undefined;
}

function firstRefusals(
  filters: readonly ((node: NodeInfo) => readonly Refusal[])[],
  node: NodeInfo,
): readonly Refusal[] | undefined {
  for (const filter of filters) {
    const refusals = filter(node);
    if (refusals.length > 0) return refusals;
  }
  return undefined;
}

function refuseAll(cluster: ClusterView, reason: string): Decision {
  const message = `0/${cluster.nodeCount} nodes are available: ${reason}.`;
  return { kind: 'unschedulable', message, candidates: [] };
}

function bestNode(
  info: PodInfo,
  cluster: ClusterView,
  fitting: readonly NodeInfo[],
  random: Random,
): NodeInfo {
  const totals = new Map<NodeInfo, number>(fitting.map((node) => [node, 0]));
  if (fitting.length > 1) {
    for (const plugin of SCORES) addScores(totals, plugin, info, cluster, fitting);
  }
  const best = Math.max(...totals.values());
  return random.pick(fitting.filter((node) => (totals.get(node) ?? 0) >= best));
}

function addScores(
  totals: Map<NodeInfo, number>,
  plugin: ScorePlugin,
  info: PodInfo,
  cluster: ClusterView,
  fitting: readonly NodeInfo[],
): void {
  const score = plugin.begin(info, cluster, fitting);
  if (!score) return;
  const raw = fitting.map((node) => score(node));
  const highest = Math.max(...raw);
  fitting.forEach((node, index) => {
    const scaled = scale(plugin.scale, raw[index] ?? 0, highest);
    totals.set(node, (totals.get(node) ?? 0) + plugin.weight * scaled);
  });
}

function scale(how: ScorePlugin['scale'], value: number, highest: number): number {
  if (how === 'none') return value;
  if (highest <= 0) return how === 'lowest' ? 100 : 0;
  const relative = (value / highest) * 100;
  return how === 'lowest' ? 100 - relative : relative;
}
