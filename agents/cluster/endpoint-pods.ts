/** What Endpoints and EndpointSlices share: which pods a Service has, at which ports. Pure. */

import type { Pod, Service, ServicePort } from './kinds.ts';
import { isPodFinished, isPodReady } from './pods.ts';
import { matchesLabels } from './selectors.ts';

/** Marks the endpoints of Services without a cluster IP. */
export const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** True when the cluster keeps the Service's endpoints: it selects pods and is not an alias. */
export function isManaged(service: Service): boolean {
  const { selector, type } = service.spec;
  return type !== 'ExternalName' && selector !== undefined && Object.keys(selector).length > 0;
}

export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === 'None';
}

/** True when `service` selects `pod`. */
export function selects(service: Service, pod: Pod): boolean {
  return isManaged(service) && matchesLabels(service.spec.selector ?? {}, pod.metadata.labels);
}

/** True for a pod that has an address to send to; one on its way out counts only if asked for. */
export function hasEndpoint(pod: Pod, includeTerminating: boolean): boolean {
  if (isPodFinished(pod) || !pod.status?.podIP) return false;
  return includeTerminating || pod.metadata.deletionTimestamp === undefined;
}

/** The pod's address of a family, if it has one. */
export function addressOf(pod: Pod, family: 'IPv4' | 'IPv6'): string | undefined {
  const listed = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const single = pod.status?.podIP;
  const all = listed.length > 0 || single === undefined ? listed : [single];
  return all.find((ip) => ip.includes(':') === (family === 'IPv6'));
}

/** The container port that a Service's port means in `pod`; undefined when a named one is missing there. */
export function targetPortOf(pod: Pod, port: ServicePort): number | undefined {
  const { targetPort = port.port, protocol = 'TCP' } = port;
  if (typeof targetPort === 'number') return targetPort === 0 ? port.port : targetPort;
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const declared of container.ports ?? []) {
      const sameProtocol = (declared.protocol ?? 'TCP') === protocol;
      if (sameProtocol && declared.name === targetPort) return declared.containerPort;
    }
  }
  return /^\d+$/.test(targetPort) ? Number(targetPort) : undefined;
}

/** The name by which a headless Service's DNS knows the pod. */
export function hostnameOf(pod: Pod, service: Service): string | undefined {
  const { hostname, subdomain } = pod.spec;
  return hostname && subdomain === service.metadata.name ? hostname : undefined;
}

/** The reference from an endpoint to its pod. */
export function targetRefOf(pod: Pod) {
  const { namespace, name, uid } = pod.metadata;
  return { kind: 'Pod', namespace, name, uid };
}

/** What of a pod endpoints are made from: a change elsewhere is not theirs. */
export function endpointFacts(pod: Pod): string {
  return JSON.stringify([
    pod.metadata.uid,
    pod.metadata.labels,
    pod.metadata.deletionTimestamp !== undefined,
    pod.status?.podIP,
    pod.status?.podIPs,
    isPodReady(pod),
    isPodFinished(pod),
    pod.spec.nodeName,
  ]);
}
