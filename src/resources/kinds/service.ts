/** Services. Cluster addresses and node ports are allocated by the server; an update that omits them keeps them. */
import { AGE_COLUMN, ageCell, column, NAME_COLUMN, wideColumn } from '../columns/common.ts';
import type { Service, ServicePort, ServiceSpec } from '../generated/kinds.ts';
import { formatLabels } from '../labels.ts';
import { validateService, validateServiceUpdate } from '../validation/service.ts';
import { assignOptional, declareKind, PROXY_VERBS } from './support.ts';

const AFFINITY_SECONDS = 10_800;
const NONE = '<none>';

/** The declaration of Service. */
export const serviceKind = declareKind<Service>({
  group: '',
  version: 'v1',
  kind: 'Service',
  plural: 'services',
  shortNames: ['svc'],
  categories: ['all'],
  namespaced: true,
  schema: 'io.k8s.api.core.v1.Service',
  served: [],
  hasStatus: true,
  subresources: [{ name: 'proxy', kind: 'ServiceProxyOptions', verbs: PROXY_VERBS }],
  createOnUpdate: false,
  nameRule: 'dns1035-label',
  countsGeneration: false,
  defaults: defaultService,
  prepareCreate: (service) => {
    service.status = { loadBalancer: {} };
    syncAddresses(service.spec, undefined);
  },
  prepareUpdate: (service, old) => {
    assignOptional(service, 'status', old.status);
    keepAllocated(service.spec, old.spec);
    dropUnneeded(service.spec, old.spec);
    syncAddresses(service.spec, old.spec);
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
  selectableFields: (service) => ({
    'spec.clusterIP': service.spec?.clusterIP ?? '',
    'spec.type': service.spec?.type ?? '',
  }),
  columns: [
    NAME_COLUMN,
    column('Type', 'How the service is exposed.'),
    column('Cluster-IP', 'Address within the cluster.'),
    column('External-IP', 'Address from outside.'),
    column('Port(s)', 'Ports the service listens on, with node port and protocol.'),
    AGE_COLUMN,
    wideColumn('Selector', 'Labels of the pods behind the service.'),
  ],
  cells: (service, nowMs) => [
    service.metadata.name,
    service.spec?.type ?? '',
    service.spec?.clusterIPs?.[0] || service.spec?.clusterIP || NONE,
    externalAddress(service),
    portsCell(service.spec?.ports ?? []),
    ageCell(service, nowMs),
    formatLabels(service.spec?.selector),
  ],
});

/** True if services of this type have an address in the cluster, unless headless. */
export function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== 'ExternalName';
}

/** True if services of this type have node ports. */
export function needsNodePorts(spec: ServiceSpec): boolean {
  if (spec.type === 'NodePort') return true;
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false;
}

function defaultService(service: Service): void {
  service.spec ??= {};
  const { spec } = service;
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= AFFINITY_SECONDS;
  }
  spec.type ||= 'ClusterIP';
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    port.targetPort ||= port.port;
  }
  if (isReachableFromOutside(spec)) spec.externalTrafficPolicy ||= 'Cluster';
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
  service.status ??= { loadBalancer: {} };
}

function isReachableFromOutside(spec: ServiceSpec): boolean {
  if (spec.type === 'NodePort' || spec.type === 'LoadBalancer') return true;
  return spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0;
}

/** A replacement that does not name what was allocated means to keep it. */
function keepAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(spec) && needsClusterIp(old)) {
    if (!spec.clusterIP && (spec.clusterIPs ?? []).length === 0) {
      assignOptional(spec, 'clusterIP', old.clusterIP);
      assignOptional(spec, 'clusterIPs', old.clusterIPs);
    }
    if ((spec.ipFamilies ?? []).length === 0) {
      assignOptional(spec, 'ipFamilies', old.ipFamilies);
    }
    assignOptional(spec, 'ipFamilyPolicy', spec.ipFamilyPolicy ?? old.ipFamilyPolicy);
  }
  if (needsNodePorts(spec) && needsNodePorts(old)) {
    const held = new Map((old.ports ?? []).map((port) => [portIdentity(port), port.nodePort]));
    const given = new Set((spec.ports ?? []).map((port) => port.nodePort));
    for (const port of spec.ports ?? []) {
      const nodePort = held.get(portIdentity(port));
      if (port.nodePort || nodePort === undefined || given.has(nodePort)) continue;
      port.nodePort = nodePort;
    }
  }
  if (spec.type === 'LoadBalancer' && old.type === 'LoadBalancer') {
    if (spec.externalTrafficPolicy === 'Local' && old.externalTrafficPolicy === 'Local') {
      const port = spec.healthCheckNodePort || old.healthCheckNodePort;
      assignOptional(spec, 'healthCheckNodePort', port);
    }
  }
}

/** When the type changes, what only the old type had goes, unless the client changed it on purpose. */
function dropUnneeded(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    if (spec.clusterIP === old.clusterIP) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
    delete spec.internalTrafficPolicy;
  }
  if (needsNodePorts(old) && !needsNodePorts(spec)) {
    const held = new Map((old.ports ?? []).map((port) => [portIdentity(port), port.nodePort]));
    for (const port of spec.ports ?? []) {
      if (port.nodePort === held.get(portIdentity(port))) delete port.nodePort;
    }
  }
  if (isReachableFromOutside(old) && !isReachableFromOutside(spec)) {
    if (spec.externalTrafficPolicy === old.externalTrafficPolicy) {
      delete spec.externalTrafficPolicy;
    }
  }
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts) {
      delete spec.allocateLoadBalancerNodePorts;
    }
    if (spec.healthCheckNodePort === old.healthCheckNodePort) delete spec.healthCheckNodePort;
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
}

/** Keeps the single address and the list of addresses in step; clients of different ages write either. */
function syncAddresses(spec: ServiceSpec, old: ServiceSpec | undefined): void {
  const list = spec.clusterIPs ?? [];
  if (spec.clusterIP && list.length === 0) spec.clusterIPs = [spec.clusterIP];
  else if (!spec.clusterIP && list.length > 0) {
    // Cleared by a client that does not know the list: then the list goes too.
    if (old?.clusterIP && list[0] === old.clusterIP) delete spec.clusterIPs;
    else assignOptional(spec, 'clusterIP', list[0]);
  } else if (spec.clusterIP && old !== undefined && spec.clusterIP !== old.clusterIP) {
    const listUnchanged = list[0] === old.clusterIPs?.[0];
    if (listUnchanged) spec.clusterIPs = [spec.clusterIP];
  }
}

function portIdentity(port: ServicePort): string {
  return `${port.protocol}/${port.port}`;
}

function externalAddress(service: Service): string {
  const { spec } = service;
  const external = spec?.externalIPs ?? [];
  switch (spec?.type) {
    case 'ExternalName':
      return spec.externalName || NONE;
    case 'LoadBalancer': {
      const ingress = (service.status?.loadBalancer?.ingress ?? []).map(
        ({ ip, hostname }) => ip || hostname || '',
      );
      const all = [...new Set(ingress.filter((address) => address !== ''))].sort();
      return [...all, ...external].join(',') || '<pending>';
    }
    default:
      return external.join(',') || NONE;
  }
}

function portsCell(ports: readonly ServicePort[]): string {
  const texts = ports.map((port) =>
    port.nodePort
      ? `${port.port}:${port.nodePort}/${port.protocol}`
      : `${port.port}/${port.protocol}`,
  );
  return texts.join(',') || NONE;
}
