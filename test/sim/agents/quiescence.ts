/** What must be true of the cluster once nothing happens to it any more. */

import type { Pod } from '../../../agents/cluster/kinds.ts';
import { firstTwice } from './laws.ts';
import type { Machine } from './machine.ts';
import { DUD } from './users.ts';
import { type ClusterView, controllerUid, isLive, isReady } from './view.ts';

export type Settled = {
  readonly view: ClusterView;
  /** Those that live; the others have failed for good. */
  readonly machines: readonly Machine[];
};

/** What is not yet as it must be; undefined if everything is. */
export function whatIsAmiss(settled: Settled): string | undefined {
  return (
    amissWithNodes(settled) ??
    amissWithPods(settled) ??
    amissWithReplicas(settled) ??
    amissWithEndpoints(settled) ??
    amissWithOwners(settled) ??
    amissWithContainers(settled)
  );
}

function amissWithNodes({ view, machines }: Settled): string | undefined {
  const living = new Set(machines.map(({ node }) => node));
  const nodes = view.list('nodes');
  const missing = machines.find(({ node }) =>
    nodes.every(({ metadata }) => metadata.name !== node),
  );
  if (missing !== undefined) return `${missing.node} has no Node`;
  for (const { metadata, spec, status } of nodes) {
    const { name } = metadata;
    const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    if (living.has(name) !== (ready === 'True')) return `${name} is Ready=${ready}`;
    if (!living.has(name)) continue;
    if (spec.podCIDR === undefined) return `${name} has no pod subnet`;
    if ((spec.taints ?? []).length > 0) return `${name} has taints ${JSON.stringify(spec.taints)}`;
  }
  return undefined;
}

function amissWithPods({ view, machines }: Settled): string | undefined {
  const living = new Set(machines.map(({ node }) => node));
  const pods = view.list('pods');
  for (const pod of pods) {
    const { name, deletionTimestamp } = pod.metadata;
    const { nodeName = 'no node' } = pod.spec;
    if (deletionTimestamp !== undefined) return `pod ${name} on ${nodeName} does not go`;
    if (!living.has(nodeName)) return `pod ${name} is bound to ${nodeName}`;
    const { phase } = pod.status ?? {};
    const isDud = pod.metadata.labels?.['app'] === DUD;
    if (phase !== 'Running' || isReady(pod) === isDud) {
      return `pod ${name} on ${nodeName} is ${phase}, ready=${isReady(pod)}`;
    }
  }
  const twice = firstTwice(pods.map(({ status }) => status?.podIP));
  return twice === undefined ? undefined : `two pods have the address ${twice}`;
}

function amissWithReplicas({ view }: Settled): string | undefined {
  const owned = new Map<string, number>();
  for (const pod of view.list('pods')) {
    const owner = controllerUid(pod);
    if (owner !== undefined && isLive(pod)) owned.set(owner, (owned.get(owner) ?? 0) + 1);
  }
  for (const { metadata, spec, status } of view.list('replicasets')) {
    const has = owned.get(metadata.uid ?? '') ?? 0;
    const { replicas = 1 } = spec;
    if (has !== replicas) return `ReplicaSet ${metadata.name} has ${has} of ${replicas} pods`;
    const ready = spec.selector.matchLabels?.['app'] === DUD ? 0 : has;
    if ((status?.readyReplicas ?? 0) !== ready) return `the status of ${metadata.name} is old`;
  }
  for (const { metadata, spec, status } of view.list('deployments')) {
    // What never gets ready is never rolled out either.
    if (metadata.name === DUD) continue;
    const sets = view.list('replicasets').filter((set) => controllerUid(set) === metadata.uid);
    const has = sets.reduce((sum, set) => sum + (set.spec.replicas ?? 1), 0);
    const { replicas = 1 } = spec;
    if (has !== replicas) return `Deployment ${metadata.name} has ${has} of ${replicas} replicas`;
    if ((status?.updatedReplicas ?? 0) !== replicas) return `${metadata.name} is not rolled out`;
  }
  return undefined;
}

function amissWithEndpoints({ view }: Settled): string | undefined {
  for (const { metadata, spec } of view.list('services')) {
    const { name, namespace } = metadata;
    const selector = Object.entries(spec.selector ?? {});
    if (selector.length === 0) continue;
    const matches = (pod: Pod) =>
      pod.metadata.namespace === namespace &&
      selector.every(([label, value]) => pod.metadata.labels?.[label] === value);
    const wanted = listed(
      view
        .list('pods')
        .filter((pod) => matches(pod) && isLive(pod) && isReady(pod))
        .map(({ status }) => status?.podIP),
    );
    const slices = view
      .list('endpointslices')
      .filter((slice) => slice.metadata.labels?.['kubernetes.io/service-name'] === name);
    const serving = slices.flatMap(({ endpoints }) =>
      (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false),
    );
    const inSlices = listed(serving.flatMap(({ addresses }) => addresses));
    if (inSlices !== wanted) return `slices of ${name} have ${inSlices}, its pods are ${wanted}`;
    const endpoints = view.list('endpoints').find((one) => one.metadata.name === name);
    const inEndpoints = listed(
      (endpoints?.subsets ?? []).flatMap(({ addresses }) => (addresses ?? []).map(({ ip }) => ip)),
    );
    if (inEndpoints !== wanted) return `endpoints ${name} have ${inEndpoints} instead of ${wanted}`;
  }
  return undefined;
}

const listed = (addresses: readonly (string | undefined)[]) => [...addresses].sort().join();

function amissWithOwners({ view }: Settled): string | undefined {
  const uids = view.uids();
  for (const { metadata } of view.all()) {
    const lost = metadata.ownerReferences?.find(({ uid }) => !uids.has(uid));
    if (lost !== undefined) return `${metadata.name} outlives its owner ${lost.name}`;
  }
  return undefined;
}

function amissWithContainers({ view, machines }: Settled): string | undefined {
  for (const { node, containers } of machines) {
    const pods = view.list('pods').filter(({ spec }) => spec.nodeName === node);
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const { id, podUid } of containers.values()) {
      if (!uids.has(podUid)) return `container ${id.slice(-4)} on ${node} has no pod: ${podUid}`;
    }
    for (const { metadata } of pods) {
      const own = [...containers.values()].filter(({ podUid }) => podUid === metadata.uid);
      const running = own.filter(({ running }) => running);
      if (running.filter(({ isSandbox }) => isSandbox).length !== 1) {
        return `pod ${metadata.name} on ${node} has not one sandbox`;
      }
      if (running.length !== 2) return `pod ${metadata.name} on ${node} has not one container`;
    }
  }
  return undefined;
}
