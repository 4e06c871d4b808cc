/** Deployments and ReplicaSets. */

import { sameMeaning } from '../equality.ts';
import { forbidden, invalid, notSupported, required } from '../field-errors.ts';
import type {
  Deployment,
  DeploymentStrategy,
  LabelSelector,
  PodTemplateSpec,
  ReplicaSet,
} from '../generated/kinds.ts';
import { percentOf } from '../int-or-string.ts';
import { matchesLabelSelector } from '../labels.ts';
import type { FieldError } from '../types.ts';
import { validatePodTemplate } from './pod-spec.ts';
import { validateLabelSelector } from './selectors.ts';
import { validateNonNegative } from './values.ts';

/** Failures in a Deployment's spec. */
export function validateDeployment(deployment: Deployment): FieldError[] {
  const { spec } = deployment;
  const errors = [
    ...validateNonNegative(spec.replicas, 'spec.replicas'),
    ...selectedTemplateErrors(spec.selector, spec.template),
    ...strategyErrors(spec.strategy ?? {}, 'spec.strategy'),
    ...validateNonNegative(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...validateNonNegative(spec.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
  ];
  const deadline = spec.progressDeadlineSeconds;
  if (deadline !== undefined) {
    const field = 'spec.progressDeadlineSeconds';
    errors.push(...validateNonNegative(deadline, field));
    if (deadline <= (spec.minReadySeconds ?? 0)) {
      errors.push(invalid(field, deadline, 'must be greater than minReadySeconds'));
    }
  }
  return errors;
}

/** Failures in a ReplicaSet's spec. */
export function validateReplicaSet(replicaSet: ReplicaSet): FieldError[] {
  const { spec } = replicaSet;
  return [
    ...validateNonNegative(spec.replicas, 'spec.replicas'),
    ...validateNonNegative(spec.minReadySeconds, 'spec.minReadySeconds'),
    ...selectedTemplateErrors(spec.selector, spec.template),
  ];
}

/** Failures if a workload's selector changes. */
export function validateSelectorUnchanged(
  selector: LabelSelector | undefined,
  old: LabelSelector | undefined,
): FieldError[] {
  return sameMeaning(selector, old)
    ? []
    : [invalid('spec.selector', selector, 'field is immutable')];
}

/** Pod counts in a status, under the names of Deployments and ReplicaSets. */
type ReplicaCounts = {
  readonly replicas?: number | undefined;
  readonly updatedReplicas?: number | undefined;
  readonly fullyLabeledReplicas?: number | undefined;
  readonly readyReplicas?: number | undefined;
  readonly availableReplicas?: number | undefined;
  readonly unavailableReplicas?: number | undefined;
};

/** Failures in a status whose counts cannot be: below zero, or more of a sort than there are at all. */
export function validateReplicaCounts(status: ReplicaCounts | undefined): FieldError[] {
  if (status === undefined) return [];
  const errors: FieldError[] = [];
  for (const name of COUNTS) {
    const count = status[name] ?? 0;
    errors.push(...validateNonNegative(count, `status.${name}`));
    if (name !== 'unavailableReplicas' && count > (status.replicas ?? 0)) {
      errors.push(invalid(`status.${name}`, count, 'cannot be greater than status.replicas'));
    }
  }
  const { availableReplicas = 0, readyReplicas = 0 } = status;
  if (availableReplicas > readyReplicas) {
    const why = 'cannot be greater than readyReplicas';
    errors.push(invalid('status.availableReplicas', availableReplicas, why));
  }
  return errors;
}

const COUNTS = [
  'replicas',
  'updatedReplicas',
  'fullyLabeledReplicas',
  'readyReplicas',
  'availableReplicas',
  'unavailableReplicas',
] as const;

function selectedTemplateErrors(
  selector: LabelSelector | undefined,
  template: PodTemplateSpec | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  if (selector === undefined) errors.push(required('spec.selector'));
  else {
    errors.push(...validateLabelSelector(selector, 'spec.selector'));
    if (isEmptySelector(selector)) {
      const why = 'empty selector is invalid for deployment';
      errors.push(invalid('spec.selector', selector, why));
    }
  }
  if (template === undefined) return [...errors, required('spec.template')];
  const labels = template.metadata?.labels;
  const checkable = selector !== undefined && !isEmptySelector(selector);
  if (checkable && !matchesLabelSelector(selector, labels)) {
    const why = '`selector` does not match template `labels`';
    errors.push(invalid('spec.template.metadata.labels', labels ?? null, why));
  }
  errors.push(...validatePodTemplate(template, 'spec.template'));
  const restart = template.spec.restartPolicy ?? '';
  if (restart !== 'Always') {
    errors.push(notSupported('spec.template.spec.restartPolicy', restart, ['Always']));
  }
  if (template.spec.activeDeadlineSeconds !== undefined) {
    const why = 'activeDeadlineSeconds in ReplicaSet is not Supported';
    errors.push(forbidden('spec.template.spec.activeDeadlineSeconds', why));
  }
  return errors;
}

function isEmptySelector(selector: LabelSelector): boolean {
  return (
    Object.keys(selector.matchLabels ?? {}).length === 0 &&
    (selector.matchExpressions ?? []).length === 0
  );
}

function strategyErrors(strategy: DeploymentStrategy, field: string): FieldError[] {
  const rolling = strategy.rollingUpdate;
  const at = `${field}.rollingUpdate`;
  if (strategy.type === 'Recreate') {
    if (rolling === undefined) return [];
    const why = "may not be specified when strategy `type` is 'Recreate'";
    return [forbidden(at, why)];
  }
  if (strategy.type !== 'RollingUpdate') {
    return [notSupported(`${field}.type`, strategy.type ?? '', ['Recreate', 'RollingUpdate'])];
  }
  if (rolling === undefined) {
    return [required(at, 'this should be defaulted and never be nil')];
  }
  const errors = [
    ...shareErrors(rolling.maxUnavailable, `${at}.maxUnavailable`),
    ...shareErrors(rolling.maxSurge, `${at}.maxSurge`),
  ];
  if (isZero(rolling.maxUnavailable) && isZero(rolling.maxSurge)) {
    const why = 'may not be 0 when `maxSurge` is 0';
    errors.push(invalid(`${at}.maxUnavailable`, rolling.maxUnavailable ?? 0, why));
  }
  if ((percentOf(rolling.maxUnavailable) ?? 0) > 100) {
    errors.push(
      invalid(`${at}.maxUnavailable`, rolling.maxUnavailable, 'must not be greater than 100%'),
    );
  }
  return errors;
}

function shareErrors(value: number | string | undefined, field: string): FieldError[] {
  if (typeof value === 'number') return validateNonNegative(value, field);
  if (value === undefined || percentOf(value) !== undefined) return [];
  return [
    invalid(
      field,
      value,
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
    ),
  ];
}

function isZero(value: number | string | undefined): boolean {
  return (percentOf(value) ?? value ?? 0) === 0;
}
