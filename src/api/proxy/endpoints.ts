/**
 * The proxy subresources of pods and services: an HTTP request to the API that is answered by a container. It travels through the
 * same pipe as a port-forward, so a client needs no route to the pod network.
 */

import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { type Duplex, pipeline } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { messageOf } from '../../lib/errors.ts';
import { unknownPath } from '../http/errors.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ResourcePath } from '../http/path.ts';
import { failure } from '../status.ts';
import { type PodComponents, streamsOf } from '../streams/pod-target.ts';
import { takeConnection } from '../streams/takeover.ts';
import { ByteStream } from './byte-stream.ts';
import { requestHeaders, responseHeaders } from './headers.ts';
import {
  objectAt,
  type ProxyTarget,
  podTarget,
  serviceTarget,
  type TargetComponents,
  unavailable,
} from './target.ts';

export type ProxyComponents = PodComponents & TargetComponents;

const RESOURCES: ReadonlySet<string> = new Set(['pods', 'services', 'nodes']);

/** Serves the proxy subresources. */
export class ProxyEndpoints {
  readonly #components: ProxyComponents;

  constructor(components: ProxyComponents) {
    this.#components = components;
  }

  /** True for paths that this part answers. */
  serves(path: ResourcePath): boolean {
    return path.group === '' && path.subresource === 'proxy' && RESOURCES.has(path.plural);
  }

  /** Answers an authorized request. Rejects with ApiError until the container's answer has begun. */
  async serve(exchange: Exchange, path: ResourcePath): Promise<void> {
    const { name, namespace, plural } = path;
    if (name === undefined || (plural === 'nodes') !== (namespace === undefined)) {
      throw unknownPath();
    }
    if (namespace === undefined) return this.#node(exchange, name);
    if (redirectsToRoot(exchange, path)) return;
    const at = { namespace, name };
    const target =
      plural === 'pods'
        ? await podTarget(this.#components, exchange, at)
        : await serviceTarget(this.#components, exchange, at);
    exchange.withoutDeadline();
    const { signal } = exchange;
    const connection = await this.#connect(target, signal);
    try {
      await forward(exchange, path, connection);
    } finally {
      connection.destroy();
    }
  }

  async #node(exchange: Exchange, name: string): Promise<void> {
    await objectAt(this.#components, exchange, 'nodes', { name: name.split(':')[0] ?? name });
    throw failure(
      501,
      'NotImplemented',
      `node "${name}" cannot be proxied: nodes have no HTTP API of their own here; logs, exec and port-forward go through their pods`,
    );
  }

  async #connect(target: ProxyTarget, signal: AbortSignal): Promise<Duplex> {
    const { pod, port, scheme } = target;
    const streams = await streamsOf(this.#components, pod);
    const { name, namespace = '', uid = '' } = pod.metadata;
    try {
      const pipe = await streams.portForward({ namespace, pod: name, podUid: uid }, port, signal);
      const stream = new ByteStream(pipe);
      // Whoever uses the stream hears of its end; an error afterwards concerns nobody.
      stream.on('error', () => undefined);
      return scheme === 'http' ? stream : secured(stream);
    } catch (error) {
      throw unreachable(error);
    }
  }
}

/** Nobody vouches for a pod's certificate; the pipe itself leads to that pod and no other. */
function secured(stream: Duplex): Duplex {
  const secure = tlsConnect({ socket: stream, rejectUnauthorized: false });
  secure.on('error', () => undefined);
  secure.once('close', () => stream.destroy());
  return secure;
}

/** Pages at a container's root hold relative links, which only work below a slash. */
function redirectsToRoot({ request, response }: Exchange, path: ResourcePath): boolean {
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (path.rest !== undefined || !isRead) return false;
  const [where = '', query] = (request.url ?? '').split('?');
  response.writeHead(301, { Location: `${where}/${query === undefined ? '' : `?${query}`}` });
  response.end();
  return true;
}

/** One request over one connection; resolves when the answer has been passed on whole. */
function forward(exchange: Exchange, path: ResourcePath, connection: Duplex): Promise<void> {
  const { request, signal, upgrade } = exchange;
  const [where = '', ...query] = (request.url ?? '').split('?');
  const rest = path.rest ?? '';
  const base = where.slice(0, where.length - rest.length).replace(/\/$/, '');
  const headers = requestHeaders(request, where);
  if (upgrade !== undefined) {
    headers['connection'] = 'Upgrade';
    headers['upgrade'] = request.headers.upgrade;
  }
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      createConnection: () => connection,
      method: request.method,
      path: `/${rest}${query.length === 0 ? '' : `?${query.join('?')}`}`,
      headers,
      setHost: false,
      signal,
    });
    outgoing.on('error', (error) => reject(unreachable(error)));
    outgoing.on('response', (answer) => {
      sendAnswer(exchange, answer, base).then(resolve, reject);
    });
    if (upgrade === undefined) {
      sendBody(request, outgoing);
      return;
    }
    outgoing.on('upgrade', (answer, socket, head) => {
      joinUpgraded(exchange, answer, { socket, head }).then(resolve, reject);
    });
    outgoing.end();
  });
}

/** The client's going away ends the outgoing request through the exchange's signal; its own errors are reported there. */
function sendBody(request: IncomingMessage, outgoing: ClientRequest): void {
  pipeline(request, outgoing, () => undefined);
}

function sendAnswer(exchange: Exchange, answer: IncomingMessage, base: string): Promise<void> {
  const { response } = exchange;
  response.writeHead(answer.statusCode ?? 502, responseHeaders(answer, base));
  // Whoever follows a stream of events wants to know at once that it stands.
  response.flushHeaders();
  return new Promise((resolve) => {
    // A broken answer breaks the connection to the client, too: that is what pipeline does with its streams.
    pipeline(answer, response, () => resolve());
  });
}

/** Both sides have left HTTP: bytes pass both ways until one side ends. */
function joinUpgraded(
  exchange: Exchange,
  answer: IncomingMessage,
  container: { readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  const lines: string[] = [];
  for (let at = 0; at + 1 < answer.rawHeaders.length; at += 2) {
    lines.push(`${answer.rawHeaders[at]}: ${answer.rawHeaders[at + 1]}`);
  }
  const client = takeConnection(exchange, lines);
  const { socket, head } = container;
  if (head.length > 0) client.write(head);
  const early = exchange.upgrade?.head;
  if (early !== undefined && early.length > 0) socket.write(early);
  return new Promise((resolve) => {
    const end = () => {
      client.destroy();
      socket.destroy();
      resolve();
    };
    for (const side of [client, socket]) side.once('close', end).on('error', end);
    client.pipe(socket);
    socket.pipe(client);
  });
}

function unreachable(error: unknown) {
  return unavailable(`error trying to reach service: ${messageOf(error)}`);
}
