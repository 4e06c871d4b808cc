/** Nodes, namespaces, endpoints, leases and events. */

import { sameMeaning } from '../equality.ts';
import { duplicate, forbidden, invalid, notSupported, required, tooMany } from '../field-errors.ts';
import type {
  EndpointSlice,
  EndpointSubset,
  Endpoints,
  Event,
  Lease,
  Namespace,
  Node,
} from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { dnsLabelProblems, dnsSubdomainProblems, labelKeyProblems } from './names.ts';
import { validateQuantity } from './resources.ts';
import { validateTaints } from './scheduling.ts';
import { specialAddressErrors } from './service.ts';
import {
  validateChoice,
  validateCidr,
  validateIp,
  validateNonNegative,
  validateOptionalName,
  validatePortNumber,
} from './values.ts';

const PROTOCOLS: readonly string[] = ['SCTP', 'TCP', 'UDP'];
const ADDRESS_TYPES: readonly string[] = ['FQDN', 'IPv4', 'IPv6'];
const SLICE_ENDPOINTS_MAX = 1000;
const SLICE_ADDRESSES_MAX = 100;
const SLICE_PORTS_MAX = 20_000;

/** Failures in a Node's spec and status. */
export function validateNode(node: Node): FieldError[] {
  const errors = validateTaints(node.spec.taints ?? [], 'spec.taints');
  for (const name of ['capacity', 'allocatable'] as const) {
    for (const [resource, value] of Object.entries(node.status?.[name] ?? {})) {
      errors.push(...validateQuantity(value, resource, `status.${name}[${resource}]`));
    }
  }
  const blocks = node.spec.podCIDRs ?? [];
  blocks.forEach((block, index) => {
    errors.push(...validateCidr(block, `spec.podCIDRs[${index}]`));
  });
  if (blocks.length > 0 && node.spec.podCIDR !== blocks[0]) {
    const why = 'first entry must match `podCIDR`';
    errors.push(invalid('spec.podCIDRs[0]', blocks[0], why));
  }
  return errors;
}

/** Failures of a node update: pod addresses and identity are given once. */
export function validateNodeUpdate(node: Node, old: Node): FieldError[] {
  const errors: FieldError[] = [];
  if ((old.spec.podCIDRs ?? []).length > 0 && !sameMeaning(node.spec.podCIDRs, old.spec.podCIDRs)) {
    const why = 'node updates may not change podCIDR except from "" to valid';
    errors.push(forbidden('spec.podCIDRs', why));
  }
  if (old.spec.providerID && node.spec.providerID !== old.spec.providerID) {
    const why = 'node updates may not change providerID except from "" to valid';
    errors.push(forbidden('spec.providerID', why));
  }
  return errors;
}

/** Failures in a Namespace's finalizers. */
export function validateNamespace(namespace: Namespace): FieldError[] {
  return (namespace.spec?.finalizers ?? []).flatMap((finalizer, index) => {
    const at = `spec.finalizers[${index}]`;
    const problems = labelKeyProblems(finalizer);
    if (problems.length > 0) return problems.map((problem) => invalid(at, finalizer, problem));
    if (finalizer === 'kubernetes' || finalizer.includes('/')) return [];
    const why = 'name is neither a standard finalizer name nor is it fully qualified';
    return [invalid(at, finalizer, why)];
  });
}

/** Failures in Endpoints. */
export function validateEndpoints(endpoints: Endpoints): FieldError[] {
  return (endpoints.subsets ?? []).flatMap((subset, index) =>
    subsetErrors(subset, `subsets[${index}]`),
  );
}

function subsetErrors(subset: EndpointSubset, field: string): FieldError[] {
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  const errors: FieldError[] = [];
  if (addresses.length === 0 && notReadyAddresses.length === 0) {
    errors.push(required(field, 'must specify `addresses` or `notReadyAddresses`'));
  }
  for (const [name, list] of Object.entries({ addresses, notReadyAddresses })) {
    list.forEach((address, index) => {
      const at = `${field}.${name}[${index}]`;
      const found = validateIp(address.ip, `${at}.ip`);
      errors.push(...found);
      if (found.length === 0) errors.push(...specialAddressErrors(address.ip, `${at}.ip`));
      errors.push(...validateOptionalName(address.hostname, dnsLabelProblems, `${at}.hostname`));
      errors.push(
        ...validateOptionalName(address.nodeName, dnsSubdomainProblems, `${at}.nodeName`),
      );
    });
  }
  ports.forEach((port, index) => {
    const at = `${field}.ports[${index}]`;
    if (ports.length > 1 && (port.name ?? '') === '') errors.push(required(`${at}.name`));
    errors.push(
      ...validateOptionalName(port.name, dnsLabelProblems, `${at}.name`),
      ...validatePortNumber(port.port, `${at}.port`),
      ...validateChoice(port.protocol, PROTOCOLS, `${at}.protocol`),
    );
  });
  return errors;
}

/** Failures in an EndpointSlice. */
export function validateEndpointSlice(slice: EndpointSlice): FieldError[] {
  const type = slice.addressType ?? '';
  const errors = validateChoice(type, ADDRESS_TYPES, 'addressType');
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > SLICE_ENDPOINTS_MAX) {
    errors.push(tooMany('endpoints', endpoints.length, SLICE_ENDPOINTS_MAX));
  }
  endpoints.forEach((endpoint, index) => {
    const at = `endpoints[${index}]`;
    const addresses = endpoint.addresses ?? [];
    if (addresses.length === 0) {
      errors.push(required(`${at}.addresses`, 'must contain at least 1 address'));
    } else if (addresses.length > SLICE_ADDRESSES_MAX) {
      errors.push(tooMany(`${at}.addresses`, addresses.length, SLICE_ADDRESSES_MAX));
    }
    addresses.forEach((address, position) => {
      errors.push(...sliceAddressErrors(address, type, `${at}.addresses[${position}]`));
    });
    errors.push(...validateOptionalName(endpoint.hostname, dnsLabelProblems, `${at}.hostname`));
    errors.push(...validateOptionalName(endpoint.nodeName, dnsSubdomainProblems, `${at}.nodeName`));
  });
  return [...errors, ...slicePortErrors(slice)];
}

/** Failures of an update: the address type stays. */
export function validateEndpointSliceUpdate(
  slice: EndpointSlice,
  old: EndpointSlice,
): FieldError[] {
  return slice.addressType === old.addressType
    ? []
    : [invalid('addressType', slice.addressType, 'field is immutable')];
}

function sliceAddressErrors(address: string, type: string, field: string): FieldError[] {
  if (type === 'FQDN') {
    return dnsSubdomainProblems(address).map((problem) => invalid(field, address, problem));
  }
  const errors = validateIp(address, field);
  if (errors.length > 0) return errors;
  const isV6 = address.includes(':');
  if (isV6 !== (type === 'IPv6')) {
    return [invalid(field, address, `must be an ${type} address`)];
  }
  return specialAddressErrors(address, field);
}

function slicePortErrors(slice: EndpointSlice): FieldError[] {
  const ports = slice.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length > SLICE_PORTS_MAX) {
    errors.push(tooMany('ports', ports.length, SLICE_PORTS_MAX));
  }
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `ports[${index}]`;
    const name = port.name ?? '';
    if (name !== '') {
      errors.push(...dnsLabelProblems(name).map((problem) => invalid(`${at}.name`, name, problem)));
    }
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (port.protocol !== undefined && !PROTOCOLS.includes(port.protocol)) {
      errors.push(notSupported(`${at}.protocol`, port.protocol, PROTOCOLS));
    }
  });
  return errors;
}

/** Failures in a Lease. */
export function validateLease(lease: Lease): FieldError[] {
  const { leaseDurationSeconds, leaseTransitions } = lease.spec;
  const errors = validateNonNegative(leaseTransitions, 'spec.leaseTransitions');
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    const why = 'must be greater than 0';
    errors.push(invalid('spec.leaseDurationSeconds', leaseDurationSeconds, why));
  }
  return errors;
}

/** Failures in an Event: it lives where the object it tells of lives. */
export function validateEvent(event: Event): FieldError[] {
  const about = event.involvedObject?.namespace ?? '';
  const lives = event.metadata.namespace ?? '';
  // Events about objects of the cluster live in `default`, or with a controller in `kube-system`.
  const fits = about === '' ? ['', 'default', 'kube-system'].includes(lives) : about === lives;
  return fits ? [] : [invalid('involvedObject.namespace', about, 'does not match event.namespace')];
}
