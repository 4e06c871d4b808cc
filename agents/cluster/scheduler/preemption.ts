/**
 * Preemption: which pods of lower priority must leave which node so that a pod fits. On each node all lesser
 * pods are taken away first; those that can stay after all are put back, the most important first. The node that
 * loses least wins. Pure: works on copies.
 */

import { filterNodes } from './decide.ts';
import { explainPreemption } from './explain.ts';
import type { NodeInfo } from './node-info.ts';
import type { ClusterView } from './plugin.ts';
import type { PodInfo } from './requests.ts';

export type Preemption =
  | { readonly kind: 'evict'; readonly node: string; readonly victims: readonly PodInfo[] }
  | { readonly kind: 'none'; readonly message: string };

const NOT_HELPFUL = 'Preemption is not helpful for scheduling';
const NO_VICTIMS = 'No preemption victims found for incoming pod';
const NOT_ELIGIBLE = ' preemption: not eligible due to preemptionPolicy=Never.';

/** Decides whether evicting pods from one of `candidates` lets `info` in, and which. */
export function decidePreemption(
  info: PodInfo,
  cluster: ClusterView,
  candidates: readonly string[],
): Preemption {
  if (info.pod.spec.preemptionPolicy === 'Never') return { kind: 'none', message: NOT_ELIGIBLE };
  const reasons: string[] = [];
  let best: { node: string; victims: readonly PodInfo[] } | undefined;
  for (const node of cluster.nodes()) {
    if (!candidates.includes(node.name)) {
      reasons.push(NOT_HELPFUL);
      continue;
    }
    const victims = victimsOn(node, info, cluster);
    if (!victims) reasons.push(NO_VICTIMS);
    else if (!best || isCheaper(victims, best.victims)) best = { node: node.name, victims };
  }
  if (best) return { kind: 'evict', ...best };
  return { kind: 'none', message: explainPreemption(cluster.nodeCount, reasons) };
}

function victimsOn(
  node: NodeInfo,
  info: PodInfo,
  cluster: ClusterView,
): readonly PodInfo[] | undefined {
  const lesser = [...node.pods.values()].filter((pod) => pod.priority < info.priority);
  if (lesser.length === 0) return undefined;
  const trial = node.clone();
  for (const pod of lesser) trial.remove(pod.uid);
  const view = withNode(cluster, trial);
  const fits = () => filterNodes(info, view).fitting.includes(trial);
  if (!fits()) return undefined;
  const victims: PodInfo[] = [];
  for (const pod of lesser.sort((a, b) => b.priority - a.priority)) {
    trial.add(pod);
    if (fits()) continue;
    trial.remove(pod.uid);
    victims.push(pod);
  }
  return victims;
}

/** The cluster reduced to its other nodes as context and `trial` as the one that is judged anew. */
function withNode(cluster: ClusterView, trial: NodeInfo): ClusterView {
  return {
    nodeCount: cluster.nodeCount,
    *nodes() {
      for (const node of cluster.nodes()) yield node.name === trial.name ? trial : node;
    },
    services: (namespace) => cluster.services(namespace),
    namespaceLabels: (namespace) => cluster.namespaceLabels(namespace),
  };
}

/** Lower highest priority, then lower sum, then fewer victims. */
function isCheaper(a: readonly PodInfo[], b: readonly PodInfo[]): boolean {
  const keys = (victims: readonly PodInfo[]) => [
    Math.max(...victims.map((victim) => victim.priority)),
    victims.reduce((sum, victim) => sum + victim.priority, 0),
    victims.length,
  ];
  const [left, right] = [keys(a), keys(b)];
  for (let index = 0; index < left.length; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
