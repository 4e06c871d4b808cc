/**
 * From Services and EndpointSlices to what the proxy must route: one entry per service port. Pure.
 * Which endpoints take traffic follows KEP-1669: the ready ones; if there are none, those that are
 * terminating but still serving.
 */

import { isIPv4 } from 'node:net';
import type { EndpointSlice, Service } from '../../../src/resources/generated/kinds.ts';

export type Protocol = 'tcp' | 'udp';
export type Backend = { readonly ip: string; readonly port: number; readonly local: boolean };

export type ServicePortModel = {
  /** `<namespace>/<name>/<protocol>/<port name or number>`. */
  readonly id: string;
  readonly protocol: Protocol;
  /** Addresses answered from inside: the cluster IP. */
  readonly clusterIps: readonly string[];
  /** Addresses answered from outside: external and load balancer addresses. */
  readonly externalIps: readonly string[];
  readonly port: number;
  readonly nodePort: number | undefined;
  /** Seconds a client sticks to its backend; undefined without affinity. */
  readonly affinitySeconds: number | undefined;
  /** Backends for traffic from inside; sorted. */
  readonly backends: readonly Backend[];
  /** Backends for traffic from outside; sorted. */
  readonly externalBackends: readonly Backend[];
  /** True if traffic from outside keeps its source address and stays on this node. */
  readonly externalLocal: boolean;
};

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
type SlicePort = NonNullable<EndpointSlice['ports']>[number];

const DEFAULT_AFFINITY_SECONDS = 10_800;

/** The routed ports of one service; none for headless and external-name services. */
export function modelService(
  service: Service,
  slices: readonly EndpointSlice[],
  nodeName: string,
): readonly ServicePortModel[] {
  const { spec, status, metadata } = service;
  if (!spec || spec.type === 'ExternalName') return [];
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter((ip) => isIPv4(ip));
  if (clusterIps.length === 0) return [];
  const ingress = status?.loadBalancer?.ingress ?? [];
  const externalIps = [...(spec.externalIPs ?? []), ...ingress.map(({ ip }) => ip ?? '')].filter(
    (ip) => isIPv4(ip),
  );
  const affinity = spec.sessionAffinity === 'ClientIP';
  const models: ServicePortModel[] = [];
  for (const port of spec.ports ?? []) {
    const protocol = protocolOf(port.protocol);
    if (protocol === undefined) continue; // SCTP needs a kernel module; the API still stores it.
    const all = backendsOf(slices, port.name ?? '', port.protocol ?? 'TCP', nodeName);
    const local = all.filter((backend) => backend.local);
    const externalLocal = spec.externalTrafficPolicy === 'Local';
    models.push({
      id: `${metadata.namespace}/${metadata.name}/${protocol}/${port.name || port.port}`,
      protocol,
      clusterIps,
      externalIps,
      port: port.port,
      nodePort: port.nodePort || undefined,
      affinitySeconds: affinity
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : undefined,
      backends: spec.internalTrafficPolicy === 'Local' ? local : all,
      externalBackends: externalLocal ? local : all,
      externalLocal,
    });
  }
  return models;
}

function protocolOf(protocol: string | undefined): Protocol | undefined {
  if (protocol === undefined || protocol === 'TCP') return 'tcp';
  return protocol === 'UDP' ? 'udp' : undefined;
}

function backendsOf(
  slices: readonly EndpointSlice[],
  portName: string,
  protocol: string,
  nodeName: string,
): Backend[] {
  const ready = new Map<string, Backend>();
  const serving = new Map<string, Backend>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    const port = (slice.ports ?? []).find((candidate) => matches(candidate, portName, protocol));
    if (!port?.port) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const ip = endpoint.addresses?.[0] ?? '';
      // One malformed address must not cost the whole transaction.
      if (!isIPv4(ip)) continue;
      const backend = { ip, port: port.port, local: endpoint.nodeName === nodeName };
      const key = `${ip}:${port.port}`;
      if (isReady(endpoint)) ready.set(key, backend);
      else if (isServing(endpoint)) serving.set(key, backend);
    }
  }
  const chosen = ready.size > 0 ? ready : serving;
  return [...chosen.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, backend]) => backend);
}

const matches = (port: SlicePort, name: string, protocol: string): boolean =>
  (port.name ?? '') === name && (port.protocol ?? 'TCP') === protocol;

const isReady = ({ conditions }: Endpoint): boolean => conditions?.ready ?? true;

const isServing = ({ conditions }: Endpoint): boolean =>
  (conditions?.terminating ?? false) && (conditions?.serving ?? false);
