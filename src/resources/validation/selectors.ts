/** Label and node selectors inside specs. */
import { forbidden, invalid, notSupported, required } from '../field-errors.ts';
import type { LabelSelector, NodeSelector, NodeSelectorRequirement } from '../generated/kinds.ts';
import type { FieldError } from '../types.ts';
import { validateLabels } from './metadata.ts';
import { labelKeyProblems, labelValueProblems } from './names.ts';

/** Failures in an object-form label selector. */
export function validateLabelSelector(
  selector: LabelSelector | undefined,
  field: string,
): FieldError[] {
  if (selector === undefined) return [];
  const errors = validateLabels(selector.matchLabels, `${field}.matchLabels`);
  (selector.matchExpressions ?? []).forEach((expression, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    const values = expression.values ?? [];
    switch (expression.operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) {
          errors.push(
            required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"),
          );
        }
        break;
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) {
          errors.push(
            forbidden(
              `${at}.values`,
              "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
          );
        }
        break;
      default:
        errors.push(
          invalid(`${at}.operator`, expression.operator ?? '', 'not a valid selector operator'),
        );
    }
    errors.push(...keyErrors(expression.key ?? '', `${at}.key`));
    values.forEach((value, position) => {
      for (const problem of labelValueProblems(value)) {
        errors.push(invalid(`${at}.values[${position}]`, value, problem));
      }
    });
  });
  return errors;
}

/** Failures in a node selector of a required node affinity. */
export function validateNodeSelector(selector: NodeSelector, field: string): FieldError[] {
  const terms = selector.nodeSelectorTerms ?? [];
  if (terms.length === 0) {
    return [required(`${field}.nodeSelectorTerms`, 'must have at least one node selector term')];
  }
  return terms.flatMap((term, index) => {
    const at = `${field}.nodeSelectorTerms[${index}]`;
    return [
      ...(term.matchExpressions ?? []).flatMap((requirement, position) =>
        validateNodeRequirement(requirement, `${at}.matchExpressions[${position}]`),
      ),
      ...(term.matchFields ?? []).flatMap((requirement, position) =>
        validateNodeField(requirement, `${at}.matchFields[${position}]`),
      ),
    ];
  });
}

/** Failures in one expression of a node selector term. */
export function validateNodeRequirement(
  requirement: NodeSelectorRequirement,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0) {
        errors.push(
          required(`${field}.values`, "must be specified when `operator` is 'In' or 'NotIn'"),
        );
      }
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0) {
        errors.push(
          forbidden(
            `${field}.values`,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
          ),
        );
      }
      break;
    case 'Gt':
    case 'Lt':
      if (values.length !== 1) {
        errors.push(
          required(
            `${field}.values`,
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
          ),
        );
      }
      break;
    default:
      errors.push(
        invalid(`${field}.operator`, requirement.operator ?? '', 'not a valid selector operator'),
      );
  }
  errors.push(...keyErrors(requirement.key ?? '', `${field}.key`));
  return errors;
}

function validateNodeField(requirement: NodeSelectorRequirement, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (requirement.operator !== 'In' && requirement.operator !== 'NotIn') {
    errors.push(
      invalid(`${field}.operator`, requirement.operator ?? '', 'not a valid selector operator'),
    );
  } else if ((requirement.values ?? []).length !== 1) {
    errors.push(
      required(
        `${field}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      ),
    );
  }
  if (requirement.key !== 'metadata.name') {
    errors.push(notSupported(`${field}.key`, requirement.key ?? '', ['metadata.name']));
  }
  return errors;
}

function keyErrors(key: string, field: string): FieldError[] {
  return labelKeyProblems(key).map((problem) => invalid(field, key, problem));
}
