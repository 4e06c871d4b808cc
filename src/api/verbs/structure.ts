/**
 * The shape of a body against the schema of its type: what a statically typed server gets by decoding. Unknown fields are
 * dropped and named, nulls count as absent, numbers given for quantities become their text, and a value of the
 * wrong type is refused in the words that people find when they search for them.
 */

import { type FieldSchema, typeSchema } from '../../resources/schema.ts';
import { isRecord } from './json.ts';

/** What a body's shape has wrong. */
export type StructureReport = {
  /** Sentences about values of a wrong type; the body cannot be used. */
  readonly errors: readonly string[];
  /** Paths of fields the type does not have; they have been dropped. */
  readonly unknown: readonly string[];
};

/** Findings of one body that are reported. */
const FINDINGS_MAX = 100;
/** Deepest nesting of a body. Only types that contain themselves could go beyond. */
const DEPTH_MAX = 64;

/** Brings `object` into the shape of the schema `name`. Mutates. */
export function checkStructure(name: string, object: object): StructureReport {
  const check = new StructureCheck(name);
  check.object(name, object as Record<string, unknown>, '', 0);
  return check;
}

class StructureCheck implements StructureReport {
  readonly errors: string[] = [];
  readonly unknown: string[] = [];
  readonly #root: string;

  constructor(schema: string) {
    this.#root = schema.slice(schema.lastIndexOf('.') + 1);
  }

  object(schema: string, value: Record<string, unknown>, path: string, depth: number): void {
    if (depth > DEPTH_MAX) {
      this.#refuse(`${path}: nested too deeply`);
      return;
    }
    const { fields } = typeSchema(schema);
    for (const key of Object.keys(value)) {
      const given = value[key];
      const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
      if (field === undefined) {
        if (this.unknown.length < FINDINGS_MAX) this.unknown.push(join(path, key));
        delete value[key];
      } else if (given === null || given === undefined) {
        delete value[key];
      } else {
        const kept = this.#value(field, given, join(path, key), depth + 1);
        if (kept !== given) value[key] = kept;
      }
    }
  }

  #value(field: FieldSchema, given: unknown, path: string, depth: number): unknown {
    switch (field.type) {
      case 'object':
        if (!isRecord(given)) return this.#wrong(given, path, shortName(field));
        if (field.ref !== undefined) this.object(field.ref, given, path, depth);
        return given;
      case 'array':
        if (!Array.isArray(given)) return this.#wrong(given, path, shortName(field));
        return this.#array(field, given, path, depth);
      case 'map':
        if (!isRecord(given)) return this.#wrong(given, path, shortName(field));
        return this.#map(field, given, path, depth);
      case 'any':
        return given;
      default:
        return this.#scalar(field, given, path);
    }
  }

  #array(field: FieldSchema, given: unknown[], path: string, depth: number): unknown[] {
    const { items } = field;
    if (items === undefined) return given;
    for (let index = 0; index < given.length; index++) {
      const item: unknown = given[index];
      const absent = item === null || item === undefined;
      const at = `${path}[${index}]`;
      given[index] = absent ? emptyOf(items) : this.#value(items, item, at, depth);
    }
    return given;
  }

  #map(
    field: FieldSchema,
    given: Record<string, unknown>,
    path: string,
    depth: number,
  ): Record<string, unknown> {
    const { values } = field;
    if (values === undefined) return given;
    for (const key of Object.keys(given)) {
      const value = given[key];
      const absent = value === null || value === undefined;
      const kept = absent ? emptyOf(values) : this.#value(values, value, join(path, key), depth);
      if (kept !== value) given[key] = kept;
    }
    return given;
  }

  #scalar(field: FieldSchema, given: unknown, path: string): unknown {
    switch (field.type) {
      case 'integer':
        if (typeof given !== 'number') return this.#wrong(given, path, field.format ?? 'int64');
        if (!Number.isInteger(given) || !inRange(given, field.format)) {
          this.#refuse(unmarshal(`number ${given}`, this.#root, path, field.format ?? 'int64'));
        }
        return given;
      case 'number':
        return typeof given === 'number' ? given : this.#wrong(given, path, 'float64');
      case 'boolean':
        return typeof given === 'boolean' ? given : this.#wrong(given, path, 'bool');
      case 'int-or-string':
        if (typeof given === 'string' || Number.isInteger(given)) return given;
        return this.#wrong(given, path, 'intstr.IntOrString');
      case 'quantity':
        if (typeof given === 'number') return String(given);
        return typeof given === 'string' ? given : this.#wrong(given, path, 'resource.Quantity');
      default:
        return typeof given === 'string' ? given : this.#wrong(given, path, goType(field.type));
    }
  }

  #wrong(given: unknown, path: string, wanted: string): unknown {
    this.#refuse(unmarshal(jsonWord(given), this.#root, path, wanted));
    return given;
  }

  #refuse(sentence: string): void {
    if (this.errors.length < FINDINGS_MAX) this.errors.push(sentence);
  }
}

function unmarshal(what: string, root: string, path: string, wanted: string): string {
  return `json: cannot unmarshal ${what} into Go struct field ${root}.${path} of type ${wanted}`;
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function jsonWord(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function goType(type: FieldSchema['type']): string {
  if (type === 'time' || type === 'micro-time') return 'v1.Time';
  return type === 'bytes' ? '[]uint8' : 'string';
}

function shortName(field: FieldSchema): string {
  if (field.type === 'array') return `[]${field.items === undefined ? '' : shortName(field.items)}`;
  if (field.type === 'map') {
    return `map[string]${field.values === undefined ? '' : shortName(field.values)}`;
  }
  if (field.ref !== undefined) return field.ref.split('.').slice(-2).join('.');
  if (field.type === 'integer') return field.format ?? 'int64';
  return goType(field.type);
}

/** What a null item of a list or map stands for. */
function emptyOf(field: FieldSchema): unknown {
  switch (field.type) {
    case 'object':
    case 'map':
      return {};
    case 'array':
      return [];
    case 'integer':
    case 'number':
    case 'int-or-string':
      return 0;
    case 'boolean':
      return false;
    case 'quantity':
      return '0';
    case 'any':
      return null;
    default:
      return '';
  }
}

const INT32_MAX = 2_147_483_647;

function inRange(value: number, format: string | undefined): boolean {
  if (format === 'int32') return value <= INT32_MAX && value >= -INT32_MAX - 1;
  return Number.isSafeInteger(value);
}
