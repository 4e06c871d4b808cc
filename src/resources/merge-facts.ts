/**
 * What the schema says about merging: for strategic merge patches, which lists merge by which key; for server-side
 * apply, what is owned whole and what by piece. The merging itself is done elsewhere.
 */
import { type FieldSchema, schemaTable } from './schema.ts';

/** How the value at a path merges. */
export type MergeFacts = {
  /** `object` and `map` merge field by field unless atomic; `list` as told; `leaf` is replaced. */
  readonly shape: 'object' | 'map' | 'list' | 'leaf';
  /** Schema of an object, or of a list's or map's items if they are objects; to go on from there. */
  readonly schema?: string;
  /** Strategic merge of a list: `merge` if it merges with the present one, else it is replaced. */
  readonly strategy: 'merge' | 'replace';
  /** Strategic merge of an object: fields absent from a `$retainKeys` list go. */
  readonly retainKeys: boolean;
  /** Field that identifies an item of a merging list of objects; absent for lists of scalars. */
  readonly mergeKey?: string;
  /** Server-side apply: lists are atomic, sets of scalars, or keyed; objects and maps granular or atomic. */
  readonly listType: 'atomic' | 'set' | 'map';
  readonly listMapKeys: readonly string[];
  readonly atomic: boolean;
};

const LEAF: MergeFacts = {
  shape: 'leaf',
  strategy: 'replace',
  retainKeys: false,
  listType: 'atomic',
  listMapKeys: [],
  atomic: false,
};

const known = new Map<string, ReadonlyMap<string, MergeFacts>>();

/** Facts of one field of a type; undefined if the type or the field is unknown. */
export function mergeFactsOfField(schemaName: string, field: string): MergeFacts | undefined {
  const cached = known.get(schemaName);
  if (cached !== undefined) return cached.get(field);
  const type = schemaTable()[schemaName];
  if (type === undefined) return undefined;
  const facts = new Map(
    Object.entries(type.fields).map(([name, schema]) => [name, factsOf(schema)] as const),
  );
  known.set(schemaName, facts);
  return facts.get(field);
}

/**
 * Facts of the value at `path` below an object of type `schemaName`. Path elements are field names; a list is stepped
 * into by any element (an index, `*`), a map by a key. The empty path is the object itself.
 */
export function mergeFactsOf(
  schemaName: string,
  path: readonly (string | number)[],
): MergeFacts | undefined {
  const root = schemaTable()[schemaName];
  if (root === undefined) return undefined;
  let schema: FieldSchema | undefined = { type: 'object', ref: schemaName };
  for (const element of path) {
    schema = stepInto(schema, String(element));
    if (schema === undefined) return undefined;
  }
  return factsOf(schema);
}

function stepInto(schema: FieldSchema, element: string): FieldSchema | undefined {
  switch (schema.type) {
    case 'object': {
      const fields = schemaTable()[schema.ref ?? '']?.fields;
      return fields !== undefined && Object.hasOwn(fields, element) ? fields[element] : undefined;
    }
    case 'array':
      return schema.items;
    case 'map':
      return schema.values;
    default:
      return undefined;
  }
}

function factsOf(schema: FieldSchema): MergeFacts {
  const item = schema.items ?? schema.values;
  const ref = schema.ref ?? item?.ref;
  const strategies = (schema.patch ?? '').split(',');
  const typeIsAtomic = schema.ref !== undefined && schemaTable()[schema.ref]?.map === 'atomic';
  return {
    ...LEAF,
    shape: shapeOf(schema),
    strategy: strategies.includes('merge') ? 'merge' : 'replace',
    retainKeys: strategies.includes('retainKeys'),
    listType: schema.list === 'set' || schema.list === 'map' ? schema.list : 'atomic',
    listMapKeys: schema.listKeys ?? [],
    atomic: schema.map === 'atomic' || typeIsAtomic,
    ...(ref === undefined ? {} : { schema: ref }),
    ...(schema.mergeKey === undefined ? {} : { mergeKey: schema.mergeKey }),
  };
}

function shapeOf(schema: FieldSchema): MergeFacts['shape'] {
  switch (schema.type) {
    case 'array':
      return 'list';
    case 'object':
      return 'object';
    case 'map':
      return 'map';
    default:
      return 'leaf';
  }
}
