/** Services: ports, addresses, and what may not change once allocated. */
import { isIP } from 'node:net';
import { duplicate, forbidden, invalid, required } from '../field-errors.ts';
import type { Service, ServicePort, ServiceSpec } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { validateLabels } from './metadata.ts';
import { dnsLabelProblems, dnsSubdomainProblems, labelKeyProblems } from './names.ts';
import {
  validateChoice,
  validateCidr,
  validateIp,
  validateName,
  validateOptionalChoice,
  validateOptionalName,
  validatePortNumber,
  validatePortOrName,
} from './values.ts';

const TYPES: readonly string[] = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const PROTOCOLS: readonly string[] = ['SCTP', 'TCP', 'UDP'];
const TRAFFIC_POLICIES: readonly string[] = ['Cluster', 'Local'];
const TRAFFIC_DISTRIBUTIONS: readonly string[] = ['PreferClose'];
const BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'";
const UNCHANGING = 'may not change once set';
const AFFINITY_SECONDS_MAX = 86_400;

/** Failures in a Service's spec. */
export function validateService(service: Service): FieldError[] {
  const { spec } = service;
  const type = spec.type ?? '';
  return [
    ...portListErrors(spec),
    ...typeErrors(spec),
    ...validateLabels(spec.selector, 'spec.selector'),
    ...affinityErrors(spec),
    ...clusterIpErrors(spec),
    ...(spec.externalIPs ?? []).flatMap((address, index) => {
      const field = `spec.externalIPs[${index}]`;
      const errors = validateIp(address, field);
      return errors.length > 0 ? errors : specialAddressErrors(address, field);
    }),
    ...validateChoice(type, TYPES, 'spec.type'),
    ...balancerErrors(spec),
    ...policyErrors(spec),
    ...validateOptionalChoice(
      spec.trafficDistribution,
      TRAFFIC_DISTRIBUTIONS,
      'spec.trafficDistribution',
    ),
  ];
}

/** Failures of an update: an allocated address stays, and so do the families and the class of a load balancer. */
export function validateServiceUpdate(service: Service, old: Service): FieldError[] {
  return [...addressUpdateErrors(service.spec, old.spec), ...classUpdateErrors(service, old)];
}

/** The failure of a node port outside the configured range. */
export function nodePortRangeError(field: string, port: number, range: string): FieldError {
  const why = `provided port is not in the valid range. The range of valid ports is ${range}`;
  return invalid(field, port, why);
}

/** The failure of a node port that another Service holds. */
export function nodePortTakenError(field: string, port: number): FieldError {
  return invalid(field, port, 'provided port is already allocated');
}

/** Failures of addresses that cannot be a real endpoint: loopback, link-local, unspecified. */
export function specialAddressErrors(address: string, field: string): FieldError[] {
  const lower = address.toLowerCase();
  const text =
    lower === '0.0.0.0' || lower === '::'
      ? `may not be unspecified (${address})`
      : lower.startsWith('127.') || lower === '::1'
        ? 'may not be in the loopback range (127.0.0.0/8, ::1/128)'
        : lower.startsWith('169.254.') || /^fe[89ab]/.test(lower)
          ? 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'
          : lower.startsWith('224.0.0.') || lower.startsWith('ff02:')
            ? 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'
            : undefined;
  return text === undefined ? [] : [invalid(field, address, text)];
}

function addressUpdateErrors(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return [];
  const before = addresses(old);
  const after = addresses(spec);
  const errors: FieldError[] = [];
  if (before.length > 0) {
    if (after.length === 0) {
      errors.push(invalid('spec.clusterIPs[0]', after, 'primary clusterIP can not be unset'));
    } else if (after[0] !== before[0]) {
      errors.push(invalid('spec.clusterIPs[0]', after, UNCHANGING));
    } else if (after.length > 1 && before.length > 1 && after[1] !== before[1]) {
      errors.push(invalid('spec.clusterIPs[1]', after, UNCHANGING));
    }
  }
  const families = spec.ipFamilies ?? [];
  for (const index of [0, 1]) {
    const had = old.ipFamilies?.[index];
    const has = families[index];
    // The second family may come and go; the first is given once.
    if (had === undefined || (index === 1 && has === undefined) || has === had) continue;
    errors.push(invalid(`spec.ipFamilies[${index}]`, families, UNCHANGING));
  }
  return errors;
}

function classUpdateErrors({ spec }: Service, old: Service): FieldError[] {
  const stays = spec.type === 'LoadBalancer' && old.spec.type === 'LoadBalancer';
  if (!stays || spec.loadBalancerClass === old.spec.loadBalancerClass) return [];
  const { loadBalancerClass = null } = spec;
  return [invalid('spec.loadBalancerClass', loadBalancerClass, UNCHANGING)];
}

function balancerErrors(spec: ServiceSpec): FieldError[] {
  const balances = spec.type === 'LoadBalancer';
  const errors: FieldError[] = [];
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0) {
    const at = 'spec.LoadBalancerSourceRanges';
    if (!balances) errors.push(forbidden(at, BALANCER_ONLY));
    ranges.forEach((range, index) => {
      errors.push(...validateCidr(range.trim(), `${at}[${index}]`));
    });
  }
  if (!balances && spec.allocateLoadBalancerNodePorts !== undefined) {
    errors.push(forbidden('spec.allocateLoadBalancerNodePorts', BALANCER_ONLY));
  }
  const className = spec.loadBalancerClass;
  if (className === undefined) return errors;
  if (!balances) errors.push(forbidden('spec.loadBalancerClass', BALANCER_ONLY));
  return [
    ...errors,
    ...labelKeyProblems(className).map((problem) =>
      invalid('spec.loadBalancerClass', className, problem),
    ),
  ];
}

function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIP === 'None' || spec.clusterIPs?.[0] === 'None';
}

function addresses(spec: ServiceSpec): readonly string[] {
  if ((spec.clusterIPs ?? []).length > 0) return spec.clusterIPs ?? [];
  return spec.clusterIP ? [spec.clusterIP] : [];
}

function typeErrors(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.type === 'LoadBalancer' || spec.type === 'NodePort') && isHeadless(spec)) {
    const why = `may not be set to 'None' for ${spec.type} services`;
    errors.push(invalid('spec.clusterIPs[0]', 'None', why));
  }
  if (spec.type !== 'ExternalName') return errors;
  const never = 'may not be set for ExternalName services';
  if (addresses(spec).length > 0) errors.push(forbidden('spec.clusterIPs', never));
  if ((spec.ipFamilies ?? []).length > 0) errors.push(forbidden('spec.ipFamilies', never));
  if (spec.ipFamilyPolicy !== undefined) errors.push(forbidden('spec.ipFamilyPolicy', never));
  const name = (spec.externalName ?? '').replace(/\.$/, '');
  return [...errors, ...validateName(name, dnsSubdomainProblems, 'spec.externalName')];
}

function portListErrors(spec: ServiceSpec): FieldError[] {
  const ports = spec.ports ?? [];
  if (ports.length === 0) {
    return isHeadless(spec) || spec.type === 'ExternalName' ? [] : [required('spec.ports')];
  }
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    errors.push(...portErrors(port, ports.length > 1, at));
    const name = port.name ?? '';
    if (name !== '' && names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (port.nodePort && spec.type === 'ClusterIP') {
      errors.push(forbidden(`${at}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    }
    const number = `${port.protocol}/${port.port}`;
    if (numbers.has(number)) {
      errors.push(duplicate(at, { protocol: port.protocol, port: port.port }));
    }
    numbers.add(number);
    if (!port.nodePort) return;
    const held = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(held)) errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(held);
  });
  return errors;
}

function portErrors(port: ServicePort, needsName: boolean, at: string): FieldError[] {
  const name = port.name ?? '';
  return [
    ...(needsName && name === '' ? [required(`${at}.name`)] : []),
    ...validateOptionalName(name, dnsLabelProblems, `${at}.name`),
    ...validatePortNumber(port.port, `${at}.port`),
    ...validateChoice(port.protocol, PROTOCOLS, `${at}.protocol`),
    ...validatePortOrName(port.targetPort, `${at}.targetPort`),
    ...validateOptionalName(port.appProtocol, labelKeyProblems, `${at}.appProtocol`),
  ];
}

function affinityErrors(spec: ServiceSpec): FieldError[] {
  const errors = validateChoice(spec.sessionAffinity, ['ClientIP', 'None'], 'spec.sessionAffinity');
  const at = 'spec.sessionAffinityConfig';
  if (spec.sessionAffinity === 'ClientIP') {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    if (seconds === undefined) {
      errors.push(required(at, 'when session affinity type is ClientIP'));
    } else if (seconds <= 0 || seconds > AFFINITY_SECONDS_MAX) {
      const why = `must be greater than 0 and less than ${AFFINITY_SECONDS_MAX}`;
      errors.push(invalid(`${at}.clientIP.timeoutSeconds`, seconds, why));
    }
  } else if (spec.sessionAffinityConfig !== undefined) {
    errors.push(forbidden(at, 'must not be set when session affinity is None'));
  }
  return errors;
}

function clusterIpErrors(spec: ServiceSpec): FieldError[] {
  const list = spec.clusterIPs ?? [];
  const errors: FieldError[] = [];
  if (list.length > 0 && spec.clusterIP && list[0] !== spec.clusterIP) {
    errors.push(invalid('spec.clusterIPs', list, 'first value must match `clusterIP`'));
  }
  if (list.length > 2) {
    errors.push(invalid('spec.clusterIPs', list, 'may only hold up to 2 values'));
  }
  addresses(spec).forEach((address, index) => {
    const at = `spec.clusterIPs[${index}]`;
    if (address === 'None') {
      if (index > 0) errors.push(invalid(at, address, "'None' must be the first and only value"));
      return;
    }
    errors.push(...validateIp(address, at));
  });
  if (list.length === 2 && isIP(list[0] ?? '') === isIP(list[1] ?? '')) {
    errors.push(
      invalid('spec.clusterIPs', list, 'may specify no more than one IP for each IP family'),
    );
  }
  return errors;
}

function policyErrors(spec: ServiceSpec): FieldError[] {
  const errors = validateOptionalChoice(
    spec.internalTrafficPolicy,
    TRAFFIC_POLICIES,
    'spec.internalTrafficPolicy',
  );
  const external = spec.externalTrafficPolicy ?? '';
  const reachable =
    spec.type === 'NodePort' ||
    spec.type === 'LoadBalancer' ||
    (spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0);
  if (external !== '') {
    if (reachable) {
      errors.push(...validateChoice(external, TRAFFIC_POLICIES, 'spec.externalTrafficPolicy'));
    } else {
      const why = 'may only be set for externally-accessible services';
      errors.push(invalid('spec.externalTrafficPolicy', external, why));
    }
  }
  if (spec.healthCheckNodePort) {
    if (spec.type !== 'LoadBalancer' || external !== 'Local') {
      const why =
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
      errors.push(invalid('spec.healthCheckNodePort', spec.healthCheckNodePort, why));
    }
  }
  return errors;
}
