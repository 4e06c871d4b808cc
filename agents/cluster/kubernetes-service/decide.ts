/** The `kubernetes` Service: the API as pods find it, with the addresses of the nodes that serve it. Pure. */

import type { EndpointSlice, Endpoints, Node, Service } from '../kinds.ts';

const NAME = 'kubernetes';
const NAMESPACE = 'default';
const PORT_NAME = 'https';

export type ApiAddresses = {
  /** IPv4 addresses of the nodes that serve the API. */
  readonly addresses: readonly string[];
  readonly port: number;
};

/** Every node serves the API: those that are ready now, in a stable order. */
export function apiAddresses(nodes: readonly Node[], port: number): ApiAddresses {
  const addresses = nodes.filter(isReady).flatMap((node) => internalAddress(node) ?? []);
  return { addresses: [...new Set(addresses)].sort(), port };
}

/** The Service; `clusterIP` is the first address of the Service range, which certificates name. */
export function kubernetesService(clusterIP: string, port: number): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { component: 'apiserver', provider: NAME },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: PORT_NAME, port: 443, protocol: 'TCP', targetPort: port }],
    },
  };
}

/** Its Endpoints. */
export function kubernetesEndpoints({ addresses, port }: ApiAddresses): Endpoints {
  const subset = {
    addresses: addresses.map((ip) => ({ ip })),
    ports: [{ name: PORT_NAME, port, protocol: 'TCP' }],
  };
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    ...(addresses.length === 0 ? {} : { subsets: [subset] }),
  };
}

/** Its EndpointSlice. */
export function kubernetesSlice({ addresses, port }: ApiAddresses): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { 'kubernetes.io/service-name': NAME },
    },
    addressType: 'IPv4',
    endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [{ name: PORT_NAME, port, protocol: 'TCP' }],
  };
}

function isReady(node: Node): boolean {
  return node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

function internalAddress(node: Node): string | undefined {
  const found = node.status?.addresses?.find(({ type }) => type === 'InternalIP');
  return found?.address;
}
