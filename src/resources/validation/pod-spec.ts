/** Specs of pods and of pod templates. */
import { forbidden, invalid, required } from '../field-errors.ts';
import type { Pod, PodSpec, PodTemplateSpec } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import {
  type ContainerScope,
  validateContainers,
  validateEphemeralContainers,
  validateInitContainers,
  validateUserId,
} from './containers.ts';
import { validateAnnotations, validateLabels, validateObjectMeta } from './metadata.ts';
import { dnsLabelProblems, dnsSubdomainProblems, labelKeyProblems } from './names.ts';
import { validateAffinity, validateSpreadConstraints, validateTolerations } from './scheduling.ts';
import {
  INT32_MAX,
  validateChoice,
  validateIp,
  validateOptionalChoice,
  validateOptionalName,
} from './values.ts';
import { validateVolumes } from './volumes.ts';

const RESTART_POLICIES: readonly string[] = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES: readonly string[] = [
  'ClusterFirstWithHostNet',
  'ClusterFirst',
  'Default',
  'None',
];
const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const SEARCH_CHARACTERS_MAX = 2048;

/** Failures in a pod's metadata and spec; used at creation and at update. */
export function validatePod(pod: Pod): FieldError[] {
  const errors = validateObjectMeta(pod.metadata, {
    nameRule: 'dns-subdomain',
    namespaced: true,
  });
  errors.push(...validatePodSpec(pod.spec, 'spec', { isPod: true }));
  if ((pod.spec.serviceAccountName ?? '') === '') errors.push(...tokenErrors(pod.spec));
  return errors;
}

/** Failures of a pod that only matter at creation. */
export function validatePodCreate(pod: Pod): FieldError[] {
  const errors = validatePod(pod);
  if ((pod.spec.ephemeralContainers ?? []).length > 0) {
    errors.push(forbidden('spec.ephemeralContainers', 'cannot be set on create'));
  }
  if (pod.spec.nodeName && (pod.spec.schedulingGates ?? []).length > 0) {
    const why = 'cannot be set until all schedulingGates have been cleared';
    errors.push(forbidden('spec.nodeName', why));
  }
  return errors;
}

/** Failures in a workload's template. */
export function validatePodTemplate(template: PodTemplateSpec, field: string): FieldError[] {
  const errors = [
    ...validateLabels(template.metadata?.labels, `${field}.labels`),
    ...validateAnnotations(template.metadata?.annotations, `${field}.annotations`),
    ...validatePodSpec(template.spec, `${field}.spec`, { isPod: false }),
  ];
  if ((template.spec.ephemeralContainers ?? []).length > 0) {
    const why = 'ephemeral containers not allowed in pod template';
    errors.push(forbidden(`${field}.spec.ephemeralContainers`, why));
  }
  return errors;
}

/** Failures in a pod spec. Expects defaults to be filled in. */
export function validatePodSpec(
  spec: PodSpec,
  field: string,
  { isPod }: { readonly isPod: boolean },
): FieldError[] {
  const scope: ContainerScope = {
    spec,
    volumes: new Set((spec.volumes ?? []).map(({ name }) => name)),
    isPod,
  };
  return [
    ...(spec.terminationGracePeriodSeconds === undefined
      ? [required(`${field}.terminationGracePeriodSeconds`)]
      : []),
    ...validateVolumes(spec.volumes ?? [], `${field}.volumes`),
    ...validateContainers(scope, `${field}.containers`),
    ...validateInitContainers(scope, `${field}.initContainers`),
    ...validateEphemeralContainers(scope, `${field}.ephemeralContainers`),
    ...hostNetworkErrors(spec, field, isPod),
    ...validateChoice(spec.restartPolicy, RESTART_POLICIES, `${field}.restartPolicy`),
    ...validateChoice(spec.dnsPolicy, DNS_POLICIES, `${field}.dnsPolicy`),
    ...validateLabels(spec.nodeSelector, `${field}.nodeSelector`),
    ...securityErrors(spec, `${field}.securityContext`),
    ...validateAffinity(spec.affinity, `${field}.affinity`),
    ...dnsErrors(spec, `${field}.dnsConfig`),
    ...(spec.readinessGates ?? []).flatMap(({ conditionType = '' }, index) =>
      labelKeyProblems(conditionType).map((problem) =>
        invalid(`${field}.readinessGates[${index}].conditionType`, conditionType, problem),
      ),
    ),
    ...validateSpreadConstraints(
      spec.topologySpreadConstraints ?? [],
      `${field}.topologySpreadConstraints`,
    ),
    ...nameErrors(spec, field),
    ...deadlineErrors(spec, field),
    ...validateTolerations(spec.tolerations ?? [], `${field}.tolerations`),
    ...hostAliasErrors(spec, `${field}.hostAliases`),
    ...validateOptionalChoice(
      spec.preemptionPolicy,
      ['PreemptLowerPriority', 'Never'],
      `${field}.preemptionPolicy`,
    ),
  ];
}

function tokenErrors(spec: PodSpec): FieldError[] {
  return (spec.volumes ?? []).flatMap((volume, index) =>
    (volume.projected?.sources ?? []).flatMap((source, position) =>
      source.serviceAccountToken === undefined
        ? []
        : [
            forbidden(
              `spec.volumes[${index}].projected.sources[${position}].serviceAccountToken`,
              'must not be specified when serviceAccountName is not set',
            ),
          ],
    ),
  );
}

function hostNetworkErrors(spec: PodSpec, field: string, isPod: boolean): FieldError[] {
  if (spec.hostNetwork !== true) return [];
  return (spec.containers ?? []).flatMap((container, index) =>
    (container.ports ?? []).flatMap((port, position) => {
      const hostPort = port.hostPort ?? 0;
      // A template may leave it open: the pod made of it gets the default.
      if (hostPort === port.containerPort || (hostPort === 0 && !isPod)) return [];
      return [
        invalid(
          `${field}.containers[${index}].ports[${position}].hostPort`,
          hostPort,
          'must match `containerPort` when `hostNetwork` is true',
        ),
      ];
    }),
  );
}

function securityErrors(spec: PodSpec, field: string): FieldError[] {
  const context = spec.securityContext;
  if (context === undefined) return [];
  const errors = [
    ...validateUserId(context.fsGroup, `${field}.fsGroup`),
    ...validateUserId(context.runAsUser, `${field}.runAsUser`),
    ...validateUserId(context.runAsGroup, `${field}.runAsGroup`),
    ...(context.supplementalGroups ?? []).flatMap((group, index) =>
      validateUserId(group, `${field}.supplementalGroups[${index}]`),
    ),
    ...validateOptionalChoice(
      context.fsGroupChangePolicy,
      ['Always', 'OnRootMismatch'],
      `${field}.fsGroupChangePolicy`,
    ),
  ];
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    const why = 'ShareProcessNamespace and HostPID cannot both be enabled';
    errors.push(invalid(`${field}.shareProcessNamespace`, true, why));
  }
  return errors;
}

function dnsErrors(spec: PodSpec, field: string): FieldError[] {
  const config = spec.dnsConfig;
  if (spec.dnsPolicy === 'None') {
    if (config === undefined) {
      return [required(field, 'must provide `dnsConfig` when `dnsPolicy` is None')];
    }
    if ((config.nameservers ?? []).length === 0) {
      const why = 'must provide at least one DNS nameserver when `dnsPolicy` is None';
      return [required(`${field}.nameservers`, why)];
    }
  }
  if (config === undefined) return [];
  const { nameservers = [], searches = [], options = [] } = config;
  const errors: FieldError[] = [];
  if (nameservers.length > NAMESERVERS_MAX) {
    const why = `must not have more than ${NAMESERVERS_MAX} nameservers`;
    errors.push(invalid(`${field}.nameservers`, nameservers, why));
  }
  nameservers.forEach((server, index) => {
    errors.push(...validateIp(server, `${field}.nameservers[${index}]`));
  });
  if (searches.length > SEARCHES_MAX) {
    const why = `must not have more than ${SEARCHES_MAX} search paths`;
    errors.push(invalid(`${field}.searches`, searches, why));
  }
  if (searches.join(' ').length > SEARCH_CHARACTERS_MAX) {
    const why = `must not have more than ${SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list`;
    errors.push(invalid(`${field}.searches`, searches, why));
  }
  searches.forEach((search, index) => {
    if (search === '.') return;
    const name = search.replace(/\.$/, '').replaceAll('_', '-');
    for (const problem of dnsSubdomainProblems(name)) {
      errors.push(invalid(`${field}.searches[${index}]`, search, problem));
    }
  });
  options.forEach((option, index) => {
    if ((option.name ?? '') === '') {
      errors.push(required(`${field}.options[${index}]`, 'must not be empty'));
    }
  });
  return errors;
}

function nameErrors(spec: PodSpec, field: string): FieldError[] {
  const subdomain = (name: 'serviceAccountName' | 'nodeName' | 'priorityClassName') =>
    validateOptionalName(spec[name], dnsSubdomainProblems, `${field}.${name}`);
  return [
    ...subdomain('serviceAccountName'),
    ...subdomain('nodeName'),
    ...validateOptionalName(spec.hostname, dnsLabelProblems, `${field}.hostname`),
    ...validateOptionalName(spec.subdomain, dnsLabelProblems, `${field}.subdomain`),
    ...subdomain('priorityClassName'),
  ];
}

function deadlineErrors(spec: PodSpec, field: string): FieldError[] {
  const deadline = spec.activeDeadlineSeconds;
  if (deadline === undefined || (deadline >= 1 && deadline <= INT32_MAX)) return [];
  const why = `must be between 1 and ${INT32_MAX}, inclusive`;
  return [invalid(`${field}.activeDeadlineSeconds`, deadline, why)];
}

function hostAliasErrors(spec: PodSpec, field: string): FieldError[] {
  return (spec.hostAliases ?? []).flatMap((alias, index) => [
    ...validateIp(alias.ip ?? '', `${field}[${index}].ip`),
    ...(alias.hostnames ?? []).flatMap((hostname, position) =>
      dnsSubdomainProblems(hostname).map((problem) =>
        invalid(`${field}[${index}].hostnames[${position}]`, hostname, problem),
      ),
    ),
  ]);
}
