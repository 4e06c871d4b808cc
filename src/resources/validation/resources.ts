/** Resource requests and limits. */
import { invalid, notSupported, required } from '../field-errors.ts';
import type { ResourceRequirements } from '../generated/kinds.ts';
import { compareQuantities, isWhole, parseQuantity, QUANTITY_SYNTAX_MESSAGE } from '../quantity.ts';
import type { FieldError } from '../types.ts';
import { labelKeyProblems } from './names.ts';

/** What a container may ask for without a prefix. */
const STANDARD_RESOURCES: ReadonlySet<string> = new Set(['cpu', 'memory', 'ephemeral-storage']);
/** Resources that come in whole units only. */
const WHOLE_RESOURCES: ReadonlySet<string> = new Set([
  'pods',
  'services',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
]);

/** Failures in a container's resources: names, quantities, requests beyond limits. */
export function validateResources(
  resources: ResourceRequirements | undefined,
  field: string,
): FieldError[] {
  if (resources === undefined) return [];
  const { limits = {}, requests = {} } = resources;
  const errors: FieldError[] = [];
  for (const [name, value] of Object.entries(limits)) {
    errors.push(...containerResourceErrors(name, value, `${field}.limits[${name}]`));
  }
  for (const [name, value] of Object.entries(requests)) {
    const at = `${field}.requests[${name}]`;
    errors.push(...containerResourceErrors(name, value, at));
    errors.push(...requestErrors(name, value, limits[name], { field, at }));
  }
  return errors;
}

/** Failures in a quantity that must exist and not be negative: capacity, allocatable. */
export function validateQuantity(
  value: string | number,
  name: string,
  field: string,
): FieldError[] {
  const quantity = parseQuantity(value);
  if (quantity === undefined) return [invalid(field, value, QUANTITY_SYNTAX_MESSAGE)];
  if (quantity.nanos < 0n) return [invalid(field, value, 'must be greater than or equal to 0')];
  if (needsWhole(name) && !isWhole(quantity)) return [invalid(field, value, 'must be an integer')];
  return [];
}

function containerResourceErrors(name: string, value: string, field: string): FieldError[] {
  const errors = labelKeyProblems(name).map((problem) => invalid(field, name, problem));
  if (errors.length === 0 && !name.includes('/') && !isStandard(name)) {
    errors.push(
      invalid(field, name, 'must be a standard resource type or fully qualified'),
      invalid(field, name, 'must be a standard resource for containers'),
    );
  }
  return [...errors, ...validateQuantity(value, name, field)];
}

function requestErrors(
  name: string,
  request: string,
  limit: string | undefined,
  { field, at }: { field: string; at: string },
): FieldError[] {
  if (limit === undefined) {
    return overcommits(name)
      ? []
      : [required(`${field}.limits`, 'Limit must be set for non overcommitable resources')];
  }
  const requested = parseQuantity(request);
  const limited = parseQuantity(limit);
  if (requested === undefined || limited === undefined) return [];
  const order = compareQuantities(requested, limited);
  if (order !== 0 && !overcommits(name)) {
    return [invalid(at, request, `must be equal to ${name} limit of ${limit}`)];
  }
  return order > 0
    ? [invalid(at, request, `must be less than or equal to ${name} limit of ${limit}`)]
    : [];
}

/** Failures if a downward-API reference to a resource names none. */
export function validateResourceField(
  reference: { resource?: string | undefined; containerName?: string | undefined },
  field: string,
  needsContainer: boolean,
): FieldError[] {
  const resource = reference.resource ?? '';
  if (needsContainer && (reference.containerName ?? '') === '') {
    return [required(`${field}.containerName`)];
  }
  if (resource === '') return [required(`${field}.resource`)];
  if (RESOURCE_FIELDS.includes(resource) || /^(limits|requests)\.hugepages-/.test(resource)) {
    return [];
  }
  return [notSupported(`${field}.resource`, resource, RESOURCE_FIELDS)];
}

const RESOURCE_FIELDS: readonly string[] = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

function isStandard(name: string): boolean {
  return STANDARD_RESOURCES.has(name) || name.startsWith('hugepages-');
}

/** CPU and memory may be limited above what is requested; huge pages and devices may not. */
function overcommits(name: string): boolean {
  return !name.startsWith('hugepages-') && !isExtended(name);
}

function isExtended(name: string): boolean {
  return name.includes('/') && !/(^|\.)kubernetes\.io\//.test(name);
}

function needsWhole(name: string): boolean {
  return WHOLE_RESOURCES.has(name) || isExtended(name);
}
