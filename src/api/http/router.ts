/**
 * From an authenticated request to the part that answers it: authorization first, then discovery, schemas, reviews,
 * streams or the verbs.
 */

import type { Registry } from '../../lib/metrics.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import { type Attributes, type Authorizer, refusal } from '../auth/authorizer.ts';
import { answerReview, findReview } from '../auth/reviews.ts';
import type { KindCatalog, Serving } from '../discovery/catalog.ts';
import { DiscoveryDocuments } from '../discovery/documents.ts';
import { verbsServed } from '../discovery/resource-entries.ts';
import type { OpenApiDocuments } from '../openapi/documents.ts';
import type { ProxyEndpoints } from '../proxy/endpoints.ts';
import { writeRefused } from '../status.ts';
import type { StreamEndpoints } from '../streams/endpoints.ts';
import { readBody } from './body.ts';
import { decodeBody } from './decode.ts';
import { sendDocument } from './documents.ts';
import { unknownPath, unknownResource, wrongMethod } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { bodyFormatOf } from './negotiate.ts';
import { aggregatedType, aggregatedVersion } from './negotiate-discovery.ts';
import { type ApiPath, parsePath, type ResourcePath } from './path.ts';
import { dryRunOf } from './query.ts';
import { type ResourceEndpoints, verbOf } from './resources.ts';
import { send, sendValue } from './respond.ts';

export type RouterComponents = {
  readonly catalog: KindCatalog;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly resources: ResourceEndpoints;
  readonly streams: StreamEndpoints;
  readonly proxy: ProxyEndpoints;
  readonly openApi: OpenApiDocuments;
  readonly metrics: Registry;
};

/** What metrics and the access log call a request. */
export type RouteLabels = { verb: string; resource: string };

/** Routes requests of known users. */
export class Router {
  readonly #components: RouterComponents;
  readonly #discovery: DiscoveryDocuments;

  constructor(components: RouterComponents) {
    this.#components = components;
    this.#discovery = new DiscoveryDocuments(components.catalog);
  }

  /** Answers a request; fills `labels` in as soon as it is known what it is. Rejects with ApiError. */
  async route(exchange: Exchange, labels: RouteLabels): Promise<void> {
    const path = parsePath(exchange.path);
    if (path.kind === 'resource') {
      labels.resource = this.#labelOf(path);
      labels.verb = verbOf(exchange, path);
      return this.#resource(exchange, path, labels.verb);
    }
    const method = exchange.request.method ?? 'GET';
    labels.verb = method === 'HEAD' ? 'get' : method.toLowerCase();
    labels.resource = path.kind === 'other' ? 'path' : 'discovery';
    this.#authorize({ user: exchange.user, verb: labels.verb, path: exchange.path });
    if (path.kind === 'other') return this.#other(exchange, path.path);
    if (labels.verb !== 'get') throw wrongMethod();
    this.#discover(exchange, path);
  }

  /** A name from the catalog, never the client's own text: metrics must not grow with what clients make up. */
  #labelOf(path: ResourcePath): string {
    const { group, version, plural, subresource } = path;
    const serving = this.#components.catalog.find(group, version, plural);
    if (serving === undefined) {
      return findReview(group, version, plural) === undefined ? 'unknown' : plural;
    }
    if (subresource === undefined) return plural;
    const known = verbsServed(serving.kind, subresource) !== undefined;
    return known ? `${plural}/${subresource}` : 'unknown';
  }

  async #resource(exchange: Exchange, path: ResourcePath, verb: string): Promise<void> {
    const { catalog, streams, proxy, resources } = this.#components;
    this.#authorize({
      user: exchange.user,
      verb,
      group: path.group,
      resource: path.plural,
      subresource: path.subresource ?? '',
      namespace: path.plural === 'namespaces' ? (path.name ?? '') : (path.namespace ?? ''),
      name: path.name ?? '',
    });
    const binding = bindingPath(path);
    if (binding !== undefined) path = binding;
    const serving = catalog.find(path.group, path.version, path.plural);
    if (serving === undefined) return this.#review(exchange, path, verb);
    if (proxy.serves(path)) return proxy.serve(exchange, path);
    checkShape(path, serving, verb);
    if (streams.serves(path)) return streams.serve(exchange, path);
    if (path.rest !== undefined) throw unknownPath();
    return resources.serve(exchange, path, serving, verb);
  }

  async #review(exchange: Exchange, path: ResourcePath, verb: string): Promise<void> {
    const resource = findReview(path.group, path.version, path.plural);
    if (resource === undefined) throw unknownResource(verb, path);
    if (path.name !== undefined) throw unknownPath();
    if (resource.namespaced !== (path.namespace !== undefined)) throw unknownPath();
    if (verb !== 'create') throw wrongMethod();
    const { request, response, user, warnings } = exchange;
    const format = bodyFormatOf(request.headers['content-type']);
    const body = await decodeBody(await readBody(request), format, {
      expected: resource.kind,
      fieldValidation: 'Warn',
      warnings,
    });
    dryRunOf(exchange.query);
    const { version, namespace } = path;
    const asked = { resource, version, user, namespace, body };
    sendValue(response, 201, await answerReview(this.#components, asked));
  }

  #discover(exchange: Exchange, path: Exclude<ApiPath, { kind: 'resource' | 'other' }>): void {
    const discovery = this.#discovery;
    const aggregated = aggregatedVersion(exchange.request.headers.accept);
    const root = path.kind === 'core-versions' || path.kind === 'groups';
    if (root && aggregated !== undefined) {
      const document = discovery.aggregated(path.kind === 'core-versions', aggregated);
      sendDocument(exchange, document, { contentType: aggregatedType(aggregated) });
      return;
    }
    if (path.kind === 'core-versions') {
      const { localAddress = '', localPort = 0 } = exchange.request.socket;
      const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress;
      sendValue(exchange.response, 200, discovery.coreVersions(`${host}:${localPort}`));
      return;
    }
    const document =
      path.kind === 'groups'
        ? discovery.groups()
        : path.kind === 'group'
          ? discovery.group(path.group)
          : discovery.resources(path.group, path.version);
    if (document === undefined) throw unknownPath();
    sendDocument(exchange, document);
  }

  async #other(exchange: Exchange, path: string): Promise<void> {
    const { openApi, metrics, catalog } = this.#components;
    if (exchange.request.method !== 'GET' && exchange.request.method !== 'HEAD')
      throw unknownPath();
    if (path === '/metrics') {
      const text = Buffer.from(await metrics.metrics());
      return send(exchange.response, 200, metrics.contentType, [text]);
    }
    if (path.startsWith('/openapi/') && openApi.serve(exchange)) return;
    if (path !== '/') throw unknownPath();
    const groups = catalog.groups().filter(({ group }) => group !== '');
    const paths = groups.flatMap(({ group, versions }) => [
      `/apis/${group}`,
      ...versions.map((version) => `/apis/${group}/${version}`),
    ]);
    const rest = ['/healthz', '/livez', '/metrics', '/openapi/v2', '/openapi/v3', '/readyz'];
    sendValue(exchange.response, 200, {
      paths: ['/api', '/api/v1', '/apis', ...paths, ...rest, '/version'],
    });
  }

  #authorize(attributes: Attributes): void {
    const decision = this.#components.authorizer.authorize(attributes);
    if (!decision.allowed) throw refusal(attributes, decision);
  }
}

/** POST .../bindings is the older form of POST .../pods/<name>/binding; the name is in the body. */
function bindingPath(path: ResourcePath): ResourcePath | undefined {
  if (path.group !== '' || path.plural !== 'bindings' || path.name !== undefined) return undefined;
  return { ...path, plural: 'pods', subresource: 'binding' };
}

/** Refuses paths that do not fit the kind: 404 for shapes that do not exist, 405 for methods a shape does not have. */
function checkShape(path: ResourcePath, serving: Serving, verb: string): void {
  const { kind } = serving;
  if (path.namespace !== undefined && !kind.namespaced) throw unknownPath();
  const verbs = verbsServed(kind, path.subresource ?? '');
  if (verbs === undefined) throw unknownPath();
  const isCollection = path.name === undefined;
  if (kind.namespaced && path.namespace === undefined) {
    if (!isCollection) throw unknownPath();
    if (verb !== 'list' && verb !== 'watch') throw wrongMethod();
  }
  if (!verbs.includes(verb)) throw writeRefused(serving) ?? wrongMethod();
  if (path.subresource !== undefined) return;
  if (isCollection ? verb === 'update' || verb === 'patch' : verb === 'create') throw wrongMethod();
}
