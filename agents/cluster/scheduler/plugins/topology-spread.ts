/**
 * Topology spread constraints: hard ones filter, soft ones score. A domain is one value of the topology
 * key; the skew of a node is how much its domain would exceed the emptiest one with the pod in it.
 */

import { matchesLabelSelector } from '../../../../src/resources/labels.ts';
import type { Pod, TopologySpreadConstraint } from '../../kinds.ts';
import { firstUntolerated } from '../../taints.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ScorePlugin } from '../plugin.ts';
import { type ClusterView, type FilterPlugin, PASSES, refuse, refuseForNow } from '../plugin.ts';
import type { PodInfo } from '../requests.ts';
import { matchesRequiredAffinity } from './node-filters.ts';

type Domains = ReadonlyMap<string, number>;

export const topologySpread: FilterPlugin = {
  name: 'PodTopologySpread',
  begin(info, cluster) {
    const hard = constraints(info.pod, 'DoNotSchedule');
    if (hard.length === 0) return undefined;
    const checks = hard.map((constraint) => {
      const domains = countDomains(constraint, info, cluster);
      const floor = domains.size < (constraint.minDomains ?? 1) ? 0 : Math.min(...domains.values());
      const self = selects(constraint, info.pod, info.pod) ? 1 : 0;
      return { constraint, domains, floor, self };
    });
    return (node) => {
      for (const { constraint, domains, floor, self } of checks) {
        const value = node.labels[constraint.topologyKey];
        if (value === undefined) {
          return refuse(
            "node(s) didn't match pod topology spread constraints (missing required label)",
          );
        }
        if ((domains.get(value) ?? 0) + self - floor > constraint.maxSkew) {
          return refuseForNow("node(s) didn't match pod topology spread constraints");
        }
      }
      return PASSES;
    };
  },
};

export const topologySpreadScore: ScorePlugin = {
  name: 'PodTopologySpread',
  weight: 2,
  scale: 'lowest',
  begin(info, cluster) {
    const soft = constraints(info.pod, 'ScheduleAnyway');
    if (soft.length === 0) return undefined;
    const counts = soft.map((constraint) => ({
      key: constraint.topologyKey,
      domains: countDomains(constraint, info, cluster),
    }));
    const worst = counts.map(({ domains }) => Math.max(0, ...domains.values()));
    return (node) =>
      counts.reduce((sum, { key, domains }, index) => {
        const value = node.labels[key];
        // A node outside every domain is the last choice, not the emptiest domain.
        return sum + (value === undefined ? (worst[index] ?? 0) + 1 : (domains.get(value) ?? 0));
      }, 0);
  },
};

function constraints(pod: Pod, action: string): readonly TopologySpreadConstraint[] {
  return (pod.spec.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === action);
}

/** Matching pods per domain, over the nodes that count for the constraint. */
function countDomains(
  constraint: TopologySpreadConstraint,
  info: PodInfo,
  cluster: ClusterView,
): Domains {
  const domains = new Map<string, number>();
  for (const node of cluster.nodes()) {
    const value = node.labels[constraint.topologyKey];
    if (value === undefined || !counts(constraint, info, node)) continue;
    let matching = domains.get(value) ?? 0;
    for (const other of node.pods.values()) {
      if (other.pod.metadata.deletionTimestamp !== undefined) continue;
      if (selects(constraint, info.pod, other.pod)) matching++;
    }
    domains.set(value, matching);
  }
  return domains;
}

function counts(constraint: TopologySpreadConstraint, info: PodInfo, node: NodeInfo): boolean {
  const honoursAffinity = (constraint.nodeAffinityPolicy ?? 'Honor') === 'Honor';
  if (honoursAffinity && !matchesRequiredAffinity(info, node.node)) return false;
  if (constraint.nodeTaintsPolicy !== 'Honor') return true;
  const tolerations = info.pod.spec.tolerations ?? [];
  const taints = node.node.spec.taints ?? [];
  return firstUntolerated(taints, tolerations, ['NoSchedule', 'NoExecute']) === undefined;
}

function selects(constraint: TopologySpreadConstraint, owner: Pod, other: Pod): boolean {
  if (owner.metadata.namespace !== other.metadata.namespace) return false;
  const labels = other.metadata.labels ?? {};
  if (!matchesLabelSelector(constraint.labelSelector, labels)) return false;
  return (constraint.matchLabelKeys ?? []).every((key) => {
    const wanted = owner.metadata.labels?.[key];
    return wanted === undefined || labels[key] === wanted;
  });
}
