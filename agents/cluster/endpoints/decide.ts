/** The Endpoints object of a Service. Pure. */

import {
  addressOf,
  HEADLESS_LABEL,
  hasEndpoint,
  hostnameOf,
  isHeadless,
  targetPortOf,
  targetRefOf,
} from '../endpoint-pods.ts';
import type {
  EndpointAddress,
  EndpointPort,
  EndpointSubset,
  Endpoints,
  Pod,
  Service,
} from '../kinds.ts';
import { isPodReady } from '../pods.ts';
import { canonicalJson } from '../statuses.ts';

/** Addresses in one Endpoints object at most; the rest is cut off and the object says so. */
export const ADDRESSES_MAX = 1000;
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

/** Tells the objects kept here from those that users make for Services without a selector. */
const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const CONTROLLER = 'endpoint-controller';

type Member = { readonly address: EndpointAddress; readonly ready: boolean };

/** The Endpoints that `service` should have over `pods` (those it selects). */
export function decideEndpoints(service: Service, pods: readonly Pod[]): Endpoints {
  const { name, namespace, labels } = service.metadata;
  const subsets = decideSubsets(service, pods);
  const truncated = truncate(subsets);
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: {
        ...labels,
        ...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
        [MANAGED_BY]: CONTROLLER,
      },
      ...(truncated ? { annotations: { [OVER_CAPACITY]: 'truncated' } } : {}),
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}

/** The object to write, or undefined when `present` says the same already. */
export function decideWrite(
  present: Endpoints | undefined,
  wanted: Endpoints,
): Endpoints | undefined {
  if (!present) return wanted;
  const { [OVER_CAPACITY]: _old, ...others } = present.metadata.annotations ?? {};
  const annotations = { ...others, ...wanted.metadata.annotations };
  const facts = ({ subsets = [], metadata }: Endpoints) =>
    canonicalJson([subsets, metadata.labels ?? {}, metadata.annotations ?? {}]);
  const next: Endpoints = {
    ...wanted,
    metadata: { ...present.metadata, labels: wanted.metadata.labels ?? {}, annotations },
  };
  return facts(next) === facts(present) ? undefined : next;
}

/** True for an object that this controller made, and so may remove when its Service is gone. */
export function isOurs(endpoints: Endpoints): boolean {
  return endpoints.metadata.labels?.[MANAGED_BY] === CONTROLLER;
}

function decideSubsets(service: Service, pods: readonly Pod[]): EndpointSubset[] {
  const publishAll = service.spec.publishNotReadyAddresses === true;
  const family = service.spec.ipFamilies?.[0] === 'IPv6' ? 'IPv6' : 'IPv4';
  // Pods with the same port numbers share a subset: named ports may differ from pod to pod.
  const groups = new Map<string, { ports: EndpointPort[]; members: Member[] }>();
  for (const pod of pods) {
    const ip = addressOf(pod, family);
    if (ip === undefined || !hasEndpoint(pod, publishAll)) continue;
    const ports = portsOf(service, pod);
    if (ports === undefined) continue;
    const key = canonicalJson(ports);
    const group = groups.get(key) ?? { ports, members: [] };
    group.members.push({
      address: addressFor(service, pod, ip),
      ready: publishAll || isPodReady(pod),
    });
    groups.set(key, group);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => subsetOf(group));
}

/** Undefined when the pod has none of the Service's ports. A headless Service may have no ports at all. */
function portsOf(service: Service, pod: Pod): EndpointPort[] | undefined {
  const declared = service.spec.ports ?? [];
  if (declared.length === 0) return isHeadless(service) ? [] : undefined;
  const ports: EndpointPort[] = [];
  for (const port of declared) {
    const number = targetPortOf(pod, port);
    if (number === undefined) continue;
    ports.push({
      ...(port.name === undefined ? {} : { name: port.name }),
      port: number,
      protocol: port.protocol ?? 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    });
  }
  return ports.length === 0 ? undefined : ports;
}

function addressFor(service: Service, pod: Pod, ip: string): EndpointAddress {
  const hostname = hostnameOf(pod, service);
  const { nodeName } = pod.spec;
  return {
    ...(hostname === undefined ? {} : { hostname }),
    ip,
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: targetRefOf(pod),
  };
}

function subsetOf(group: { ports: EndpointPort[]; members: Member[] }): EndpointSubset {
  const members = group.members.sort((a, b) => (a.address.ip < b.address.ip ? -1 : 1));
  const addresses = members.filter(({ ready }) => ready).map(({ address }) => address);
  const waiting = members.filter(({ ready }) => !ready).map(({ address }) => address);
  return {
    ...(addresses.length === 0 ? {} : { addresses }),
    ...(waiting.length === 0 ? {} : { notReadyAddresses: waiting }),
    ...(group.ports.length === 0 ? {} : { ports: group.ports }),
  };
}

/** Cuts the subsets down to the limit, addresses that serve first; true when something was cut. */
function truncate(subsets: EndpointSubset[]): boolean {
  let left = ADDRESSES_MAX;
  let cut = false;
  for (const field of ['addresses', 'notReadyAddresses'] as const) {
    for (const subset of subsets) {
      const list = subset[field] ?? [];
      if (list.length > left) {
        subset[field] = list.slice(0, left);
        cut = true;
      }
      left -= Math.min(left, list.length);
    }
  }
  return cut;
}
