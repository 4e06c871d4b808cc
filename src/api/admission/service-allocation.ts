/**
 * Addresses and ports of Services: fills in what the user left open, takes what is needed, gives
 * back what is not needed any more. Old and new state are compared as sets, so creation, update,
 * change of type and deletion are one rule.
 */

import {
  forbidden as forbiddenField,
  invalid as invalidField,
} from '../../resources/field-errors.ts';
import type { Service, ServicePort } from '../../resources/generated/kinds.ts';
import type { FieldError } from '../../resources/types.ts';
import { failure, invalid, subjectOf } from '../status.ts';
import { type Pool, release, type Taken, take, takeAny } from './allocator.ts';
import { formatIpv4, type IpRange, parseIpRange, parseIpv4 } from './ip-range.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

const HEADLESS = 'None';

export const serviceAllocation: AdmissionPlugin = {
  name: 'ServiceAllocation',
  handles: ({ kind }) => kind.kind === 'Service' && kind.group === '',
  admit(request) {
    const service = request.object as Service;
    const old = request.old as Service | undefined;
    if (request.operation === 'delete') {
      releaseAddresses(request, addressesOf(service), new Set());
      releasePorts(request, nodePortsOf(service), new Set());
      return;
    }
    if (old !== undefined) carryOver(service, old);
    const errors: FieldError[] = [];
    assignAddress(request, service, old, errors);
    assignNodePorts(request, service, old, errors);
    if (errors.length > 0) throw invalid(subjectOf(request.target), service.metadata.name, errors);
    if (old === undefined) return;
    releaseAddresses(request, addressesOf(old), addressesOf(service));
    releasePorts(request, nodePortsOf(old), nodePortsOf(service));
  },
};

let parsedRange: IpRange | undefined;

function rangeOf(request: AdmissionRequest): IpRange {
  const cidr = request.verbs.settings.serviceCidr;
  if (parsedRange?.cidr !== cidr) parsedRange = parseIpRange(cidr);
  return parsedRange;
}

function addressPool(request: AdmissionRequest): Pool {
  return { name: 'cluster-ip', ...rangeOf(request), format: formatIpv4 };
}

/** The lower ports are drawn last, so that the ones people choose stay free longer. */
const STATIC_PORTS = 86;

function portPool(request: AdmissionRequest): Pool {
  const { first, last } = request.verbs.settings.nodePorts;
  const dynamicFirst = Math.min(first + STATIC_PORTS, last);
  return { name: 'node-port', first, last, dynamicFirst, format: String };
}

/** A client that replaces the spec without what the server had filled in means to keep it. */
function carryOver(service: Service, old: Service): void {
  const { spec } = service;
  const before = old.spec;
  if (needsAddress(spec.type) && needsAddress(before.type)) {
    if ((spec.clusterIP ?? '') === '' && before.clusterIP !== undefined) {
      spec.clusterIP = before.clusterIP;
    }
  } else if (!needsAddress(spec.type) && spec.clusterIP === before.clusterIP) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
  }
  const had = needsNodePorts(old);
  const has = needsNodePorts(service);
  for (const port of spec.ports ?? []) {
    const same = (before.ports ?? []).find((one) => samePort(one, port));
    if (same?.nodePort === undefined) continue;
    if (had && has)
      port.nodePort =
        port.nodePort === undefined || port.nodePort === 0 ? same.nodePort : port.nodePort;
    // The type changed to one without node ports: what was filled in before goes.
    else if (!has && port.nodePort === same.nodePort) delete port.nodePort;
  }
  if (needsHealthPort(service)) {
    if ((spec.healthCheckNodePort ?? 0) === 0 && before.healthCheckNodePort !== undefined) {
      spec.healthCheckNodePort = before.healthCheckNodePort;
    }
  } else if (spec.healthCheckNodePort === before.healthCheckNodePort) {
    delete spec.healthCheckNodePort;
  }
}

function assignAddress(
  request: AdmissionRequest,
  service: Service,
  old: Service | undefined,
  errors: FieldError[],
): void {
  const { spec } = service;
  if (!needsAddress(spec.type)) return;
  assignFamilies(service, errors);
  const asked = spec.clusterIP ?? spec.clusterIPs?.[0] ?? '';
  if (asked === HEADLESS) {
    spec.clusterIP = HEADLESS;
    spec.clusterIPs = [HEADLESS];
    return;
  }
  const pool = addressPool(request);
  if (asked === '') {
    const value = takeAny(request, pool);
    if (value === undefined) throw exhausted(`failed to allocate a serviceIP: range is full`);
    spec.clusterIP = formatIpv4(value);
  } else {
    spec.clusterIP = asked;
    const value = parseIpv4(asked);
    // What is no address at all is for validation to say.
    if (value === undefined) return;
    const held = old !== undefined && addressesOf(old).has(value);
    const taken = held ? 'ok' : take(request, pool, value);
    if (taken !== 'ok') errors.push(addressError(asked, taken, rangeOf(request)));
  }
  spec.clusterIPs = [spec.clusterIP];
}

function addressError(asked: string, taken: Taken, range: IpRange): FieldError {
  const why =
    taken === 'taken'
      ? 'provided IP is already allocated'
      : `provided IP is not in the valid range. The range of valid IPs is ${range.cidr}`;
  return invalidField('spec.clusterIPs', [asked], `failed to allocate IP ${asked}: ${why}`);
}

function assignFamilies({ spec }: Service, errors: FieldError[]): void {
  spec.ipFamilyPolicy ??= 'SingleStack';
  if (spec.ipFamilyPolicy === 'RequireDualStack') {
    const detail = 'this cluster is not configured for dual-stack services';
    errors.push(invalidField('spec.ipFamilyPolicy', spec.ipFamilyPolicy, detail));
  }
  const families = spec.ipFamilies ?? [];
  families.forEach((family, index) => {
    if (family !== 'IPv6') return;
    errors.push(
      invalidField(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster'),
    );
  });
  if (families.length === 0) spec.ipFamilies = ['IPv4'];
}

function assignNodePorts(
  request: AdmissionRequest,
  service: Service,
  old: Service | undefined,
  errors: FieldError[],
): void {
  const { spec } = service;
  const ports = spec.ports ?? [];
  if (!needsNodePorts(service)) {
    refuseNodePorts(ports, errors);
    return;
  }
  const pool = portPool(request);
  const mine = old === undefined ? new Set<number>() : nodePortsOf(old);
  ports.forEach((port, index) => {
    const asked = port.nodePort ?? 0;
    if (asked === 0) return;
    // One number may serve several protocols of one Service.
    if (mine.has(asked)) return;
    const taken = take(request, pool, asked);
    if (taken === 'ok') mine.add(asked);
    else errors.push(portError(`spec.ports[${index}].nodePort`, asked, taken, pool));
  });
  for (const port of ports) {
    if ((port.nodePort ?? 0) !== 0) continue;
    port.nodePort = sharedPort(ports, port) ?? anyPort(request, pool);
    mine.add(port.nodePort);
  }
  assignHealthPort(request, service, mine, errors);
}

function refuseNodePorts(ports: readonly ServicePort[], errors: FieldError[]): void {
  ports.forEach((port, index) => {
    if ((port.nodePort ?? 0) === 0) return;
    const detail = "may not be used when `type` is 'ClusterIP'";
    errors.push(forbiddenField(`spec.ports[${index}].nodePort`, detail));
  });
}

/** Two ports that differ in their protocol only get one number. */
function sharedPort(ports: readonly ServicePort[], port: ServicePort): number | undefined {
  return ports.find(
    (one) =>
      one !== port &&
      one.port === port.port &&
      one.protocol !== port.protocol &&
      (one.nodePort ?? 0) !== 0,
  )?.nodePort;
}

function assignHealthPort(
  request: AdmissionRequest,
  service: Service,
  mine: Set<number>,
  errors: FieldError[],
): void {
  if (!needsHealthPort(service)) return;
  const { spec } = service;
  const pool = portPool(request);
  const asked = spec.healthCheckNodePort ?? 0;
  if (asked === 0) {
    spec.healthCheckNodePort = anyPort(request, pool);
    return;
  }
  if (mine.has(asked)) return;
  const taken = take(request, pool, asked);
  if (taken !== 'ok') errors.push(portError('spec.healthCheckNodePort', asked, taken, pool));
}

function anyPort(request: AdmissionRequest, pool: Pool): number {
  const value = takeAny(request, pool);
  if (value === undefined) throw exhausted('failed to allocate a nodePort: range is full');
  return value;
}

function portError(field: string, asked: number, taken: Taken, pool: Pool): FieldError {
  const detail =
    taken === 'taken'
      ? 'provided port is already allocated'
      : `provided port is not in the valid range. The range of valid ports is ${pool.first}-${pool.last}`;
  return invalidField(field, asked, detail);
}

function exhausted(message: string): Error {
  return failure(500, 'InternalError', `Internal error occurred: ${message}`);
}

function releaseAddresses(
  request: AdmissionRequest,
  had: ReadonlySet<number>,
  has: ReadonlySet<number>,
): void {
  const pool = addressPool(request);
  for (const value of had) if (!has.has(value)) release(request, pool, value);
}

function releasePorts(
  request: AdmissionRequest,
  had: ReadonlySet<number>,
  has: ReadonlySet<number>,
): void {
  const pool = portPool(request);
  for (const value of had) if (!has.has(value)) release(request, pool, value);
}

function addressesOf({ spec }: Service): Set<number> {
  const values = new Set<number>();
  if (!needsAddress(spec.type)) return values;
  for (const text of spec.clusterIPs ?? [spec.clusterIP ?? '']) {
    const value = parseIpv4(text);
    if (value !== undefined) values.add(value);
  }
  return values;
}

function nodePortsOf(service: Service): Set<number> {
  const values = new Set<number>();
  for (const { nodePort = 0 } of service.spec.ports ?? []) if (nodePort !== 0) values.add(nodePort);
  const health = service.spec.healthCheckNodePort ?? 0;
  if (health !== 0) values.add(health);
  return values;
}

function needsAddress(type: string | undefined): boolean {
  return type !== 'ExternalName';
}

function needsNodePorts({ spec }: Service): boolean {
  if (spec.type === 'NodePort') return true;
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false;
}

function needsHealthPort({ spec }: Service): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

function samePort(left: ServicePort, right: ServicePort): boolean {
  return left.port === right.port && (left.protocol ?? 'TCP') === (right.protocol ?? 'TCP');
}
