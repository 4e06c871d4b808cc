/** What steers the scheduler: affinity, tolerations, spreading, taints. */
import { duplicate, invalid, notSupported, required } from '../field-errors.ts';
import type {
  Affinity,
  NodeAffinity,
  PodAffinityTerm,
  Taint,
  Toleration,
  TopologySpreadConstraint,
  WeightedPodAffinityTerm,
} from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { labelKeyProblems, labelValueProblems } from './names.ts';
import {
  validateLabelSelector,
  validateNodeRequirement,
  validateNodeSelector,
} from './selectors.ts';
import { validateName } from './values.ts';

const EFFECTS: readonly string[] = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

/** Failures in affinity of all sorts. Absent is fine. */
export function validateAffinity(affinity: Affinity | undefined, field: string): FieldError[] {
  if (affinity === undefined) return [];
  const errors: FieldError[] = [];
  if (affinity.nodeAffinity !== undefined) {
    errors.push(...nodeAffinityErrors(affinity.nodeAffinity, `${field}.nodeAffinity`));
  }
  for (const name of ['podAffinity', 'podAntiAffinity'] as const) {
    const given = affinity[name];
    if (given === undefined) continue;
    errors.push(
      ...(given.requiredDuringSchedulingIgnoredDuringExecution ?? []).flatMap((term, index) =>
        termErrors(
          term,
          `${field}.${name}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`,
        ),
      ),
      ...(given.preferredDuringSchedulingIgnoredDuringExecution ?? []).flatMap((term, index) =>
        weightedErrors(
          term,
          `${field}.${name}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`,
        ),
      ),
    );
  }
  return errors;
}

/** Failures in tolerations. */
export function validateTolerations(
  tolerations: readonly Toleration[],
  field: string,
): FieldError[] {
  return tolerations.flatMap((toleration, index) =>
    tolerationErrors(toleration, `${field}[${index}]`),
  );
}

/** Failures in a node's taints. */
export function validateTaints(taints: readonly Taint[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  taints.forEach((taint, index) => {
    const at = `${field}[${index}]`;
    errors.push(...validateName(taint.key, labelKeyProblems, `${at}.key`));
    for (const problem of labelValueProblems(taint.value ?? '')) {
      errors.push(invalid(`${at}.value`, taint.value, problem));
    }
    if ((taint.effect ?? '') === '') errors.push(required(`${at}.effect`));
    else if (!EFFECTS.includes(taint.effect)) {
      errors.push(notSupported(`${at}.effect`, taint.effect, EFFECTS));
    }
    const identity = `${taint.key}:${taint.effect}`;
    if (seen.has(identity)) {
      const found = duplicate(at, taint);
      errors.push({ ...found, detail: 'taints must be unique by key and effect pair' });
    }
    seen.add(identity);
  });
  return errors;
}

/** Failures in topology spread constraints. */
export function validateSpreadConstraints(
  constraints: readonly TopologySpreadConstraint[],
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  constraints.forEach((constraint, index) => {
    const at = `${field}[${index}]`;
    if (!((constraint.maxSkew ?? 0) > 0)) {
      errors.push(invalid(`${at}.maxSkew`, constraint.maxSkew ?? 0, 'must be greater than zero'));
    }
    if ((constraint.topologyKey ?? '') === '') {
      errors.push(required(`${at}.topologyKey`, 'can not be empty'));
    }
    const actions = ['DoNotSchedule', 'ScheduleAnyway'];
    if (!actions.includes(constraint.whenUnsatisfiable ?? '')) {
      errors.push(
        notSupported(`${at}.whenUnsatisfiable`, constraint.whenUnsatisfiable ?? '', actions),
      );
    }
    const pair = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`;
    if (seen.has(pair)) {
      errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    }
    seen.add(pair);
    if (constraint.minDomains !== undefined && constraint.minDomains <= 0) {
      const why = 'must be greater than 0';
      errors.push(invalid(`${at}.minDomains`, constraint.minDomains, why));
    }
    errors.push(...validateLabelSelector(constraint.labelSelector, `${at}.labelSelector`));
  });
  return errors;
}

function tolerationErrors(toleration: Toleration, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { key = '', operator = '', value = '', effect = '' } = toleration;
  if (key !== '') {
    errors.push(...labelKeyProblems(key).map((problem) => invalid(`${at}.key`, key, problem)));
  } else if (operator !== 'Exists') {
    errors.push(
      invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    );
  }
  if (toleration.tolerationSeconds !== undefined && effect !== 'NoExecute') {
    const why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
    errors.push(invalid(`${at}.effect`, effect, why));
  }
  if (operator === '' || operator === 'Equal') {
    const problems = labelValueProblems(value);
    if (problems.length > 0) errors.push(invalid(`${at}.operator`, value, problems.join(';')));
  } else if (operator === 'Exists') {
    if (value !== '') {
      const why = "value must be empty when `operator` is 'Exists'";
      errors.push(invalid(`${at}.operator`, value, why));
    }
  } else {
    errors.push(notSupported(`${at}.operator`, operator, ['Equal', 'Exists']));
  }
  if (effect !== '' && !EFFECTS.includes(effect)) {
    errors.push(notSupported(`${at}.effect`, effect, EFFECTS));
  }
  return errors;
}

function nodeAffinityErrors(affinity: NodeAffinity, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const must = affinity.requiredDuringSchedulingIgnoredDuringExecution;
  if (must !== undefined) {
    errors.push(
      ...validateNodeSelector(must, `${field}.requiredDuringSchedulingIgnoredDuringExecution`),
    );
  }
  (affinity.preferredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, index) => {
    const at = `${field}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
    errors.push(...weightErrors(term.weight, at));
    (term.preference?.matchExpressions ?? []).forEach((requirement, position) => {
      errors.push(
        ...validateNodeRequirement(requirement, `${at}.preference.matchExpressions[${position}]`),
      );
    });
  });
  return errors;
}

function termErrors(term: PodAffinityTerm, field: string): FieldError[] {
  const errors = [
    ...validateLabelSelector(term.labelSelector, `${field}.labelSelector`),
    ...validateLabelSelector(term.namespaceSelector, `${field}.namespaceSelector`),
  ];
  const key = term.topologyKey ?? '';
  if (key === '') errors.push(required(`${field}.topologyKey`, 'can not be empty'));
  else {
    errors.push(
      ...labelKeyProblems(key).map((problem) => invalid(`${field}.topologyKey`, key, problem)),
    );
  }
  return errors;
}

function weightedErrors(term: WeightedPodAffinityTerm, field: string): FieldError[] {
  return [
    ...weightErrors(term.weight, field),
    ...(term.podAffinityTerm === undefined
      ? [required(`${field}.podAffinityTerm`)]
      : termErrors(term.podAffinityTerm, `${field}.podAffinityTerm`)),
  ];
}

function weightErrors(weight: number | undefined, field: string): FieldError[] {
  if (weight !== undefined && weight >= 1 && weight <= 100) return [];
  return [invalid(`${field}.weight`, weight ?? 0, 'must be in the range 1-100')];
}
