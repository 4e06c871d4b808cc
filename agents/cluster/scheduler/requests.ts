/**
 * What a pod asks of a node: resources (cpu in thousandths, everything else in its own unit) and host
 * ports. Computed once when a pod enters the scheduler, since filters and scores read it for each node.
 */

import { keyOf } from '../../../src/client/keys.ts';
import { milliOf, quantityOf, unitsOf } from '../../../src/resources/quantity.ts';
import type { Container, Pod } from '../kinds.ts';

export type Amounts = ReadonlyMap<string, number>;

export type HostPort = { readonly ip: string; readonly protocol: string; readonly port: number };

/** A pod with everything the pipeline derives from it. */
export type PodInfo = {
  readonly pod: Pod;
  readonly key: string;
  readonly uid: string;
  readonly priority: number;
  readonly requests: Amounts;
  /** Requests with a floor for cpu and memory, so that pods that ask for nothing still spread. */
  readonly scoring: { readonly cpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
  /** True if the pod has required anti-affinity, which later pods must respect. */
  readonly averse: boolean;
};

/** Assumed for scoring when a container asks for no cpu (thousandths) or memory (bytes), as upstream. */
const CPU_FLOOR = 100;
const MEMORY_FLOOR = 200 * 1024 * 1024;

/** Everything the pipeline needs to know of `pod`. */
export function podInfo(pod: Pod): PodInfo {
  return {
    pod,
    key: keyOf(pod),
    uid: pod.metadata.uid ?? '',
    priority: pod.spec.priority ?? 0,
    requests: podRequests(pod, false),
    scoring: scoringRequests(pod),
    hostPorts: hostPortsOf(pod),
    averse: hasRequiredAntiAffinity(pod),
  };
}

/** Amounts of a node's allocatable (capacity when absent), in the units of pod requests. */
export function amountsOf(
  resources: Readonly<Record<string, string | number>>,
): Map<string, number> {
  return new Map(
    Object.entries(resources).map(([name, quantity]) => [name, amount(name, quantity)]),
  );
}

/**
 * Containers add up; init containers run one by one beside the restartable ones started before
 * them, so that the larger of both needs counts. Overhead comes on top.
 */
function podRequests(pod: Pod, floors: boolean): Map<string, number> {
  const total = new Map<string, number>();
  const sidecars = new Map<string, number>();
  const initPeak = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const own = containerRequests(container, floors);
    if (container.restartPolicy === 'Always') {
      addTo(sidecars, own);
      maxTo(initPeak, sidecars);
    } else {
      const beside = new Map(sidecars);
      addTo(beside, own);
      maxTo(initPeak, beside);
    }
  }
  for (const container of pod.spec.containers ?? []) {
    addTo(total, containerRequests(container, floors));
  }
  addTo(total, sidecars);
  maxTo(total, initPeak);
  const overhead = pod.spec.overhead;
  if (overhead) addTo(total, amountsOf(overhead));
  return total;
}

function scoringRequests(pod: Pod): { cpu: number; memory: number } {
  const amounts = podRequests(pod, true);
  return { cpu: amounts.get('cpu') ?? 0, memory: amounts.get('memory') ?? 0 };
}

function hasRequiredAntiAffinity(pod: Pod): boolean {
  const required =
    pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required !== undefined && required.length > 0;
}

function containerRequests(container: Container, floors: boolean): Map<string, number> {
  const amounts = amountsOf(container.resources?.requests ?? {});
  if (floors) {
    if (!amounts.get('cpu')) amounts.set('cpu', CPU_FLOOR);
    if (!amounts.get('memory')) amounts.set('memory', MEMORY_FLOOR);
  }
  return amounts;
}

function hostPortsOf(pod: Pod): HostPort[] {
  const found: HostPort[] = [];
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const container of [...(pod.spec.containers ?? []), ...sidecars]) {
    for (const port of container.ports ?? []) {
      const hostPort = port.hostPort ?? (pod.spec.hostNetwork ? port.containerPort : 0);
      if (!hostPort) continue;
      const ip = port.hostIP === undefined || port.hostIP === '' ? '0.0.0.0' : port.hostIP;
      found.push({ ip, protocol: port.protocol ?? 'TCP', port: hostPort });
    }
  }
  return found;
}

function amount(name: string, text: string | number): number {
  const quantity = quantityOf(text);
  return name === 'cpu' ? milliOf(quantity) : unitsOf(quantity);
}

function addTo(total: Map<string, number>, more: Amounts): void {
  for (const [name, value] of more) total.set(name, (total.get(name) ?? 0) + value);
}

function maxTo(total: Map<string, number>, other: Amounts): void {
  for (const [name, value] of other) total.set(name, Math.max(total.get(name) ?? 0, value));
}
