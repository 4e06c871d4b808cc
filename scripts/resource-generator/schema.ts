/**
 * Joins models and facts into the run-time schema: per type its fields with type, reference,
 * requiredness and merge facts. The shape is that of src/resources/schema.ts.
 */
import type { FieldSchema, SchemaTable, TypeSchema } from '../../src/resources/schema.ts';
import type { FactsTable, FieldFacts } from './facts.ts';
import type { ModelField, ModelReader } from './models.ts';

/** Descriptions by type; the entry '' describes the type itself. */
export type Descriptions = Record<string, Record<string, string>>;

type Shape = Pick<FieldSchema, 'type' | 'format' | 'ref' | 'items' | 'values'>;

/** The schema and descriptions of `roots` and of everything they refer to. */
export async function buildSchema(
  reader: ModelReader,
  facts: FactsTable,
  roots: readonly string[],
): Promise<{ schema: SchemaTable; descriptions: Descriptions }> {
  const schema: SchemaTable = {};
  const descriptions: Descriptions = {};
  const queue = [...roots];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (schema[name] !== undefined) continue;
    const model = await reader.read(name);
    const typeFacts = facts[name] ?? {};
    const fields: Record<string, FieldSchema> = {};
    const texts: Record<string, string> = { '': model.description };
    for (const field of model.fields) {
      const made = fieldSchema(field, typeFacts.fields?.[field.name] ?? {}, reader);
      fields[field.name] = made;
      texts[field.name] = field.description;
      for (const ref of refsOf(made)) queue.push(ref);
    }
    const type: TypeSchema = { fields };
    // Options types are registered in every group; naming those tells nothing.
    if (typeFacts.gvk?.length === 1) type.gvk = typeFacts.gvk;
    if (typeFacts.map !== undefined) type.map = typeFacts.map;
    schema[name] = type;
    descriptions[name] = texts;
  }
  return { schema: sorted(schema), descriptions: sorted(descriptions) };
}

/** JSON with one entry of the outer object per line: small, and readable in a diff. */
export function renderJson(table: Record<string, unknown>): string {
  const lines = Object.entries(table).map(
    ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  return `{\n${lines.join(',\n')}\n}\n`;
}

function fieldSchema(field: ModelField, facts: FieldFacts, reader: ModelReader): FieldSchema {
  const made: FieldSchema = shapeOf(field.type, field.format, facts.quantity === true, reader);
  if (field.required) made.required = true;
  if (facts.patch !== undefined) made.patch = facts.patch;
  if (facts.mergeKey !== undefined) made.mergeKey = facts.mergeKey;
  if (facts.list !== undefined) made.list = facts.list;
  if (facts.listKeys !== undefined) made.listKeys = facts.listKeys;
  if (facts.map !== undefined) made.map = facts.map;
  return made;
}

function shapeOf(type: string, format: string, quantity: boolean, reader: ModelReader): Shape {
  const array = /^Array<(.*)>$/.exec(type)?.[1];
  if (array !== undefined) {
    return { type: 'array', items: shapeOf(array, format, quantity, reader) };
  }
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (map !== undefined) return { type: 'map', values: shapeOf(map, format, quantity, reader) };
  if (quantity) return { type: 'quantity' };
  switch (type) {
    case 'string':
      return format === 'byte' ? { type: 'bytes' } : { type: 'string' };
    case 'number':
      return format === 'int32' || format === 'int64'
        ? { type: 'integer', format }
        : { type: 'number' };
    case 'boolean':
      return { type: 'boolean' };
    case 'IntOrString':
      return { type: 'int-or-string' };
    case 'Date':
      return { type: 'time' };
    case 'V1MicroTime':
      return { type: 'micro-time' };
    case 'any':
      return { type: 'any' };
    default:
      return { type: 'object', ref: reader.typeOfClass(type) };
  }
}

function refsOf(field: Shape): string[] {
  const inner = field.items ?? field.values;
  if (inner !== undefined) return refsOf(inner);
  return field.ref === undefined ? [] : [field.ref];
}

function sorted<T>(table: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1)));
}
