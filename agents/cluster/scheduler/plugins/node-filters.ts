/** Filters that look at the node alone: name, schedulability, taints, labels. */

import type { Node } from '../../kinds.ts';
import { matchesNodeSelector } from '../../node-selectors.ts';
import { firstUntolerated, TAINT_UNSCHEDULABLE, tolerates } from '../../taints.ts';
import { type FilterPlugin, PASSES, refuse } from '../plugin.ts';
import type { PodInfo } from '../requests.ts';

/** `spec.nodeName` of a pod that names its node; bound pods never come here. */
export const nodeName: FilterPlugin = {
  name: 'NodeName',
  begin(info) {
    const wanted = info.pod.spec.nodeName;
    if (!wanted) return undefined;
    return (node) =>
      node.name === wanted ? PASSES : refuse("node(s) didn't match the requested node name");
  },
};

/** Cordoned nodes, unless the pod tolerates the unschedulable taint. */
export const nodeUnschedulable: FilterPlugin = {
  name: 'NodeUnschedulable',
  begin(info) {
    const taint = { key: TAINT_UNSCHEDULABLE, effect: 'NoSchedule' };
    const tolerated = (info.pod.spec.tolerations ?? []).some((t) => tolerates(t, taint));
    if (tolerated) return undefined;
    return ({ node }) =>
      node.spec.unschedulable === true ? refuse('node(s) were unschedulable') : PASSES;
  },
};

/** NoSchedule and NoExecute taints; dead and starting nodes are kept away by their taints too. */
export const taintToleration: FilterPlugin = {
  name: 'TaintToleration',
  begin(info) {
    const tolerations = info.pod.spec.tolerations ?? [];
    const effects = ['NoSchedule', 'NoExecute'];
    return ({ node }) => {
      const taint = firstUntolerated(node.spec.taints ?? [], tolerations, effects);
      if (!taint) return PASSES;
      return refuse(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`);
    };
  },
};

/** nodeSelector and required node affinity. */
export const nodeAffinity: FilterPlugin = {
  name: 'NodeAffinity',
  begin(info) {
    if (!asksForNodes(info)) return undefined;
    return ({ node }) =>
      matchesRequiredAffinity(info, node)
        ? PASSES
        : refuse("node(s) didn't match Pod's node affinity/selector");
  },
};

/** True when the pod's nodeSelector and required node affinity admit `node`. */
export function matchesRequiredAffinity(info: PodInfo, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const selector = Object.entries(info.pod.spec.nodeSelector ?? {});
  if (!selector.every(([key, value]) => labels[key] === value)) return false;
  const required = requiredAffinity(info);
  return required === undefined || matchesNodeSelector(required, node);
}

function asksForNodes(info: PodInfo): boolean {
  const selector = info.pod.spec.nodeSelector;
  return (selector && Object.keys(selector).length > 0) || requiredAffinity(info) !== undefined;
}

function requiredAffinity(info: PodInfo) {
  return info.pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
}
