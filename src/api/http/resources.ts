/**
 * The verbs over HTTP: method, query and body of a resource path become one call of ApiVerbs, and its answer becomes bytes
 * in the representation asked for.
 */

import type { Clock } from '../../lib/clock.ts';
import type { StoredObject, StoreReader } from '../../store/types.ts';
import type { Serving } from '../discovery/catalog.ts';
import { badRequest, failure } from '../status.ts';
import {
  type IncludeObject,
  includeObjectOf,
  partialMetadata,
  table,
  tableHead,
  tableRow,
} from '../table/table.ts';
import type { ApiVerbs, ListAnswer, ObjectAnswer, RequestContext, Target } from '../types.ts';
import { isRecord } from '../verbs/json.ts';
import { readBody } from './body.ts';
import { decodeBody } from './decode.ts';
import { drained } from './drain.ts';
import { wrongMethod } from './errors.ts';
import { contextOf, type Exchange } from './exchange.ts';
import { FrameCache } from './frame-cache.ts';
import {
  ListCache,
  listBody,
  listHead,
  listMetadata,
  sizeOf,
  streamList,
  WHOLE_LIST_BYTES_MAX,
} from './list-bytes.ts';
import { bodyFormatOf, negotiate, patchTypeOf, type Representation } from './negotiate.ts';
import type { ResourcePath } from './path.ts';
import {
  deleteOptions,
  dryRunOf,
  fieldValidationOf,
  getOptions,
  listOptions,
  watchOptions,
} from './query.ts';
import { send, sendFormatted } from './respond.ts';
import { SendBacklog } from './send-backlog.ts';
import { streamWatch } from './watch-stream.ts';

/** Rows and metadata of more items are made as they are sent: each of them is parsed. */
const SHAPED_ITEMS_MAX = 1_000;

export type ResourceComponents = {
  readonly verbs: ApiVerbs;
  readonly store: Pick<StoreReader, 'changedAt'>;
  readonly clock: Clock;
};

/** The verb that authorization is asked about. */
export function verbOf(exchange: Exchange, path: ResourcePath): string {
  switch (exchange.request.method) {
    case 'GET':
    case 'HEAD':
      if (wantsWatch(exchange, path)) return 'watch';
      return path.name === undefined ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return path.name === undefined ? 'deletecollection' : 'delete';
    default:
      // A container may answer what the API has no verb for; the method is the verb then.
      if (path.subresource === 'proxy') return (exchange.request.method ?? '').toLowerCase();
      throw wrongMethod();
  }
}

function wantsWatch(exchange: Exchange, path: ResourcePath): boolean {
  if (path.watchPrefix) return true;
  return exchange.query.flag('watch') && path.subresource === undefined;
}

/** Serves resource paths. */
export class ResourceEndpoints {
  readonly #verbs: ApiVerbs;
  readonly #store: Pick<StoreReader, 'changedAt'>;
  readonly #clock: Clock;
  readonly #lists = new ListCache();
  readonly #frames = new FrameCache();
  readonly #backlog: SendBacklog;

  constructor(components: ResourceComponents) {
    this.#verbs = components.verbs;
    this.#store = components.store;
    this.#clock = components.clock;
    this.#backlog = new SendBacklog(components.clock);
  }

  /** Answers one authorized request. Rejects with ApiError. */
  async serve(
    exchange: Exchange,
    path: ResourcePath,
    serving: Serving,
    verb: string,
  ): Promise<void> {
    const target = targetOf(path, serving);
    const representation = negotiate(exchange.request.headers.accept);
    switch (verb) {
      case 'get': {
        const answer = await this.#verbs.get(
          contextOf(exchange),
          target,
          getOptions(exchange.query),
        );
        return this.#sendObject(exchange, target, representation, answer);
      }
      case 'list':
        return this.#list(exchange, target, representation);
      case 'watch':
        return this.#watch(exchange, target, representation);
      case 'create': {
        const body = await this.#body(exchange, target);
        const answer = await this.#verbs.create(this.#writing(exchange), target, body);
        return this.#sendObject(exchange, target, representation, answer);
      }
      case 'update': {
        const body = await this.#body(exchange, target);
        const answer = await this.#verbs.update(this.#writing(exchange), target, body);
        return this.#sendObject(exchange, target, representation, answer);
      }
      case 'patch':
        return this.#patch(exchange, target, representation);
      default:
        return this.#delete(exchange, target, representation, verb);
    }
  }

  async #list(exchange: Exchange, target: Target, representation: Representation) {
    const options = listOptions(exchange.query);
    const answer = await this.#verbs.list(contextOf(exchange), target, options);
    const complete =
      options.labelSelector === undefined &&
      options.fieldSelector === undefined &&
      options.continueToken === undefined &&
      options.resourceVersionMatch !== 'Exact' &&
      answer.continueToken === undefined;
    return this.#sendList(exchange, target, representation, answer, complete);
  }

  async #watch(exchange: Exchange, target: Target, representation: Representation) {
    const options = watchOptions(exchange.query);
    const include = includeObjectOf(exchange.query.text('includeObject'));
    exchange.withoutDeadline();
    const handle = await this.#verbs.watch(contextOf(exchange), target, options);
    const view = {
      target,
      representation,
      include,
      verbs: this.#verbs,
      clock: this.#clock,
      frames: this.#frames,
      backlog: this.#backlog,
    };
    await streamWatch(exchange.response, handle, view, exchange.warnings);
  }

  async #patch(exchange: Exchange, target: Target, representation: Representation) {
    const { request, query } = exchange;
    const type = patchTypeOf(request.headers['content-type']);
    const fieldValidation = fieldValidationOf(query);
    const body = await decodeBody(await readBody(request), type === 'apply' ? 'yaml' : 'json', {
      expected: target.kind.kind,
      // Patches of the two older kinds never were looked through for duplicates by upstream.
      fieldValidation: type === 'json' ? 'Ignore' : fieldValidation,
      warnings: exchange.warnings,
    });
    const context = this.#writing(exchange);
    const answer = await this.#verbs.patch(context, target, { type, body });
    return this.#sendObject(exchange, target, representation, answer);
  }

  async #delete(
    exchange: Exchange,
    target: Target,
    representation: Representation,
    verb: string,
  ): Promise<void> {
    const { request, query } = exchange;
    const bytes = await readBody(request);
    let body: unknown;
    if (bytes.length > 0) {
      const format = bodyFormatOf(request.headers['content-type']);
      body = await decodeBody(bytes, format, {
        expected: 'DeleteOptions',
        fieldValidation: 'Ignore',
        warnings: exchange.warnings,
      });
      requireDeleteOptions(body);
    }
    const options = deleteOptions(query, body);
    const context = { ...contextOf(exchange), dryRun: dryRunOf(query, body) };
    if (verb === 'delete') {
      const answer = await this.#verbs.delete(context, target, options);
      return this.#sendObject(exchange, target, representation, answer);
    }
    const selection = listOptions(query);
    const answer = await this.#verbs.deleteCollection(context, target, options, selection);
    return this.#sendList(exchange, target, representation, answer, false);
  }

  async #body(exchange: Exchange, target: Target): Promise<unknown> {
    const { request, query, warnings } = exchange;
    const format = bodyFormatOf(request.headers['content-type']);
    const fieldValidation = fieldValidationOf(query);
    const expected = target.kind.kind;
    return decodeBody(await readBody(request), format, { expected, fieldValidation, warnings });
  }

  #writing(exchange: Exchange): RequestContext {
    const { query, request } = exchange;
    return contextOf(exchange, {
      dryRun: dryRunOf(query),
      fieldManager: query.text('fieldManager') ?? managerOf(request.headers['user-agent']),
      fieldValidation: fieldValidationOf(query),
    });
  }

  #sendObject(
    exchange: Exchange,
    target: Target,
    representation: Representation,
    answer: ObjectAnswer,
  ): void {
    const { response, warnings } = exchange;
    const { item } = answer;
    if (representation.shape === 'Object' || item === undefined) {
      sendFormatted(response, answer.code, representation, [answer.bytes], warnings);
      return;
    }
    if (representation.shape === 'PartialObjectMetadataList') throw notAList();
    const metadata = listMetadata({ revision: item.revision });
    const body =
      representation.shape === 'Table'
        ? table(this.#tableOptions(exchange, target, representation), [item], metadata)
        : Buffer.from(partialMetadata(item, representation.metaVersion));
    sendFormatted(response, answer.code, representation, [body], warnings);
  }

  async #sendList(
    exchange: Exchange,
    target: Target,
    representation: Representation,
    answer: ListAnswer,
    complete: boolean,
  ): Promise<void> {
    const { response, warnings } = exchange;
    const metadata = listMetadata(answer);
    if (representation.shape !== 'Object') {
      const { head, bytesOf } = this.#shapeOf(exchange, target, representation, metadata);
      if (representation.format === 'json' && answer.items.length > SHAPED_ITEMS_MAX) {
        return this.#stream(exchange, head, answer.items, bytesOf);
      }
      const body = listBody(answer.items, bytesOf);
      sendFormatted(response, 200, representation, [head, body], warnings);
      return;
    }
    const { group, version } = target.served ?? target.kind;
    const apiVersion = group === '' ? version : `${group}/${version}`;
    const head = listHead(target.kind.listKind, apiVersion, metadata);
    const bytesOf = (item: StoredObject) => this.#verbs.bytesOf(target, item);
    if (representation.format === 'json' && sizeOf(answer.items) > WHOLE_LIST_BYTES_MAX) {
      return this.#stream(exchange, head, answer.items, bytesOf);
    }
    const id = `${apiVersion} ${target.kind.plural} ${target.namespace ?? '*'}`;
    const body = complete
      ? this.#remembered(id, target, answer, bytesOf)
      : listBody(answer.items, bytesOf);
    if (representation.format === 'json') {
      send(response, 200, 'application/json', [head, body], warnings);
    } else {
      sendFormatted(response, 200, representation, [head, body], warnings);
    }
  }

  /**
   * The body of a whole list, made at most once per change. The state may have moved on since the list was taken; then
   * the newest change lies behind the list's revision, and nothing is remembered or recalled.
   */
  #remembered(
    id: string,
    target: Target,
    answer: ListAnswer,
    bytesOf: (item: StoredObject) => Buffer,
  ): Buffer {
    const { group, plural } = target.kind;
    const changedAt = this.#store.changedAt(`/${group === '' ? 'core' : group}/${plural}/`);
    if (changedAt > answer.revision) return listBody(answer.items, bytesOf);
    const known = this.#lists.get(id, changedAt);
    if (known !== undefined) return known;
    const body = listBody(answer.items, bytesOf);
    this.#lists.put(id, changedAt, body);
    return body;
  }

  #stream(
    { response, warnings }: Exchange,
    head: Buffer,
    items: readonly StoredObject[],
    bytesOf: (item: StoredObject) => Buffer,
  ): Promise<void> {
    const wait = (stream: typeof response) => drained(stream, this.#clock);
    return streamList(response, head, items, { bytesOf, warnings, drained: wait });
  }

  /** What comes before the items of a list that is not one of whole objects, and how each of them is written. */
  #shapeOf(
    exchange: Exchange,
    target: Target,
    representation: Representation,
    metadata: string,
  ): { readonly head: Buffer; readonly bytesOf: (item: StoredObject) => Buffer } {
    const { metaVersion } = representation;
    switch (representation.shape) {
      case 'Table': {
        const options = this.#tableOptions(exchange, target, representation);
        return {
          head: Buffer.from(tableHead(options, metadata, true)),
          bytesOf: (item) => Buffer.from(tableRow(options, item)),
        };
      }
      case 'PartialObjectMetadata':
        throw notAcceptable('PartialObjectMetadata is for single objects; ask for a list');
      default:
        return {
          head: listHead('PartialObjectMetadataList', `meta.k8s.io/${metaVersion}`, metadata),
          bytesOf: (item) => Buffer.from(partialMetadata(item, metaVersion)),
        };
    }
  }

  #tableOptions(exchange: Exchange, target: Target, representation: Representation) {
    const include: IncludeObject = includeObjectOf(exchange.query.text('includeObject'));
    return {
      kind: target.kind,
      metaVersion: representation.metaVersion,
      include,
      nowMs: this.#clock.nowMs(),
      bytesOf: (item: StoredObject) => this.#verbs.bytesOf(target, item),
    };
  }
}

function targetOf(path: ResourcePath, { kind, served }: Serving): Target {
  return {
    kind,
    ...(served === undefined ? {} : { served }),
    ...(path.namespace === undefined ? {} : { namespace: path.namespace }),
    ...(path.name === undefined ? {} : { name: path.name }),
    ...(path.subresource === undefined ? {} : { subresource: path.subresource }),
  };
}

/** As upstream: the product's name of the User-Agent. */
function managerOf(userAgent: string | undefined): string {
  return (userAgent ?? 'unknown').split('/')[0]?.slice(0, 128) ?? 'unknown';
}

/** A body of another kind was meant for something else than a deletion. */
function requireDeleteOptions(body: unknown): void {
  const { kind = '' } = isRecord(body) ? body : { kind: typeof body };
  if (kind === '' || kind === 'DeleteOptions') return;
  throw badRequest(`decoded object cannot be converted to DeleteOptions: it is a ${kind}`);
}

function notAList() {
  return notAcceptable('PartialObjectMetadataList is for lists; ask for PartialObjectMetadata');
}

function notAcceptable(message: string) {
  return failure(406, 'NotAcceptable', message);
}
