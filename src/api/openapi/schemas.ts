/**
 * Types of the run-time schema as OpenAPI schemas, for both dialects. Version 3 wraps references to keep the description beside them;
 * version 2 allows no siblings, and its tools accept them anyway, as upstream's documents show.
 */

import {
  describe,
  type FieldSchema,
  schemaTable,
  type TypeSchema,
} from '../../resources/schema.ts';
import type { Serving } from '../discovery/catalog.ts';

export type Dialect = 'v2' | 'v3';

export type JsonSchema = { [key: string]: unknown };
export type GroupVersionKind = {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
};

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const INT_OR_STRING = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';
const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const TIME = `${META}.Time`;
const MICRO_TIME = `${META}.MicroTime`;
const PATCH = `${META}.Patch`;
/** The generated types every document needs whatever its kinds. */
const ALWAYS = [
  `${META}.DeleteOptions`,
  `${META}.ObjectMeta`,
  `${META}.ListMeta`,
  `${META}.Status`,
];

/** Types that are not made of fields. */
const SPECIAL: Readonly<Record<string, Readonly<Record<Dialect, JsonSchema>>>> = {
  [INT_OR_STRING]: {
    v2: { type: 'string', format: 'int-or-string' },
    v3: { oneOf: [{ type: 'integer' }, { type: 'string' }], format: 'int-or-string' },
  },
  [QUANTITY]: {
    v2: { type: 'string' },
    v3: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  },
  [TIME]: {
    v2: { type: 'string', format: 'date-time' },
    v3: { type: 'string', format: 'date-time' },
  },
  [MICRO_TIME]: {
    v2: { type: 'string', format: 'date-time' },
    v3: { type: 'string', format: 'date-time' },
  },
  [PATCH]: { v2: { type: 'object' }, v3: { type: 'object' } },
};

const SPECIAL_DESCRIPTIONS: Readonly<Record<string, string>> = {
  [INT_OR_STRING]: 'A whole number, or a string such as a port name or a percentage.',
  [QUANTITY]: 'An amount with an optional suffix: `100m`, `1.5`, `64Mi`.',
  [TIME]: 'A point in time, RFC 3339 with seconds.',
  [MICRO_TIME]: 'A point in time, RFC 3339 with microseconds.',
  [PATCH]: 'A patch to an object, in the form its media type says.',
};

/** Collects the schemas of one document: the given types and all they refer to. */
export class SchemaCollector {
  readonly #dialect: Dialect;
  readonly #prefix: string;
  readonly #schemas = new Map<string, JsonSchema>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
    this.#prefix = dialect === 'v2' ? '#/definitions/' : '#/components/schemas/';
    for (const name of ALWAYS) this.ref(name);
    this.ref(PATCH);
  }

  /** The schemas in order of name. */
  schemas(): Record<string, JsonSchema> {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Adds a served kind and its list; the kind's schema says which group-version-kinds it stands for. */
  addKind({ kind, served }: Serving): { readonly object: JsonSchema; readonly list: JsonSchema } {
    const { group, version } = served ?? kind;
    const name = (served ?? kind).schema;
    const object = this.ref(name);
    this.#mark(name, { group, version, kind: kind.kind });
    const listName = `${name}List`;
    if (!this.#schemas.has(listName)) this.#schemas.set(listName, this.#list(kind.kind, object));
    this.#mark(listName, { group, version, kind: kind.listKind });
    return { object, list: { $ref: this.#prefix + listName } };
  }

  /** A reference to a type, which becomes part of the document. Unknown names stand for any object. */
  ref(name: string): JsonSchema {
    if (!this.#schemas.has(name)) this.#add(name);
    return { $ref: this.#prefix + name };
  }

  #add(name: string): void {
    const special = SPECIAL[name];
    if (special !== undefined) {
      const description = SPECIAL_DESCRIPTIONS[name] ?? '';
      this.#schemas.set(name, { description, ...special[this.#dialect] });
      return;
    }
    const type = schemaTable()[name];
    // Set before its fields are looked at: types may contain themselves.
    const schema: JsonSchema = {};
    this.#schemas.set(name, schema);
    if (type === undefined) schema['type'] = 'object';
    else Object.assign(schema, this.#type(name, type));
  }

  #type(name: string, type: TypeSchema): JsonSchema {
    const fields = Object.entries(type.fields);
    const required = fields.filter(([, field]) => field.required).map(([field]) => field);
    const properties = fields.map(([field, schema]) => [
      field,
      this.#field(schema, describe(name, field)),
    ]);
    return {
      description: describe(name),
      type: 'object',
      ...(required.length === 0 ? {} : { required }),
      ...(fields.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
      ...(type.map === undefined ? {} : { 'x-kubernetes-map-type': type.map }),
    };
  }

  #field(field: FieldSchema, description: string): JsonSchema {
    const shape = this.#shape(field);
    const extensions: JsonSchema = {};
    if (field.list !== undefined) extensions['x-kubernetes-list-type'] = field.list;
    if (field.listKeys !== undefined) extensions['x-kubernetes-list-map-keys'] = field.listKeys;
    if (field.map !== undefined) extensions['x-kubernetes-map-type'] = field.map;
    if (field.mergeKey !== undefined) extensions['x-kubernetes-patch-merge-key'] = field.mergeKey;
    if (field.patch !== undefined) extensions['x-kubernetes-patch-strategy'] = field.patch;
    const about = description === '' ? {} : { description };
    if (shape['$ref'] === undefined) return { ...about, ...shape, ...extensions };
    if (this.#dialect === 'v2') return { ...about, ...shape, ...extensions };
    return { ...about, allOf: [shape], ...extensions };
  }

  #shape(field: FieldSchema): JsonSchema {
    switch (field.type) {
      case 'object':
        return field.ref === undefined ? { type: 'object' } : this.ref(field.ref);
      case 'array':
        return { type: 'array', items: this.#part(field.items) };
      case 'map':
        return { type: 'object', additionalProperties: this.#part(field.values) };
      case 'int-or-string':
        return this.ref(INT_OR_STRING);
      case 'quantity':
        return this.ref(QUANTITY);
      case 'time':
        return this.ref(TIME);
      case 'micro-time':
        return this.ref(MICRO_TIME);
      case 'bytes':
        return { type: 'string', format: 'byte' };
      case 'any':
        return { type: 'object' };
      case 'integer':
      case 'number':
        return {
          type: field.type,
          ...(field.format === undefined ? {} : { format: field.format }),
        };
      case 'string':
      case 'boolean':
        return { type: field.type };
    }
  }

  #part(field: FieldSchema | undefined): JsonSchema {
    return field === undefined ? { type: 'object' } : this.#field(field, '');
  }

  #list(kind: string, object: JsonSchema): JsonSchema {
    const item = this.#dialect === 'v2' ? object : { allOf: [object] };
    return {
      description: `${kind}List is a list of ${kind} objects.`,
      type: 'object',
      required: ['items'],
      properties: {
        apiVersion: { type: 'string' },
        items: { type: 'array', items: item },
        kind: { type: 'string' },
        metadata: this.#field({ type: 'object', ref: `${META}.ListMeta` }, ''),
      },
    };
  }

  #mark(name: string, gvk: GroupVersionKind): void {
    const schema = this.#schemas.get(name);
    if (schema === undefined) return;
    const known = (schema['x-kubernetes-group-version-kind'] ?? []) as GroupVersionKind[];
    const same = (one: GroupVersionKind) =>
      one.group === gvk.group && one.version === gvk.version && one.kind === gvk.kind;
    if (!known.some(same)) schema['x-kubernetes-group-version-kind'] = [...known, gvk];
  }
}
