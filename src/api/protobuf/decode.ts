/**
 * Protobuf bodies into the values that JSON would have given. kubectl and Go's typed clients write
 * this way and read JSON back, so only this direction exists.
 */

import { schemaTable } from '../../resources/schema.ts';
import {
  type FieldType,
  type Message,
  type MessageField,
  messageNamed,
  messageOfKind,
  type Scalar,
} from './messages.ts';
import { isPointer } from './pointers.ts';
import { WIRE, WireError, WireReader } from './wire.ts';

/** What every body begins with. */
const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
/** Deeper nesting is an attack: schemas refer to themselves only in custom resource definitions. */
const DEPTH_MAX = 64;

/** Fields whose contents stand in their parent in JSON (Go's embedded structs). */
const INLINE: ReadonlySet<string> = new Set([
  'volumeSource',
  'persistentVolumeSource',
  'handler',
  'ephemeralContainerCommon',
  'localObjectReference',
]);

type Json = Record<string, unknown>;

const META = 'k8s.io.apimachinery.pkg.apis.meta.v1';

/** Messages that are something else than an object in JSON. Undefined: the field is absent. */
const SPECIAL: Readonly<Record<string, (fields: Json) => unknown>> = {
  [`${META}.Time`]: (fields) => timeText(fields, false),
  [`${META}.MicroTime`]: (fields) => timeText(fields, true),
  [`${META}.Duration`]: ({ duration = 0 }) => `${Number(duration) / 1e9}s`,
  [`${META}.FieldsV1`]: ({ Raw }) => parseRaw(Raw),
  [`${META}.Verbs`]: ({ items = [] }) => items,
  'k8s.io.api.authentication.v1.ExtraValue': ({ items = [] }) => items,
  'k8s.io.api.authorization.v1.ExtraValue': ({ items = [] }) => items,
  'k8s.io.api.certificates.v1.ExtraValue': ({ items = [] }) => items,
  'k8s.io.apimachinery.pkg.api.resource.Quantity': ({ string = '0' }) => string,
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': ({ type = 0, intVal = 0, strVal = '' }) =>
    type === 0 ? intVal : strVal,
  'k8s.io.apimachinery.pkg.runtime.RawExtension': ({ raw }) => parseRaw(raw),
};

/** The object in a body of type application/vnd.kubernetes.protobuf. Throws WireError with words for the client. */
export function decodeProtobuf(body: Buffer): unknown {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new WireError('provided data does not appear to be a protobuf message');
  }
  const envelope = decodeNamed(
    'k8s.io.apimachinery.pkg.runtime.Unknown',
    body.subarray(MAGIC.length),
    0,
  ) as { typeMeta?: { apiVersion?: string; kind?: string }; contentType?: string; raw?: string };
  const { apiVersion = '', kind = '' } = envelope.typeMeta ?? {};
  const raw = Buffer.from(envelope.raw ?? '', 'base64');
  if (envelope.contentType === 'application/json') return JSON.parse(raw.toString());
  const message = messageOfKind(apiVersion, kind);
  if (message === undefined) {
    throw new WireError(`no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  const object = decodeNamed(message, raw, 0) as Json;
  return { kind, apiVersion, ...object };
}

function decodeNamed(name: string, bytes: Buffer, depth: number): unknown {
  const message = messageNamed(name);
  if (message === undefined) throw new WireError(`proto: unknown message ${name}`);
  if (depth > DEPTH_MAX) throw new WireError('proto: nested too deeply');
  const special = SPECIAL[name];
  const fields = decodeFields(name, message, bytes, { depth, keepZeros: special !== undefined });
  return special === undefined ? fields : special(fields);
}

type FieldContext = { readonly depth: number; readonly keepZeros: boolean };

function decodeFields(name: string, message: Message, bytes: Buffer, context: FieldContext): Json {
  const reader = new WireReader(bytes);
  const result: Json = {};
  while (!reader.done) {
    const { number, wire } = reader.tag();
    const field = message.get(number);
    if (field === undefined) {
      reader.skip(wire);
      continue;
    }
    readField(reader, wire, field, { name, result, ...context });
  }
  return result;
}

function readField(
  reader: WireReader,
  wire: number,
  field: MessageField,
  into: FieldContext & { readonly name: string; readonly result: Json },
): void {
  const { result, depth } = into;
  if (field.shape === 'map') {
    expectWire(wire, WIRE.bytes, field);
    const [key, value] = readEntry(reader.bytes(), field.type, depth);
    const map = (result[field.name] as Json | undefined) ?? {};
    result[field.name] = map;
    // Keys come from the client: `__proto__` must become a key like any other.
    Object.defineProperty(map, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    return;
  }
  if (field.shape === 'repeated') {
    const list = (result[field.name] as unknown[] | undefined) ?? [];
    list.push(...readRepeated(reader, wire, field, depth));
    result[field.name] = list;
    return;
  }
  const value = readValue(reader, wire, field, depth);
  if (value === undefined) return;
  if (INLINE.has(field.name)) {
    Object.assign(result, value);
    return;
  }
  if (!into.keepZeros && isZero(value) && !keepsZero(into.name, field.name)) return;
  result[field.name] = value;
}

/** Plain fields are written whatever their value; only those that JSON would show at zero are kept. */
function keepsZero(message: string, field: string): boolean {
  if (isPointer(message.slice(message.lastIndexOf('.') + 1), field)) return true;
  const schema = schemaTable()[message.replace(/^k8s\.io\./, 'io.k8s.')];
  return schema?.fields[field]?.required === true;
}

function isZero(value: unknown): boolean {
  return value === 0 || value === '' || value === false;
}

function readRepeated(
  reader: WireReader,
  wire: number,
  field: MessageField,
  depth: number,
): unknown[] {
  const { type } = field;
  const packable = type.kind === 'scalar' && type.scalar !== 'string' && type.scalar !== 'bytes';
  if (!packable || wire !== WIRE.bytes) return [readValue(reader, wire, field, depth)];
  const packed = new WireReader(reader.bytes());
  const values: unknown[] = [];
  while (!packed.done) values.push(readScalar(packed, type.scalar));
  return values;
}

function readEntry(bytes: Buffer, type: FieldType, depth: number): readonly [string, unknown] {
  const reader = new WireReader(bytes);
  let key = '';
  let value: unknown;
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === WIRE.bytes) key = reader.bytes().toString();
    else if (number === 2) {
      value = readValue(reader, wire, { name: 'value', type, shape: 'single' }, depth);
    } else reader.skip(wire);
  }
  return [key, value ?? zeroOf(type)];
}

function zeroOf(type: FieldType): unknown {
  if (type.kind === 'message') return {};
  return type.scalar === 'string' || type.scalar === 'bytes' ? '' : 0;
}

function readValue(reader: WireReader, wire: number, field: MessageField, depth: number): unknown {
  const { type } = field;
  if (type.kind === 'message') {
    expectWire(wire, WIRE.bytes, field);
    return decodeNamed(type.message, reader.bytes(), depth + 1);
  }
  expectWire(wire, wireOf(type.scalar), field);
  return readScalar(reader, type.scalar);
}

function readScalar(reader: WireReader, scalar: Scalar): unknown {
  switch (scalar) {
    case 'string':
      return reader.bytes().toString();
    case 'bytes':
      return reader.bytes().toString('base64');
    case 'bool':
      return reader.varint() !== 0;
    case 'double':
      return reader.double();
    default:
      return reader.varint();
  }
}

function wireOf(scalar: Scalar): number {
  if (scalar === 'string' || scalar === 'bytes') return WIRE.bytes;
  return scalar === 'double' ? WIRE.fixed64 : WIRE.varint;
}

function expectWire(wire: number, expected: number, field: MessageField): void {
  if (wire === expected) return;
  throw new WireError(`proto: wrong wireType = ${wire} for field ${field.name}`);
}

/** RFC 3339; the zero time of Go is written as an empty message and means absent. */
function timeText(fields: Json, micro: boolean): string | undefined {
  if (fields['seconds'] === undefined && fields['nanos'] === undefined) return undefined;
  const seconds = Number(fields['seconds'] ?? 0);
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) throw new WireError('proto: a time is out of range');
  const whole = date.toISOString().slice(0, -5);
  if (!micro) return `${whole}Z`;
  const micros = Math.floor(Number(fields['nanos'] ?? 0) / 1000);
  return `${whole}.${String(micros).padStart(6, '0')}Z`;
}

function parseRaw(raw: unknown): unknown {
  const text = Buffer.from(String(raw ?? ''), 'base64').toString();
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new WireError('an embedded object is not JSON');
  }
}
