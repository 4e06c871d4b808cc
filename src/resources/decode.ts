/**
 * The structural check of an incoming object against its schema: types as the wire must have them, and fields nobody knows.
 * Upstream gets this from Go's decoder; the sentences follow it, since clients show them. One walk does all: it can also drop
 * unknown fields and nulls, and bring quantities into their canonical form, as decoding into a struct does.
 */
import { canonicalQuantity, QUANTITY_SYNTAX_MESSAGE } from './quantity.ts';
import { type FieldSchema, typeSchema } from './schema.ts';

/** One thing wrong with an object's structure. */
export type StructureProblem =
  /** Cannot be decoded at all: the request is refused with 400. */
  | { readonly kind: 'type'; readonly path: string; readonly message: string }
  /** Decoded by ignoring it; refused or warned about as the client asks. `message`: `unknown field "spec.foo"`. */
  | { readonly kind: 'unknown'; readonly path: string; readonly message: string };

export type StructureOptions = {
  /** What happens to fields the schema does not have: `keep` leaves the object alone. Default `drop`. */
  readonly onUnknown?: 'keep' | 'drop';
};

/**
 * So many problems of a kind are reported; nobody reads more. Unknown fields do not end the walk: what is behind them
 * must be checked and normalized all the same.
 */
const PROBLEMS_MAX = 20;

const TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

type Compiled = {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** Required fields that stand with their zero value when a client leaves them out, as in a Go struct. */
  readonly filled: readonly (readonly [field: string, schema: FieldSchema])[];
};

/** Objects are not filled in: whether one is there means something. Nor are times, which have no zero on the wire. */
const FILLED_TYPES: ReadonlySet<FieldSchema['type']> = new Set([
  'string',
  'integer',
  'number',
  'boolean',
  'int-or-string',
  'array',
]);

const compiledTypes = new Map<string, Compiled>();

/**
 * Checks `object` against the type `schemaName`. Answers with what is wrong, nothing if all is well. Unless `onUnknown` is `keep`,
 * unknown fields and nulls are removed, quantities and times made canonical, and required plain fields that are absent
 * set to their zero values, in place: behind this check, objects are what their types say.
 */
export function checkStructure(
  object: unknown,
  schemaName: string,
  options: StructureOptions = {},
): readonly StructureProblem[] {
  const walk = new Walk(options.onUnknown !== 'keep');
  const type = compiled(schemaName);
  if (!isObject(object)) {
    walk.addType(
      '',
      `json: cannot unmarshal ${jsonType(object)} into Go value of type ${type.name}`,
    );
  } else {
    walk.object(object, type, '');
  }
  return walk.problems;
}

/** The message of a 400 for an object that cannot be decoded; undefined if it can be. */
export function decodeFailure(
  problems: readonly StructureProblem[],
  what: { readonly kind: string; readonly version: string },
): string | undefined {
  const first = problems.find(({ kind }) => kind === 'type');
  if (first === undefined) return undefined;
  return `${what.kind} in version "${what.version}" cannot be handled as a ${what.kind}: ${first.message}`;
}

/** The message of a 400 under strict field validation; undefined if no field is unknown. */
export function strictFailure(
  problems: readonly StructureProblem[],
  what: { readonly kind: string; readonly version: string },
): string | undefined {
  const unknown = problems.filter(({ kind }) => kind === 'unknown').map(({ message }) => message);
  if (unknown.length === 0) return undefined;
  return `${what.kind} in version "${what.version}" cannot be handled as a ${what.kind}: strict decoding error: ${unknown.join(', ')}`;
}

/** Texts for Warning headers, one for each unknown field. */
export function unknownFieldWarnings(problems: readonly StructureProblem[]): readonly string[] {
  return problems.filter(({ kind }) => kind === 'unknown').map(({ message }) => message);
}

type Place = { readonly owner: Compiled; readonly path: string };
type Holder = Record<string, unknown> | unknown[];

class Walk {
  readonly problems: StructureProblem[] = [];
  readonly #normalize: boolean;
  #types = 0;
  #unknown = 0;

  constructor(normalize: boolean) {
    this.#normalize = normalize;
  }

  object(object: Record<string, unknown>, type: Compiled, path: string): void {
    for (const key in object) {
      const value = object[key];
      const field = type.fields.get(key);
      if (field === undefined) {
        this.#addUnknown(join(path, key));
        if (this.#normalize) delete object[key];
      } else if (value === null || value === undefined) {
        if (this.#normalize) delete object[key];
      } else {
        this.#value(object, key, field, { owner: type, path: join(path, key) });
      }
      if (this.#types >= PROBLEMS_MAX) return;
    }
    if (!this.#normalize) return;
    for (const [key, schema] of type.filled) {
      if (object[key] === undefined) object[key] = zeroOf(schema);
    }
  }

  addType(path: string, message: string): void {
    this.#types += 1;
    this.problems.push({ kind: 'type', path, message });
  }

  #addUnknown(path: string): void {
    this.#unknown += 1;
    if (this.#unknown > PROBLEMS_MAX) return;
    this.problems.push({ kind: 'unknown', path, message: `unknown field ${JSON.stringify(path)}` });
  }

  /** Checks the value that `holder` has at `key`. */
  #value(holder: Holder, key: string | number, field: FieldSchema, place: Place): void {
    const value = (holder as Record<string | number, unknown>)[key];
    switch (field.type) {
      case 'string':
        if (typeof value !== 'string') this.#mismatch(value, field, place);
        return;
      case 'boolean':
        if (typeof value !== 'boolean') this.#mismatch(value, field, place);
        return;
      case 'integer':
        if (!fitsInteger(value, field.format)) this.#mismatch(value, field, place);
        return;
      case 'number':
        if (typeof value !== 'number') this.#mismatch(value, field, place);
        return;
      case 'int-or-string':
        if (typeof value !== 'string' && !fitsInteger(value, 'int32')) {
          this.#mismatch(value, field, place);
        }
        return;
      case 'object':
        if (!isObject(value)) this.#mismatch(value, field, place);
        else if (field.ref !== undefined) this.object(value, compiled(field.ref), place.path);
        return;
      case 'array':
        if (!Array.isArray(value)) this.#mismatch(value, field, place);
        else this.#array(value, field.items, place);
        return;
      case 'map':
        if (!isObject(value)) this.#mismatch(value, field, place);
        else this.#map(value, field.values, place);
        return;
      case 'any':
        return;
      default:
        this.#text(holder, key, field, place);
    }
  }

  #array(items: unknown[], field: FieldSchema | undefined, { owner, path }: Place): void {
    if (field === undefined) return;
    for (let index = 0; index < items.length; index += 1) {
      if (items[index] === null) {
        // A null item decodes to the zero value.
        if (this.#normalize) items[index] = zeroOf(field);
        continue;
      }
      this.#value(items, index, field, { owner, path: `${path}[${index}]` });
      if (this.#types >= PROBLEMS_MAX) return;
    }
  }

  #map(map: Record<string, unknown>, field: FieldSchema | undefined, place: Place): void {
    if (field === undefined) return;
    const plain = field.type === 'string';
    for (const key in map) {
      const value = map[key];
      if (plain && typeof value === 'string') continue;
      if (value === null || value === undefined) {
        if (this.#normalize) map[key] = zeroOf(field);
        continue;
      }
      // Go names the map, not the key, when a value does not fit.
      this.#value(map, key, field, place);
      if (this.#types >= PROBLEMS_MAX) return;
    }
  }

  /** Strings with a grammar of their own, and quantities, which may also be numbers. */
  #text(holder: Holder, key: string | number, field: FieldSchema, place: Place): void {
    const value = (holder as Record<string | number, unknown>)[key];
    if (field.type === 'quantity') {
      const known = typeof value === 'string' || typeof value === 'number';
      const canonical = known ? canonicalQuantity(value) : undefined;
      if (canonical === undefined) this.addType(place.path, QUANTITY_SYNTAX_MESSAGE);
      else if (this.#normalize) (holder as Record<string | number, unknown>)[key] = canonical;
      return;
    }
    if (typeof value !== 'string') {
      this.#mismatch(value, field, place);
      return;
    }
    if (field.type === 'bytes') {
      if (!BASE64.test(value)) {
        const at = base64ErrorAt(value);
        this.addType(place.path, `illegal base64 data at input byte ${at}`);
      }
      return;
    }
    if (value !== '' && (!TIME.test(value) || Number.isNaN(Date.parse(value)))) {
      const layout =
        field.type === 'time' ? '2006-01-02T15:04:05Z07:00' : '2006-01-02T15:04:05.000000Z07:00';
      const quoted = JSON.stringify(value);
      this.addType(
        place.path,
        `parsing time ${quoted} as "${layout}": cannot parse ${quoted} as "2006"`,
      );
    } else if (this.#normalize) {
      (holder as Record<string | number, unknown>)[key] = canonicalTime(value, field.type);
    }
  }

  #mismatch(value: unknown, field: FieldSchema, { owner, path }: Place): void {
    const dotted = path.replaceAll(/\[\d+\]/g, '');
    const found =
      typeof value === 'number' && isNumeric(field) ? `number ${value}` : jsonType(value);
    this.addType(
      path,
      `json: cannot unmarshal ${found} into Go struct field ${owner.name}.${dotted} of type ${goType(field)}`,
    );
  }
}

function compiled(schemaName: string): Compiled {
  const known = compiledTypes.get(schemaName);
  if (known !== undefined) return known;
  const fields = new Map(Object.entries(typeSchema(schemaName).fields));
  const filled = [...fields].filter(([, field]) => field.required && FILLED_TYPES.has(field.type));
  const made = { name: schemaName.slice(schemaName.lastIndexOf('.') + 1), fields, filled };
  compiledTypes.set(schemaName, made);
  return made;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : value === null ? 'null' : typeof value;
}

function isNumeric(field: FieldSchema): boolean {
  return field.type === 'integer' || field.type === 'int-or-string';
}

function fitsInteger(value: unknown, format: string | undefined): boolean {
  if (typeof value !== 'number' || !Number.isInteger(value)) return false;
  return format !== 'int32' || (value >= INT32_MIN && value <= INT32_MAX);
}

function goType(field: FieldSchema): string {
  switch (field.type) {
    case 'integer':
      return field.format ?? 'int64';
    case 'number':
      return 'float64';
    case 'boolean':
      return 'bool';
    case 'array':
      return `[]${field.items === undefined ? 'interface {}' : goType(field.items)}`;
    case 'map':
      return `map[string]${field.values === undefined ? 'interface {}' : goType(field.values)}`;
    case 'object':
      return goName(field.ref ?? '');
    case 'int-or-string':
      return 'intstr.IntOrString';
    case 'bytes':
      return '[]uint8';
    default:
      return 'string';
  }
}

/** `io.k8s.api.core.v1.Container` is `v1.Container` to Go. */
function goName(ref: string): string {
  return ref.split('.').slice(-2).join('.');
}

function zeroOf(field: FieldSchema): unknown {
  switch (field.type) {
    case 'array':
      return [];
    case 'object':
    case 'map':
      return {};
    case 'quantity':
      return '0';
    case 'integer':
    case 'number':
    case 'int-or-string':
      return 0;
    case 'boolean':
      return false;
    default:
      return '';
  }
}

/** Where upstream's decoder would stop: the first character outside the alphabet, else the end. */
function base64ErrorAt(value: string): number {
  const at = value.search(/[^A-Za-z0-9+/]/);
  return at === -1 ? value.length : at;
}

/** Times are stored in UTC with whole seconds, micro-times with six digits. */
function canonicalTime(value: string, type: string): string {
  if (value === '') return value;
  if (type === 'time') {
    // Already in the stored form: by far the most common case.
    if (value.length === 20 && value.endsWith('Z')) return value;
    return `${new Date(value).toISOString().slice(0, 19)}Z`;
  }
  if (value.length === 27 && value.endsWith('Z')) return value;
  const digits = /\.(\d+)/.exec(value)?.[1] ?? '';
  return `${new Date(value).toISOString().slice(0, 19)}.${digits.padEnd(6, '0').slice(0, 6)}Z`;
}
