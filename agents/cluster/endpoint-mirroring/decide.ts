/** EndpointSlices that mirror an Endpoints object made by hand. Pure. */

import type {
  Endpoint,
  EndpointAddress,
  EndpointSlice,
  EndpointSubset,
  Endpoints,
  Service,
} from '../kinds.ts';
import { controllerReference } from '../owners.ts';

export const SERVICE_LABEL = 'kubernetes.io/service-name';
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
export const CONTROLLER = 'endpointslicemirroring-controller.k8s.io';
const SKIP_LABEL = 'endpointslice.kubernetes.io/skip-mirror';

/** Addresses mirrored of one subset at most. */
export const ADDRESSES_MAX = 1000;

/** True for Endpoints that nobody else turns into slices: those of a Service without a selector. */
export function isMirrored(endpoints: Endpoints, service: Service | undefined): boolean {
  if (!service || endpoints.metadata.labels?.[SKIP_LABEL] === 'true') return false;
  const { selector, type } = service.spec;
  const selects = selector !== undefined && Object.keys(selector).length > 0;
  return !selects && type !== 'ExternalName';
}

/** The slices that say the same as `endpoints`: one for each subset and address family. */
export function mirrorSlices(endpoints: Endpoints): EndpointSlice[] {
  const slices: EndpointSlice[] = [];
  (endpoints.subsets ?? []).forEach((subset, index) => {
    for (const addressType of ['IPv4', 'IPv6'] as const) {
      const mirrored = endpointsOf(subset, addressType);
      if (mirrored.length === 0) continue;
      slices.push(sliceOf(endpoints, { subset, index, addressType, mirrored }));
    }
  });
  return slices;
}

type Part = {
  readonly subset: EndpointSubset;
  readonly index: number;
  readonly addressType: 'IPv4' | 'IPv6';
  readonly mirrored: Endpoint[];
};

function sliceOf(
  endpoints: Endpoints,
  { subset, index, addressType, mirrored }: Part,
): EndpointSlice {
  const { name, namespace, labels } = endpoints.metadata;
  const suffix = `${index}-${addressType.toLowerCase()}`;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      // The name follows from the content's place, so that a repeated write meets its predecessor.
      name: `${name}-mirror-${suffix}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, [SERVICE_LABEL]: name, [MANAGED_BY_LABEL]: CONTROLLER },
      ownerReferences: [controllerReference(endpoints, 'v1', 'Endpoints')],
    },
    addressType,
    endpoints: mirrored,
    ports: (subset.ports ?? []).map((port) => ({
      name: port.name ?? '',
      port: port.port,
      protocol: port.protocol ?? 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    })),
  };
}

function endpointsOf(subset: EndpointSubset, family: 'IPv4' | 'IPv6'): Endpoint[] {
  const ofFamily = ({ ip }: EndpointAddress) => ip.includes(':') === (family === 'IPv6');
  const ready = (subset.addresses ?? []).filter(ofFamily).map((one) => endpointOf(one, true));
  const waiting = (subset.notReadyAddresses ?? [])
    .filter(ofFamily)
    .map((one) => endpointOf(one, false));
  return [...ready, ...waiting].slice(0, ADDRESSES_MAX);
}

function endpointOf(
  { ip, hostname, nodeName, targetRef }: EndpointAddress,
  ready: boolean,
): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}
