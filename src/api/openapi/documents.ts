/**
 * The OpenAPI documents: version 2 as one, version 3 as one per group version behind an index. Each is generated when first asked
 * for, kept as bytes, and named by the hash of its content, so that clients fetch it once.
 */

import type { KindCatalog } from '../discovery/catalog.ts';
import { type Document, documentOf } from '../discovery/documents.ts';
import { allGroups } from '../discovery/resource-entries.ts';
import { KUBERNETES_VERSION } from '../discovery/version.ts';
import { sendDocument } from '../http/documents.ts';
import type { Exchange } from '../http/exchange.ts';
import { mediaRanges } from '../http/negotiate.ts';
import { failure } from '../status.ts';
import { PathWriter } from './paths.ts';
import { type JsonSchema, SchemaCollector } from './schemas.ts';
import { encodeV2, OPENAPI_PROTOBUF, OPENAPI_PROTOBUF_ASKED } from './v2-protobuf.ts';

const V2 = '/openapi/v2';
const V3 = '/openapi/v3';
const SECURITY = {
  BearerToken: { type: 'apiKey', in: 'header', name: 'authorization', description: 'Bearer token' },
};

/** Serves /openapi/v2 and /openapi/v3. */
export class OpenApiDocuments {
  readonly #catalog: KindCatalog;
  readonly #info: object;
  readonly #made = new Map<string, Document>();
  #generation: number;

  constructor(catalog: KindCatalog, skeinVersion: string) {
    this.#catalog = catalog;
    this.#generation = catalog.generation;
    const { major, minor, patch } = KUBERNETES_VERSION;
    this.#info = {
      title: 'Kubernetes',
      version: `v${major}.${minor}.${patch}+skein${skeinVersion}`,
    };
  }

  /** Answers an exchange below /openapi; false if there is no such document. Throws 406. */
  serve(exchange: Exchange): boolean {
    const path = exchange.path.endsWith('/') ? exchange.path.slice(0, -1) : exchange.path;
    if (path !== V2 && path !== V3 && !path.startsWith(`${V3}/`)) return false;
    const groupVersion = path.slice(V3.length + 1);
    const { accept } = exchange.request.headers;
    const form = formOf(accept, path === V2);
    if (form === 'protobuf') {
      sendDocument(exchange, this.v2Protobuf(), { contentType: OPENAPI_PROTOBUF });
      return true;
    }
    const document =
      path === V2 ? this.v2() : path === V3 ? this.index() : this.groupVersion(groupVersion);
    if (document === undefined) return false;
    const immutable = exchange.query.text('hash') === document.etag;
    sendDocument(exchange, document, { immutable });
    return true;
  }

  /** The whole API in version 2. */
  v2(): Document {
    return this.#document(V2, () => {
      const collector = new SchemaCollector('v2');
      const writer = new PathWriter('v2', collector);
      const paths: Record<string, JsonSchema> = {};
      for (const { group, versions } of this.#catalog.groups()) {
        for (const version of versions) {
          for (const serving of this.#catalog.servings(group, version)) {
            Object.assign(paths, writer.paths(serving));
          }
        }
      }
      return {
        swagger: '2.0',
        info: this.#info,
        paths,
        definitions: collector.schemas(),
        securityDefinitions: SECURITY,
        security: [{ BearerToken: [] }],
      };
    });
  }

  /** The same in protobuf, for kubectl before 1.27. */
  v2Protobuf(): Document {
    return this.#document(`${V2} protobuf`, () =>
      encodeV2(JSON.parse(this.v2().bytes.toString()) as object),
    );
  }

  /** Which documents version 3 consists of. */
  index(): Document {
    return this.#document(V3, () => {
      const paths: Record<string, JsonSchema> = {};
      for (const { group, versions } of allGroups(this.#catalog)) {
        for (const version of versions) {
          const name = group === '' ? `api/${version}` : `apis/${group}/${version}`;
          const document = this.groupVersion(name);
          if (document === undefined) continue;
          paths[name] = { serverRelativeURL: `${V3}/${name}?hash=${document.etag}` };
        }
      }
      return { paths };
    });
  }

  /** The document of `api/v1` or `apis/<group>/<version>`; undefined if nothing is served there. */
  groupVersion(name: string): Document | undefined {
    const [root, ...rest] = name.split('/');
    const [group, version] = root === 'api' ? ['', ...rest] : rest;
    if (group === undefined || version === undefined) return undefined;
    const servings = this.#catalog.servings(group, version);
    if (servings.length === 0) return undefined;
    return this.#document(name, () => {
      const collector = new SchemaCollector('v3');
      const writer = new PathWriter('v3', collector);
      const paths: Record<string, JsonSchema> = {};
      for (const serving of servings) Object.assign(paths, writer.paths(serving));
      return {
        openapi: '3.0.0',
        info: this.#info,
        paths,
        components: { schemas: collector.schemas(), securitySchemes: SECURITY },
      };
    });
  }

  #document(id: string, make: () => object): Document {
    if (this.#generation !== this.#catalog.generation) {
      this.#generation = this.#catalog.generation;
      this.#made.clear();
    }
    let document = this.#made.get(id);
    if (document === undefined) {
      document = documentOf(make());
      this.#made.set(id, document);
    }
    return document;
  }
}

/** The form to answer in. Throws 406 if none is spoken. */
function formOf(accept: string | undefined, isV2: boolean): 'json' | 'protobuf' {
  if (accept === undefined || accept === '') return 'json';
  for (const { type } of mediaRanges(accept)) {
    if (type === 'application/json' || type === '*/*' || type === 'application/*') return 'json';
    if (isV2 && OPENAPI_PROTOBUF_ASKED.has(type)) return 'protobuf';
  }
  throw failure(406, 'NotAcceptable', 'OpenAPI documents are served as application/json');
}
