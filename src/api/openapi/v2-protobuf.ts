/**
 * The version 2 document in protobuf (messages of openapi.v2, OpenAPIv2.proto of gnostic): the only form that kubectl
 * before 1.27 reads. It validates manifests and explains types with it. Extensions travel as YAML text, of which JSON is a part.
 */

import { ProtoWriter } from '../protobuf/writer.ts';

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
  return new V2Encoder().encode(document as Json);
}

const METHODS = { get: 2, put: 3, post: 4, delete: 5, patch: 8 } as const;

/** One method per message; each writes the fields of its message. */
class V2Encoder {
  readonly #out = new ProtoWriter();

  encode(document: Json): Buffer {
    const out = this.#out;
    const info = record(document['info']);
    out.string(1, text(document['swagger']));
    out.nested(2, () => {
      out.string(1, text(info['title']));
      out.string(2, text(info['version']));
    });
    out.nested(8, () => this.#named(2, document['paths'], (item) => this.#pathItem(item)));
    out.nested(9, () => this.#named(1, document['definitions'], (one) => this.#schema(one)));
    return out.finish();
  }

  #pathItem(item: Json): void {
    for (const [method, number] of Object.entries(METHODS)) {
      const found = item[method];
      if (found !== undefined) this.#out.nested(number, () => this.#operation(record(found)));
    }
    this.#parameters(9, item);
  }

  #operation(operation: Json): void {
    const out = this.#out;
    out.strings(1, texts(operation['tags']));
    out.string(3, text(operation['description']));
    out.strings(6, texts(operation['produces']));
    out.strings(7, texts(operation['consumes']));
    this.#parameters(8, operation);
    out.nested(9, () =>
      this.#named(1, operation['responses'], (response) => this.#response(response)),
    );
    this.#extensions(13, operation);
  }

  /** ResponseValue around Response around SchemaItem. */
  #response(response: Json): void {
    const out = this.#out;
    out.nested(1, () => {
      out.string(1, text(response['description']));
      out.nested(2, () => this.#wrapped(1, response['schema']));
    });
  }

  /** ParametersItem around Parameter around one of the kinds. */
  #parameters(number: number, holder: Json): void {
    const out = this.#out;
    for (const parameter of list(holder['parameters'])) {
      out.nested(number, () => out.nested(1, () => this.#parameter(parameter)));
    }
  }

  #parameter(parameter: Json): void {
    const out = this.#out;
    const { name, in: where, description, required } = parameter;
    if (where === 'body') {
      out.nested(1, () => {
        out.string(1, text(description));
        out.string(2, text(name));
        out.string(3, 'body');
        out.bool(4, required === true);
        this.#wrapped(5, parameter['schema']);
      });
      return;
    }
    const inPath = where === 'path';
    const write = () => {
      out.bool(1, required === true);
      out.string(2, text(where));
      out.string(3, text(description));
      out.string(4, text(name));
      // Parameters of the query have one field more before their type.
      out.string(inPath ? 5 : 6, text(parameter['type']));
      out.bool(inPath ? 19 : 20, parameter['uniqueItems'] === true);
    };
    out.nested(2, () => out.nested(inPath ? 4 : 3, write));
  }

  #schema(schema: Json): void {
    const out = this.#out;
    const { additionalProperties, items, type, properties } = schema;
    out.string(1, text(schema['$ref']));
    out.string(2, text(schema['format']));
    out.string(4, text(schema['description']));
    out.strings(19, texts(schema['required']));
    if (additionalProperties !== undefined) {
      out.nested(21, () => this.#wrapped(1, additionalProperties));
    }
    if (type !== undefined) out.nested(22, () => out.string(1, text(type)));
    if (items !== undefined) out.nested(23, () => this.#wrapped(1, items));
    if (properties !== undefined) {
      out.nested(25, () => this.#named(1, properties, (one) => this.#schema(one)));
    }
    this.#extensions(31, schema);
  }

  #wrapped(number: number, schema: unknown): void {
    this.#out.nested(number, () => this.#schema(record(schema)));
  }

  #named(number: number, values: unknown, write: (value: Json) => void): void {
    const out = this.#out;
    for (const [name, value] of Object.entries(record(values))) {
      out.nested(number, () => {
        out.string(1, name);
        out.nested(2, () => write(record(value)));
      });
    }
  }

  #extensions(number: number, holder: Json): void {
    const out = this.#out;
    for (const [name, value] of Object.entries(holder)) {
      if (!name.startsWith('x-')) continue;
      out.nested(number, () => {
        out.string(1, name);
        out.nested(2, () => out.string(2, `${JSON.stringify(value)}\n`));
      });
    }
  }
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
  return typeof value === 'string' ? value : undefined;
}
