/** Which objects of a list or watch are wanted: label and field selectors, and a single name. */

import {
  type FieldSelector,
  matchesFieldSelector,
  parseFieldSelector,
  unsupportedField,
} from '../../resources/fields.ts';
import { matchesSelector, parseLabelSelector, type Selector } from '../../resources/labels.ts';
import type { KubeObject, ResourceKind } from '../../resources/types.ts';
import type { StoredObject } from '../../store/types.ts';
import { badRequest } from '../status.ts';
import type { SelectorOptions, Target } from '../types.ts';

export type Selection = {
  readonly kind: ResourceKind;
  readonly labels: Selector;
  readonly fields: FieldSelector;
  /** True if every object is wanted. */
  readonly all: boolean;
  /** The only name wanted, if the fields or the target say so. */
  readonly name: string | undefined;
  /** Texts that the JSON of every wanted object contains. */
  readonly needles: readonly Buffer[];
};

/** Parses the selectors of a request; a bad one is a bad request. */
export function parseSelection(target: Target, options: SelectorOptions): Selection {
  const { kind } = target;
  const labels = labelsOf(options.labelSelector ?? '');
  const fields = [...fieldsOf(kind, options.fieldSelector ?? '')];
  if (target.name !== undefined) {
    fields.push({ field: 'metadata.name', operator: '=', value: target.name });
  }
  const named = fields.find(({ field, operator }) => field === 'metadata.name' && operator === '=');
  // Stored JSON has one form only, so an equality on labels must show up in it as it stands: most
  // objects of a big list are told apart without being parsed.
  const needles = labels
    .filter(({ operator }) => operator === '=')
    .map(({ key, values: [value] }) =>
      Buffer.from(`${JSON.stringify(key)}:${JSON.stringify(value ?? '')}`, 'utf8'),
    );
  const all = labels.length === 0 && fields.length === 0;
  return { kind, labels, fields, all, name: named?.value, needles };
}

/** True if the object is wanted. */
export function selects(selection: Selection, item: StoredObject): boolean {
  if (selection.all) return true;
  for (const needle of selection.needles) if (!item.bytes.includes(needle)) return false;
  const object = item.object as KubeObject;
  return (
    matchesSelector(selection.labels, object.metadata.labels) &&
    matchesFieldSelector(selection.kind, selection.fields, object)
  );
}

function labelsOf(text: string): Selector {
  if (text === '') return [];
  const parsed = parseLabelSelector(text);
  if (parsed.kind === 'invalid') throw badRequest(parsed.message);
  return parsed.selector;
}

function fieldsOf(kind: ResourceKind, text: string): FieldSelector {
  if (text === '') return [];
  const parsed = parseFieldSelector(text);
  if (parsed.kind === 'invalid') throw badRequest(parsed.message);
  const problem = unsupportedField(kind, parsed.selector);
  if (problem !== undefined) throw badRequest(problem);
  return parsed.selector;
}
