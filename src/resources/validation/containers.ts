/** Containers of all three sorts: what each may have, and names unique among them. */
import {
  duplicate,
  forbidden,
  invalid,
  notFound,
  notSupported,
  required,
} from '../field-errors.ts';
import type { Container, ContainerPort, EphemeralContainer, PodSpec } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { validateEnv, validateEnvFrom } from './env.ts';
import { portNameProblems } from './names.ts';
import { validateLifecycle, validateProbe } from './probes.ts';
import { validateResources } from './resources.ts';
import { INT32_MAX, validateChoice, validateDnsLabel, validatePortNumber } from './values.ts';
import { validateMounts } from './volumes.ts';

const PROTOCOLS: readonly string[] = ['SCTP', 'TCP', 'UDP'];
const PULL_POLICIES: readonly string[] = ['Always', 'IfNotPresent', 'Never'];
const MESSAGE_POLICIES: readonly string[] = ['File', 'FallbackToLogsOnError'];
const INIT_ONLY = 'may not be set for init containers without restartPolicy=Always';
const EPHEMERAL = 'cannot be set for an Ephemeral Container';
/** Fields that would make a debugging container part of the pod's service. */
const NOT_EPHEMERAL = [
  'ports',
  'resources',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
] as const;

/** What the checks of a container need to know of its pod. */
export type ContainerScope = {
  readonly spec: PodSpec;
  readonly volumes: ReadonlySet<string>;
  /** True for pods, false for templates, which are let off some checks. */
  readonly isPod: boolean;
};

/** Failures in `spec.containers`. */
export function validateContainers(scope: ContainerScope, field: string): FieldError[] {
  const containers = scope.spec.containers ?? [];
  if (containers.length === 0) return [required(field)];
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const hostPorts = new Set<string>();
  containers.forEach((container, index) => {
    const at = `${field}[${index}]`;
    errors.push(...commonErrors(container, scope, at));
    if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
    names.add(container.name);
    errors.push(...hookErrors(container, scope.spec, at));
    if (container.restartPolicy !== undefined) {
      errors.push(forbidden(`${at}.restartPolicy`, 'may not be set for non-init containers'));
    }
    errors.push(...hostPortErrors(container, hostPorts, at));
  });
  return errors;
}

/** Failures in `spec.initContainers`. */
export function validateInitContainers(scope: ContainerScope, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set((scope.spec.containers ?? []).map(({ name }) => name));
  (scope.spec.initContainers ?? []).forEach((container, index) => {
    const at = `${field}[${index}]`;
    errors.push(...commonErrors(container, scope, at));
    const sidecar = container.restartPolicy === 'Always';
    if (container.restartPolicy !== undefined && !sidecar) {
      errors.push(notSupported(`${at}.restartPolicy`, container.restartPolicy, ['Always']));
    }
    if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
    names.add(container.name);
    // Init containers run one after the other: each may use a host port again.
    errors.push(...hostPortErrors(container, new Set(), at));
    if (sidecar) {
      errors.push(...hookErrors(container, scope.spec, at));
      return;
    }
    for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
      if (container[name] !== undefined) errors.push(forbidden(`${at}.${name}`, INIT_ONLY));
    }
  });
  return errors;
}

/** Failures in `spec.ephemeralContainers`. */
export function validateEphemeralContainers(scope: ContainerScope, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = scope;
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const targets = new Set(others.map(({ name }) => name));
  const names = new Set(targets);
  (spec.ephemeralContainers ?? []).forEach((container, index) => {
    const at = `${field}[${index}]`;
    errors.push(...commonErrors(container, scope, at));
    if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
    names.add(container.name);
    const target = container.targetContainerName ?? '';
    if (target !== '' && !targets.has(target)) {
      errors.push(notFound(`${at}.targetContainerName`, target));
    }
    for (const name of NOT_EPHEMERAL) {
      if (isSet(container[name])) errors.push(forbidden(`${at}.${name}`, EPHEMERAL));
    }
  });
  return errors;
}

function commonErrors(
  container: Container | EphemeralContainer,
  scope: ContainerScope,
  at: string,
): FieldError[] {
  const errors = validateDnsLabel(container.name, `${at}.name`);
  const image = container.image ?? '';
  if (image === '') errors.push(required(`${at}.image`));
  else if (scope.isPod && image.trim() !== image) {
    errors.push(invalid(`${at}.image`, image, 'must not have leading or trailing whitespace'));
  }
  errors.push(
    ...validateChoice(
      container.terminationMessagePolicy,
      MESSAGE_POLICIES,
      `${at}.terminationMessagePolicy`,
    ),
    ...portErrors(container.ports ?? [], `${at}.ports`),
    ...validateEnv(container.env ?? [], `${at}.env`),
    ...validateEnvFrom(container.envFrom ?? [], `${at}.envFrom`),
    ...validateMounts(container, scope.volumes, at),
    ...validateChoice(container.imagePullPolicy, PULL_POLICIES, `${at}.imagePullPolicy`),
    ...validateResources(container.resources, `${at}.resources`),
    ...securityErrors(container, `${at}.securityContext`),
  );
  return errors;
}

function portErrors(ports: readonly ContainerPort[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${field}[${index}]`;
    const name = port.name ?? '';
    if (name !== '') {
      const problems = portNameProblems(name);
      errors.push(...problems.map((problem) => invalid(`${at}.name`, name, problem)));
      if (problems.length === 0 && names.has(name)) errors.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else errors.push(...validatePortNumber(port.containerPort, `${at}.containerPort`));
    if (port.hostPort) errors.push(...validatePortNumber(port.hostPort, `${at}.hostPort`));
    errors.push(...validateChoice(port.protocol, PROTOCOLS, `${at}.protocol`));
  });
  return errors;
}

function hookErrors(container: Container, spec: PodSpec, at: string): FieldError[] {
  const grace = spec.terminationGracePeriodSeconds;
  return [
    ...validateLifecycle(container.lifecycle, grace, `${at}.lifecycle`),
    ...validateProbe(container.livenessProbe, 'liveness', `${at}.livenessProbe`),
    ...validateProbe(container.readinessProbe, 'readiness', `${at}.readinessProbe`),
    ...validateProbe(container.startupProbe, 'startup', `${at}.startupProbe`),
  ];
}

function hostPortErrors(container: Container, taken: Set<string>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  (container.ports ?? []).forEach((port, index) => {
    if (!port.hostPort) return;
    const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`;
    if (taken.has(key)) errors.push(duplicate(`${at}.ports[${index}].hostPort`, key));
    taken.add(key);
  });
  return errors;
}

function securityErrors(container: Container | EphemeralContainer, field: string): FieldError[] {
  const context = container.securityContext;
  if (context === undefined) return [];
  const errors = [
    ...validateUserId(context.runAsUser, `${field}.runAsUser`),
    ...validateUserId(context.runAsGroup, `${field}.runAsGroup`),
  ];
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true) {
      const why = 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true';
      errors.push(invalid(field, context, why));
    }
    if ((context.capabilities?.add ?? []).includes('CAP_SYS_ADMIN')) {
      const why =
        'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN';
      errors.push(invalid(field, context, why));
    }
  }
  return errors;
}

/** Failures if a user or group number is out of range. Absent is fine. */
export function validateUserId(id: number | undefined, field: string): FieldError[] {
  if (id === undefined || (id >= 0 && id <= INT32_MAX)) return [];
  return [invalid(field, id, `must be between 0 and ${INT32_MAX}, inclusive`)];
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (Array.isArray(value)) return value.length > 0;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}
