/**
 * The version 2 document in protobuf (messages of openapi.v2, OpenAPIv2.proto of gnostic): the only form that kubectl
 * before 1.27 reads. It validates manifests and explains types with it. Extensions travel as YAML text, of which JSON is a part.
 */

import { boolField, bytesField, message, type Piece, repeatedField } from '../protobuf/writer.ts';

type Json = { readonly [key: string]: unknown };

/** What the form is called in answers. */
export const OPENAPI_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
/** What it is called in requests: the older spelling is no proper media type, and clients cannot read it back. */
export const OPENAPI_PROTOBUF_ASKED: ReadonlySet<string> = new Set([
  OPENAPI_PROTOBUF,
  'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
]);

/** Encodes a version 2 document. `document` is the value that the JSON form is made of. */
export function encodeV2(document: object): Buffer {
  const { swagger, info, paths, definitions } = document as Json;
  const { title, version } = record(info);
  return message(
    bytesField(1, text(swagger)),
    bytesField(2, message(bytesField(1, text(title)), bytesField(2, text(version)))),
    bytesField(8, message(namedFields(2, paths, pathItem))),
    bytesField(9, message(namedFields(1, definitions, schema))),
  );
}

const METHODS = { get: 2, put: 3, post: 4, delete: 5, patch: 8 } as const;

function pathItem(item: Json): Piece {
  const operations = Object.entries(METHODS).map(([method, number]) => {
    const found = item[method];
    return found === undefined ? undefined : bytesField(number, operation(record(found)));
  });
  return message(...operations, repeatedField(9, list(item['parameters']).map(parameter)));
}

function operation(operation: Json): Piece {
  return message(
    repeatedField(1, texts(operation['tags'])),
    bytesField(3, text(operation['description'])),
    repeatedField(6, texts(operation['produces'])),
    repeatedField(7, texts(operation['consumes'])),
    repeatedField(8, list(operation['parameters']).map(parameter)),
    bytesField(9, message(namedFields(1, operation['responses'], response))),
    extensions(13, operation),
  );
}

function response(response: Json): Piece {
  const shape = record(response['schema']);
  const item = message(bytesField(1, schema(shape)));
  const whole = message(bytesField(1, text(response['description'])), bytesField(2, item));
  return message(bytesField(1, whole));
}

/** ParametersItem around Parameter around one of the kinds. */
function parameter(parameter: Json): Piece {
  const { name, in: where, description, required } = parameter;
  if (where === 'body') {
    const body = message(
      bytesField(1, text(description)),
      bytesField(2, text(name)),
      bytesField(3, 'body'),
      boolField(4, required),
      bytesField(5, schema(record(parameter['schema']))),
    );
    return message(bytesField(1, message(bytesField(1, body))));
  }
  const inPath = where === 'path';
  const plain = message(
    boolField(1, required),
    bytesField(2, text(where)),
    bytesField(3, text(description)),
    bytesField(4, text(name)),
    // Parameters of the query have one field more before their type.
    bytesField(inPath ? 5 : 6, text(parameter['type'])),
    boolField(inPath ? 19 : 20, parameter['uniqueItems']),
  );
  const kind = message(bytesField(inPath ? 4 : 3, plain));
  return message(bytesField(1, message(bytesField(2, kind))));
}

function schema(schema: Json): Piece {
  const { additionalProperties, items, type, properties } = schema;
  return message(
    bytesField(1, text(schema['$ref'])),
    bytesField(2, text(schema['format'])),
    bytesField(4, text(schema['description'])),
    repeatedField(19, texts(schema['required'])),
    bytesField(21, wrapped(additionalProperties)),
    type === undefined ? undefined : bytesField(22, message(bytesField(1, text(type)))),
    bytesField(23, wrapped(items)),
    properties === undefined
      ? undefined
      : bytesField(25, message(namedFields(1, properties, encodeSchema))),
    extensions(31, schema),
  );
}

const encodeSchema = schema;

/** A schema as the first field of a message around it. */
function wrapped(value: unknown): Piece | undefined {
  return value === undefined ? undefined : message(bytesField(1, schema(record(value))));
}

function namedFields(
  number: number,
  values: unknown,
  encode: (value: Json) => Piece,
): readonly Piece[] {
  const named = Object.entries(record(values)).map(([name, value]) =>
    message(bytesField(1, name), bytesField(2, encode(record(value)))),
  );
  return repeatedField(number, named);
}

function extensions(number: number, holder: Json): readonly Piece[] {
  const named = Object.entries(holder)
    .filter(([name]) => name.startsWith('x-'))
    .map(([name, value]) => {
      const any = message(bytesField(2, `${JSON.stringify(value)}\n`));
      return message(bytesField(1, name), bytesField(2, any));
    });
  return repeatedField(number, named);
}

function record(value: unknown): Json {
  return (value ?? {}) as Json;
}

function list(value: unknown): readonly Json[] {
  return (value ?? []) as readonly Json[];
}

function texts(value: unknown): readonly string[] {
  return (value ?? []) as readonly string[];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
