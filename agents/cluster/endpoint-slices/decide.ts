/**
 * The EndpointSlices of a Service: which to create, change and delete so that together they hold its endpoints, with as
 * few writes as that takes. An endpoint stays in the slice it is in; new ones fill slices that are written anyway or have
 * room. Pure.
 */

import {
  addressOf,
  HEADLESS_LABEL,
  hasEndpoint,
  hostnameOf,
  isHeadless,
  targetPortOf,
  targetRefOf,
} from '../endpoint-pods.ts';
import type { DiscoveryEndpointPort, Endpoint, EndpointSlice, Pod, Service } from '../kinds.ts';
import { controllerReference } from '../owners.ts';
import { isPodReady } from '../pods.ts';
import { canonicalJson } from '../statuses.ts';

export const SERVICE_LABEL = 'kubernetes.io/service-name';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
export const CONTROLLER = 'endpointslice-controller.k8s.io';

/** Endpoints in one slice at most. */
export const SLICE_MAX = 100;

type Family = 'IPv4' | 'IPv6';
type Group = { readonly ports: DiscoveryEndpointPort[]; readonly endpoints: Map<string, Endpoint> };

export type SliceInputs = {
  readonly service: Service;
  /** The pods it selects. */
  readonly pods: readonly Pod[];
  /** The slices this controller keeps for it. */
  readonly present: readonly EndpointSlice[];
  readonly zoneOf: (node: string) => string | undefined;
};

export type SliceDecision = {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly delete: readonly EndpointSlice[];
};

/** Compares the slices with the endpoints they should hold. */
export function decideSlices(inputs: SliceInputs): SliceDecision {
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const doomed: EndpointSlice[] = [];
  const families = familiesOf(inputs.service);
  for (const slice of inputs.present) {
    if (!families.includes(slice.addressType as Family)) doomed.push(slice);
  }
  for (const family of families) {
    const groups = groupEndpoints(inputs, family);
    const present = inputs.present.filter((slice) => slice.addressType === family);
    const left = new Set(present);
    for (const [key, group] of groups) {
      const own = present.filter((slice) => canonicalJson(slice.ports ?? []) === key);
      for (const slice of own) left.delete(slice);
      const outcome = fill(inputs.service, family, group, own);
      create.push(...outcome.create);
      update.push(...outcome.update);
      doomed.push(...outcome.delete);
    }
    doomed.push(...left);
  }
  return { create, update, delete: doomed };
}

function familiesOf(service: Service): Family[] {
  const listed = (service.spec.ipFamilies ?? []).filter(isFamily);
  return listed.length > 0 ? listed : ['IPv4'];
}

function isFamily(text: string): text is Family {
  return text === 'IPv4' || text === 'IPv6';
}

/** Endpoints by the ports they have; a Service without endpoints keeps one empty slice. */
function groupEndpoints(inputs: SliceInputs, family: Family): Map<string, Group> {
  const { service, pods } = inputs;
  const groups = new Map<string, Group>();
  for (const pod of pods) {
    const ip = addressOf(pod, family);
    if (ip === undefined || !hasEndpoint(pod, true)) continue;
    const ports = portsOf(service, pod);
    const key = canonicalJson(ports);
    const group: Group = groups.get(key) ?? { ports, endpoints: new Map() };
    group.endpoints.set(pod.metadata.uid ?? '', endpointOf(inputs, pod, ip));
    groups.set(key, group);
  }
  if (groups.size === 0) groups.set('[]', { ports: [], endpoints: new Map() });
  return groups;
}

function portsOf(service: Service, pod: Pod): DiscoveryEndpointPort[] {
  const ports: DiscoveryEndpointPort[] = [];
  for (const port of service.spec.ports ?? []) {
    const number = targetPortOf(pod, port);
    if (number === undefined) continue;
    ports.push({
      name: port.name ?? '',
      port: number,
      protocol: port.protocol ?? 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    });
  }
  return ports;
}

function endpointOf({ service, zoneOf }: SliceInputs, pod: Pod, ip: string): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const publishAll = service.spec.publishNotReadyAddresses === true;
  const hostname = hostnameOf(pod, service);
  const { nodeName } = pod.spec;
  const zone = nodeName === undefined ? undefined : zoneOf(nodeName);
  return {
    addresses: [ip],
    conditions: { ready: publishAll || (serving && !terminating), serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: targetRefOf(pod),
    ...(zone === undefined ? {} : { zone }),
  };
}

function fill(
  service: Service,
  family: Family,
  group: Group,
  own: readonly EndpointSlice[],
): SliceDecision {
  const waiting = new Map(group.endpoints);
  const drafts = own.map((slice) => ({ slice, kept: keep(slice, waiting) }));
  // Slices that are written anyway take newcomers first, then the fullest that have room.
  const byNeed = [...drafts].sort(
    (a, b) => Number(differs(b)) - Number(differs(a)) || b.kept.length - a.kept.length,
  );
  for (const draft of byNeed) {
    for (const [uid, endpoint] of waiting) {
      if (draft.kept.length >= SLICE_MAX) break;
      draft.kept.push(endpoint);
      waiting.delete(uid);
    }
  }
  const fresh: Endpoint[][] = [];
  const rest = [...waiting.values()];
  for (let at = 0; at < rest.length; at += SLICE_MAX) fresh.push(rest.slice(at, at + SLICE_MAX));
  if (own.length === 0 && fresh.length === 0) fresh.push([]);
  const full = drafts.filter(({ kept }) => kept.length > 0);
  // The last empty slice stays: it says that the Service has no endpoints.
  const spare = full.length === 0 && fresh.length === 0 ? drafts.slice(0, 1) : [];
  const staying = [...full, ...spare];
  const update = staying.flatMap(({ slice, kept }) => {
    const next = withEndpoints(service, slice, kept);
    return facts(next) === facts(slice) ? [] : [next];
  });
  return {
    create: fresh.map((endpoints) => newSlice(service, family, group.ports, endpoints)),
    update,
    delete: own.filter((slice) => !staying.some((draft) => draft.slice === slice)),
  };
}

/** The endpoints of a slice that stay, in their present state; takes them out of `waiting`. */
function keep(slice: EndpointSlice, waiting: Map<string, Endpoint>): Endpoint[] {
  const kept: Endpoint[] = [];
  for (const endpoint of slice.endpoints ?? []) {
    const uid = endpoint.targetRef?.uid ?? '';
    const wanted = waiting.get(uid);
    if (!wanted) continue;
    waiting.delete(uid);
    kept.push(wanted);
  }
  return kept;
}

function differs({ slice, kept }: { slice: EndpointSlice; kept: readonly Endpoint[] }): boolean {
  return canonicalJson(slice.endpoints ?? []) !== canonicalJson(kept);
}

function newSlice(
  service: Service,
  family: Family,
  ports: DiscoveryEndpointPort[],
  endpoints: Endpoint[],
): EndpointSlice {
  const { name, namespace } = service.metadata;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: '',
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: labelsOf(service),
      ownerReferences: [controllerReference(service, 'v1', 'Service')],
    },
    addressType: family,
    endpoints,
    ports,
  };
}

function withEndpoints(
  service: Service,
  slice: EndpointSlice,
  endpoints: Endpoint[],
): EndpointSlice {
  const ownerReferences = [controllerReference(service, 'v1', 'Service')];
  const metadata = { ...slice.metadata, labels: labelsOf(service), ownerReferences };
  return { ...slice, metadata, endpoints };
}

function labelsOf(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    ...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
    [SERVICE_LABEL]: service.metadata.name,
    [MANAGED_BY_LABEL]: CONTROLLER,
  };
}

function facts({ endpoints = [], metadata }: EndpointSlice): string {
  return canonicalJson([endpoints, metadata.labels ?? {}, metadata.ownerReferences ?? []]);
}
