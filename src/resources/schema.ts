/**
 * The run-time schema: what fields each API type has. One table, generated, read on first use from a file next
 * to this one; nothing of the client package is loaded. Type names are those of the published API
 * (`io.k8s.api.core.v1.Pod`), so that OpenAPI documents and references agree with upstream's.
 */
import { readFileSync } from 'node:fs';
import { invariant } from '../lib/invariant.ts';

/** What stands on the wire at a field. `time` and the like are strings; `any` is left alone. */
export type ScalarType =
  | 'string'
  | 'integer'
  | 'number'
  | 'boolean'
  | 'int-or-string'
  | 'quantity'
  | 'bytes'
  | 'time'
  | 'micro-time'
  | 'any';

export type FieldSchema = {
  type: ScalarType | 'object' | 'array' | 'map';
  /** Of integers: int32 or int64. */
  format?: string;
  /** Of objects: the type's name. */
  ref?: string;
  /** Of arrays. */
  items?: FieldSchema;
  /** Of maps. */
  values?: FieldSchema;
  required?: true;
  /** Strategic merge: `merge`, `replace`, `retainKeys`, `merge,retainKeys`. */
  patch?: string;
  mergeKey?: string;
  /** Server-side apply: `atomic`, `set` or `map`. */
  list?: string;
  listKeys?: string[];
  /** Server-side apply: `atomic` for objects and maps that are owned whole. */
  map?: string;
};

export type TypeSchema = {
  fields: Record<string, FieldSchema>;
  gvk?: { group: string; version: string; kind: string }[];
  /** `atomic` if the whole object is owned by one field manager. */
  map?: string;
};

export type SchemaTable = Record<string, TypeSchema>;

let table: SchemaTable | undefined;
let descriptions: Record<string, Record<string, string>> | undefined;

/** All generated types by name. Loaded once (about a millisecond). Do not modify. */
export function schemaTable(): SchemaTable {
  table ??= load<SchemaTable>('schema.generated.json');
  return table;
}

/** The schema of one type. An unknown name is a programming error. */
export function typeSchema(name: string): TypeSchema {
  const found = schemaTable()[name];
  invariant(found !== undefined, 'every schema name used is generated', { name });
  return found;
}

/** The description of a field, or of the type itself without `field`; '' if there is none. Loaded apart: only `kubectl explain` needs it. */
export function describe(name: string, field = ''): string {
  descriptions ??= load<Record<string, Record<string, string>>>('descriptions.generated.json');
  return descriptions[name]?.[field] ?? '';
}

function load<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`generated/${file}`, import.meta.url), 'utf8'));
}
