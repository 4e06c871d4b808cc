/**
 * The vocabulary of the scheduling pipeline. A plugin is asked once per pod whether it applies, and if so
 * answers with a function that judges one node; whatever it needs to sum up over the cluster it sums up then.
 */

import type { Service } from '../kinds.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './requests.ts';

/** Why a node cannot take a pod, in upstream's words, as users and tools know them. */
export type Refusal = {
  readonly reason: string;
  /** True if evicting pods of lower priority from the node could change the answer. */
  readonly resolvable: boolean;
};

/** What plugins may read besides the pod: the nodes with their pods, and related objects. */
export interface ClusterView {
  readonly nodeCount: number;
  nodes(): Iterable<NodeInfo>;
  services(namespace: string): readonly Service[];
  namespaceLabels(namespace: string): Readonly<Record<string, string>>;
}

export type FilterPlugin = {
  readonly name: string;
  /** Undefined when the plugin has nothing to say about this pod. An empty list of refusals lets the node pass. */
  readonly begin: (
    info: PodInfo,
    cluster: ClusterView,
  ) => ((node: NodeInfo) => readonly Refusal[]) | undefined;
};

export type ScorePlugin = {
  readonly name: string;
  readonly weight: number;
  /**
   * How raw scores become 0..100. `none`: they are so already; `highest`: relative to the highest node;
   * `lowest`: relative too, and less is better.
   */
  readonly scale: 'none' | 'highest' | 'lowest';
  /** `candidates` are the nodes that passed the filters. */
  readonly begin: (
    info: PodInfo,
    cluster: ClusterView,
    candidates: readonly NodeInfo[],
  ) => ((node: NodeInfo) => number) | undefined;
};

/** The answer of a filter that lets a node pass. */
export const PASSES: readonly Refusal[] = [];

/** One refusal that no eviction can change. */
export function refuse(reason: string): readonly Refusal[] {
  return [{ reason, resolvable: false }];
}

/** One refusal that evictions from the node could lift. */
export function refuseForNow(reason: string): readonly Refusal[] {
  return [{ reason, resolvable: true }];
}
