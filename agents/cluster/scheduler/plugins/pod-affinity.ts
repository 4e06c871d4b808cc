/**
 * Required pod affinity and anti-affinity. Three rules: the pod's own affinity terms must find company in
 * the node's topology domain, its own anti-affinity terms must not, and no pod already there may be
 * averse to the newcomer.
 */

import { matchesLabelSelector } from '../../../../src/resources/labels.ts';
import type { Pod, PodAffinityTerm } from '../../kinds.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ScorePlugin } from '../plugin.ts';
import { type ClusterView, type FilterPlugin, PASSES, refuse, refuseForNow } from '../plugin.ts';
import type { PodInfo } from '../requests.ts';

type Labels = Readonly<Record<string, string>>;
type Term = {
  readonly topologyKey: string;
  readonly matches: (pod: Pod) => boolean;
};

export const interPodAffinity: FilterPlugin = {
  name: 'InterPodAffinity',
  begin(info, cluster) {
    const affinity = compile(info.pod, affinityTerms(info.pod), cluster);
    const antiAffinity = compile(info.pod, antiAffinityTerms(info.pod), cluster);
    const averse = aversions(info.pod, cluster);
    if (affinity.length + antiAffinity.length + averse.size === 0) return undefined;
    const company = countCompany(affinity, cluster);
    const rivals = countEach(antiAffinity, cluster);
    const selfSufficient = company.size === 0 && affinity.every((term) => term.matches(info.pod));
    return (node) => {
      if (!hasCompany(node, affinity, company, selfSufficient)) {
        return refuse("node(s) didn't match pod affinity rules");
      }
      if (antiAffinity.some((term) => hasPair(rivals, term.topologyKey, node.labels))) {
        return refuseForNow("node(s) didn't match pod anti-affinity rules");
      }
      if ([...averse].some((pair) => pairHolds(pair, node.labels))) {
        return refuseForNow("node(s) didn't satisfy existing pods anti-affinity rules");
      }
      return PASSES;
    };
  },
};

/**
 * Preferred affinity counts for, preferred anti-affinity against, each matching pod in the node's domain. Raw scores may be
 * negative, so they are shifted to start at zero before they are scaled.
 */
export const interPodAffinityScore: ScorePlugin = {
  name: 'InterPodAffinity',
  weight: 2,
  scale: 'highest',
  begin(info, cluster, candidates) {
    const { podAffinity, podAntiAffinity } = info.pod.spec.affinity ?? {};
    const wanted = podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const avoided = podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (wanted.length + avoided.length === 0) return undefined;
    const weighted = [
      ...wanted.map(({ weight, podAffinityTerm }) => ({ weight, term: podAffinityTerm })),
      ...avoided.map(({ weight, podAffinityTerm }) => ({ weight: -weight, term: podAffinityTerm })),
    ].flatMap(({ weight, term }) =>
      compile(info.pod, [term], cluster).map((compiled) => ({ weight, term: compiled })),
    );
    const byPair = new Map<string, number>();
    forEachPod(cluster, (other, node) => {
      for (const { weight, term } of weighted) {
        const value = node.labels[term.topologyKey];
        if (value === undefined || !term.matches(other.pod)) continue;
        const pair = `${term.topologyKey}=${value}`;
        byPair.set(pair, (byPair.get(pair) ?? 0) + weight);
      }
    });
    const keys = [...new Set(weighted.map(({ term }) => term.topologyKey))];
    const raw = (node: NodeInfo) =>
      keys.reduce((sum, key) => sum + (byPair.get(`${key}=${node.labels[key]}`) ?? 0), 0);
    const lowest = Math.min(...candidates.map(raw));
    return (node) => raw(node) - lowest;
  },
};

/** The required anti-affinity terms of a pod. */
export function antiAffinityTerms(pod: Pod): readonly PodAffinityTerm[] {
  return pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

function affinityTerms(pod: Pod): readonly PodAffinityTerm[] {
  return pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

function compile(owner: Pod, terms: readonly PodAffinityTerm[], cluster: ClusterView): Term[] {
  return terms.map((term) => ({
    topologyKey: term.topologyKey,
    matches: (pod) =>
      inNamespaces(term, owner, pod, cluster) &&
      matchesLabelSelector(term.labelSelector, pod.metadata.labels ?? {}) &&
      sharesLabels(term.matchLabelKeys ?? [], owner, pod, true) &&
      sharesLabels(term.mismatchLabelKeys ?? [], owner, pod, false),
  }));
}

/** No list and no selector mean the namespace of the pod that carries the term. */
function inNamespaces(term: PodAffinityTerm, owner: Pod, pod: Pod, cluster: ClusterView): boolean {
  const namespace = pod.metadata.namespace ?? '';
  const listed = term.namespaces ?? [];
  if (listed.length === 0 && !term.namespaceSelector) {
    return namespace === (owner.metadata.namespace ?? '');
  }
  if (listed.includes(namespace)) return true;
  if (!term.namespaceSelector) return false;
  return matchesLabelSelector(term.namespaceSelector, cluster.namespaceLabels(namespace));
}

function sharesLabels(keys: readonly string[], owner: Pod, pod: Pod, same: boolean): boolean {
  return keys.every((key) => {
    const wanted = owner.metadata.labels?.[key];
    return wanted === undefined || (pod.metadata.labels?.[key] === wanted) === same;
  });
}

/** Topology pairs (`key=value`) where a pod lives that matches every affinity term. */
function countCompany(terms: readonly Term[], cluster: ClusterView): Set<string> {
  const pairs = new Set<string>();
  if (terms.length === 0) return pairs;
  forEachPod(cluster, (info, node) => {
    if (!terms.every((term) => term.matches(info.pod))) return;
    for (const term of terms) addPair(pairs, term.topologyKey, node.labels);
  });
  return pairs;
}

function countEach(terms: readonly Term[], cluster: ClusterView): Set<string> {
  const pairs = new Set<string>();
  if (terms.length === 0) return pairs;
  forEachPod(cluster, (info, node) => {
    for (const term of terms) {
      if (term.matches(info.pod)) addPair(pairs, term.topologyKey, node.labels);
    }
  });
  return pairs;
}

/** Topology pairs from which some placed pod's anti-affinity shuts `pod` out. */
function aversions(pod: Pod, cluster: ClusterView): Set<string> {
  const pairs = new Set<string>();
  for (const node of cluster.nodes()) {
    for (const other of node.averse.values()) {
      const terms = compile(other.pod, antiAffinityTerms(other.pod), cluster);
      for (const term of terms) {
        if (term.matches(pod)) addPair(pairs, term.topologyKey, node.labels);
      }
    }
  }
  return pairs;
}

function hasCompany(
  node: NodeInfo,
  terms: readonly Term[],
  company: ReadonlySet<string>,
  selfSufficient: boolean,
): boolean {
  if (terms.some((term) => node.labels[term.topologyKey] === undefined)) return false;
  // The first pod of a group that seeks its own kind may go anywhere, or none ever could.
  if (selfSufficient) return true;
  return terms.every((term) => hasPair(company, term.topologyKey, node.labels));
}

function forEachPod(cluster: ClusterView, visit: (info: PodInfo, node: NodeInfo) => void): void {
  for (const node of cluster.nodes()) for (const info of node.pods.values()) visit(info, node);
}

function addPair(pairs: Set<string>, key: string, labels: Labels): void {
  const value = labels[key];
  if (value !== undefined) pairs.add(`${key}=${value}`);
}

function hasPair(pairs: ReadonlySet<string>, key: string, labels: Labels): boolean {
  const value = labels[key];
  return value !== undefined && pairs.has(`${key}=${value}`);
}

function pairHolds(pair: string, labels: Labels): boolean {
  const equals = pair.indexOf('=');
  return labels[pair.slice(0, equals)] === pair.slice(equals + 1);
}
