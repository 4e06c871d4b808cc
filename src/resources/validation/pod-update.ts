/** What may change in a pod once it exists: very little. */

import { sameMeaning } from '../equality.ts';
import { forbidden, invalid, required } from '../field-errors.ts';
import type { Container, Pod, PodSpec, Toleration } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { validateObjectMetaUpdate } from './metadata.ts';
import { validatePod } from './pod-spec.ts';
import { INT32_MAX } from './values.ts';

/** How much of the difference between two specs an error shows. */
const DIFFERENCES_MAX = 5;

const CHANGEABLE = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
].join(',');

/** Failures of an update to a pod. */
export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors = [...validateObjectMetaUpdate(pod.metadata, old.metadata), ...validatePod(pod)];
  for (const name of ['containers', 'initContainers'] as const) {
    const found = containerUpdateErrors(pod.spec[name] ?? [], old.spec[name] ?? [], `spec.${name}`);
    errors.push(...found);
    if (found.some(({ type }) => type === 'Forbidden')) return errors;
  }
  const deadline = deadlineErrors(pod.spec, old.spec);
  errors.push(...deadline);
  if (deadline.length > 0) return errors;
  errors.push(...tolerationErrors(pod.spec.tolerations ?? [], old.spec.tolerations ?? []));
  errors.push(...gateErrors(pod.spec, old.spec));
  const frozen = withoutChangeable(pod.spec, old.spec);
  if (!sameMeaning(frozen, old.spec)) {
    const differences = differencesOf(old.spec, frozen).slice(0, DIFFERENCES_MAX);
    const why = `pod updates may not change fields other than ${CHANGEABLE}\n${differences.join('\n')}`;
    errors.push(forbidden('spec', why));
  }
  return errors;
}

/** Failures of a status update: metadata stays, and an assigned node stays. */
export function validatePodStatusUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors = validateObjectMetaUpdate(pod.metadata, old.metadata);
  if (pod.spec.nodeName !== old.spec.nodeName) {
    errors.push(invalid('status.nodeName', pod.spec.nodeName ?? '', 'may not be changed directly'));
  }
  return errors;
}

function containerUpdateErrors(
  containers: readonly Container[],
  old: readonly Container[],
  field: string,
): FieldError[] {
  if (containers.length !== old.length) {
    return [forbidden(field, 'pod updates may not add or remove containers')];
  }
  return containers.flatMap((container, index) => {
    const at = `${field}[${index}].image`;
    const image = container.image ?? '';
    if (image === '') return [required(at)];
    return image.trim() === image
      ? []
      : [invalid(at, image, 'must not have leading or trailing whitespace')];
  });
}

function deadlineErrors(spec: PodSpec, old: PodSpec): FieldError[] {
  const field = 'spec.activeDeadlineSeconds';
  const now = spec.activeDeadlineSeconds;
  const before = old.activeDeadlineSeconds;
  if (now === undefined) {
    if (before === undefined) return [];
    return [invalid(field, null, 'must not update from a positive integer to nil value')];
  }
  if (now < 0 || now > INT32_MAX) {
    return [invalid(field, now, `must be between 0 and ${INT32_MAX}, inclusive`)];
  }
  return before !== undefined && before < now
    ? [invalid(field, now, 'must be less than or equal to previous value')]
    : [];
}

function tolerationErrors(now: readonly Toleration[], old: readonly Toleration[]): FieldError[] {
  const kept = old.every((before) =>
    now.some((after) =>
      sameMeaning({ ...before, tolerationSeconds: after.tolerationSeconds }, after),
    ),
  );
  if (kept) return [];
  const why = 'existing toleration can not be modified except its tolerationSeconds';
  return [forbidden('spec.tolerations', why)];
}

function gateErrors(spec: PodSpec, old: PodSpec): FieldError[] {
  const before = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  return (spec.schedulingGates ?? []).flatMap(({ name }, index) =>
    before.has(name)
      ? []
      : [
          forbidden(
            `spec.schedulingGates[${index}].name`,
            `only deletion is allowed, but found new scheduling gate '${name}'`,
          ),
        ],
  );
}

/** The new spec with all that may change set back to the old. */
function withoutChangeable(spec: PodSpec, old: PodSpec): PodSpec {
  const withOldImages = (now: Container[] | undefined, before: Container[] | undefined) =>
    now?.map((container, index) => ({ ...container, image: before?.[index]?.image }));
  const copy: PodSpec = {
    ...spec,
    containers: withOldImages(spec.containers, old.containers) ?? [],
    initContainers: withOldImages(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
    schedulingGates: old.schedulingGates,
  };
  const grace = old.terminationGracePeriodSeconds;
  if (grace !== undefined && grace < 0 && spec.terminationGracePeriodSeconds === 1) {
    copy.terminationGracePeriodSeconds = grace;
  }
  // A pod that still waits at a gate may be steered more narrowly.
  if ((old.schedulingGates ?? []).length > 0) {
    const added = Object.entries(old.nodeSelector ?? {}).every(
      ([key, value]) => spec.nodeSelector?.[key] === value,
    );
    if (added) copy.nodeSelector = old.nodeSelector;
  }
  return copy;
}

/** Lines `path: old -> new` for the leaves in which two values differ. */
function differencesOf(a: unknown, b: unknown, path = 'spec'): string[] {
  if (sameMeaning(a, b)) return [];
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
    if (Array.isArray(a) === Array.isArray(b)) {
      const left = a as Record<string, unknown>;
      const right = b as Record<string, unknown>;
      return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) =>
        differencesOf(
          left[key],
          right[key],
          Array.isArray(a) ? `${path}[${key}]` : `${path}.${key}`,
        ),
      );
    }
  }
  return [`  ${path}: ${JSON.stringify(a) ?? 'null'} -> ${JSON.stringify(b) ?? 'null'}`];
}
