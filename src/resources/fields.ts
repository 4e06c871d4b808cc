/**
 * Field selectors: `spec.nodeName=a,status.phase!=Running`. Only the fields that a kind declares can be
 * selected on, besides name and namespace.
 */
import type { KubeObject, ResourceKind } from './types.ts';

export type FieldRequirement = {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
};

export type FieldSelector = readonly FieldRequirement[];

export type ParsedFieldSelector =
  | { readonly kind: 'ok'; readonly selector: FieldSelector }
  | { readonly kind: 'invalid'; readonly message: string };

/** Parses the text form; `\` escapes `,`, `=` and itself. An empty text selects everything. */
export function parseFieldSelector(text: string): ParsedFieldSelector {
  const selector: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term === '') continue;
    const parsed = parseTerm(term);
    if (parsed === undefined) {
      return {
        kind: 'invalid',
        message: `invalid selector: '${text}'; can't understand '${term}'`,
      };
    }
    selector.push(parsed);
  }
  return { kind: 'ok', selector };
}

/** The text form of a field selector. */
export function formatFieldSelector(selector: FieldSelector): string {
  return selector
    .map(({ field, operator, value }) => `${field}${operator}${escapeValue(value)}`)
    .join(',');
}

/** The first field of `selector` that `kind` cannot select on, in upstream's words; undefined if all are fine. */
export function unsupportedField(kind: ResourceKind, selector: FieldSelector): string | undefined {
  if (selector.length === 0) return undefined;
  const names = selectableFieldNames(kind);
  const wrong = selector.find(({ field }) => !names.has(field));
  if (wrong === undefined) return undefined;
  return kind.selectableFields === undefined
    ? `"${wrong.field}" is not a known field selector: only "metadata.name", "metadata.namespace"`
    : `field label not supported: ${wrong.field}`;
}

/** True if the object's fields satisfy every requirement. A field the kind does not declare never matches. */
export function matchesFieldSelector(
  kind: ResourceKind,
  selector: FieldSelector,
  object: KubeObject,
): boolean {
  if (selector.length === 0) return true;
  const fields = fieldsOf(kind, object);
  return selector.every(({ field, operator, value }) => {
    const actual = fields[field];
    return actual !== undefined && (actual === value) === (operator === '=');
  });
}

/** The values of all selectable fields of an object. */
export function fieldsOf(kind: ResourceKind, object: KubeObject): Record<string, string> {
  const fields: Record<string, string> = {
    ...kind.selectableFields?.(object),
    'metadata.name': object.metadata.name,
  };
  if (kind.namespaced) fields['metadata.namespace'] = object.metadata.namespace ?? '';
  return fields;
}

const namesByKind = new WeakMap<ResourceKind, ReadonlySet<string>>();

/** The names of all fields that a kind can select on. */
export function selectableFieldNames(kind: ResourceKind): ReadonlySet<string> {
  const known = namesByKind.get(kind);
  if (known !== undefined) return known;
  const names = new Set(Object.keys(fieldsOf(kind, { metadata: { name: '' } })));
  // Upstream accepts the namespace for every kind; it is empty for those of the cluster.
  names.add('metadata.namespace');
  namesByKind.set(kind, names);
  return names;
}

function parseTerm(term: string): FieldRequirement | undefined {
  const match = /^((?:\\.|[^\\=!])*)(!=|==|=)(.*)$/s.exec(term);
  if (match === null) return undefined;
  const [, field = '', operator, raw = ''] = match;
  const value = unescapeValue(raw);
  if (value === undefined) return undefined;
  return { field, operator: operator === '!=' ? '!=' : '=', value };
}

/** Splits at commas that are not escaped; keeps the escapes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let current = '';
  for (let index = 0; index < text.length; index += 1) {
    const char = text.charAt(index);
    if (char === '\\') {
      current += char + text.charAt(index + 1);
      index += 1;
    } else if (char === ',') {
      terms.push(current);
      current = '';
    } else {
      current += char;
    }
  }
  terms.push(current);
  return terms;
}

function escapeValue(value: string): string {
  return value.replaceAll(/[\\,=]/g, (char) => `\\${char}`);
}

/** Undefined if an escape is unknown or a bare `=` occurs. */
function unescapeValue(raw: string): string | undefined {
  if (!/^(?:\\[\\,=]|[^\\,=])*$/s.test(raw)) return undefined;
  return raw.replaceAll(/\\(.)/gs, '$1');
}
