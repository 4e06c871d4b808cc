/** Node selectors: the terms of node affinity and of volume affinity, matched against a node. Pure. */

import type { Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm } from './kinds.ts';

/** Terms are alternatives; a selector without terms matches nothing. */
export function matchesNodeSelector(selector: NodeSelector, node: Node): boolean {
  return selector.nodeSelectorTerms.some((term) => matchesNodeSelectorTerm(term, node));
}

/** Requirements of a term must all hold; an empty term matches nothing. */
export function matchesNodeSelectorTerm(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  const byField: Record<string, string> = { 'metadata.name': node.metadata.name };
  return (
    expressions.every((requirement) => matches(requirement, labels[requirement.key])) &&
    fields.every((requirement) => matches(requirement, byField[requirement.key]))
  );
}

function matches(requirement: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return compares(value, values, (a, b) => a > b);
    case 'Lt':
      return compares(value, values, (a, b) => a < b);
    default:
      return false;
  }
}

function compares(
  value: string | undefined,
  values: readonly string[],
  holds: (a: number, b: number) => boolean,
): boolean {
  const bound = values[0];
  if (value === undefined || bound === undefined || values.length !== 1) return false;
  const [a, b] = [Number(value), Number(bound)];
  return Number.isInteger(a) && Number.isInteger(b) && holds(a, b);
}
