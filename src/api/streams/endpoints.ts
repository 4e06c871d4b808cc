/** The streaming subresources of pods: log, exec, attach, portforward. Which protocol carries them is settled here. */

import { createWebSocketStream } from 'ws';
import type { Clock } from '../../lib/clock.ts';
import type { ContainerStreams, ExecSession } from '../../lib/container-streams.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ResourcePath } from '../http/path.ts';
import { badRequest, failure } from '../status.ts';
import { COMMAND_PROTOCOLS, expectedStreams, SpdyCommandStreams } from './command-spdy.ts';
import {
  COMMAND_SUBPROTOCOLS,
  type CommandRequest,
  webSocketChannels,
} from './command-websocket.ts';
import { serveLog } from './log.ts';
import { containerOf, type PodComponents, type PodView, podAt, streamsOf } from './pod-target.ts';
import {
  type Dial,
  PORT_CHANNEL_SUBPROTOCOLS,
  PORT_FORWARD_PROTOCOL,
  portsOf,
  serveChannelPortForward,
  serveSpdyPortForward,
  TUNNEL_SUBPROTOCOL,
} from './port-forward.ts';
import { runSession } from './session.ts';
import { SpdyConnection } from './spdy/connection.ts';
import {
  acceptWebSocket,
  chooseProtocol,
  connectionSignal,
  takeConnection,
  upgradeOf,
} from './takeover.ts';

export type { StreamsFor } from './pod-target.ts';

export type StreamComponents = PodComponents & { readonly clock: Clock; readonly logger: Logger };

const SUBRESOURCES: ReadonlySet<string> = new Set(['log', 'exec', 'attach', 'portforward']);

/** Serves the streaming subresources. */
export class StreamEndpoints {
  readonly #components: StreamComponents;

  constructor(components: StreamComponents) {
    this.#components = components;
  }

  /** True for paths that this part answers. */
  serves(path: ResourcePath): boolean {
    return (
      path.group === '' &&
      path.plural === 'pods' &&
      path.rest === undefined &&
      SUBRESOURCES.has(path.subresource ?? '')
    );
  }

  /** Answers an authorized request. Rejects with ApiError as long as the connection speaks HTTP. */
  async serve(exchange: Exchange, path: ResourcePath): Promise<void> {
    const pod = await podAt(this.#components, exchange, path);
    switch (path.subresource) {
      case 'log':
        return serveLog(this.#components, exchange, pod);
      case 'portforward':
        return this.#portForward(exchange, pod);
      default:
        return this.#command(exchange, pod, path.subresource === 'exec');
    }
  }

  async #command(exchange: Exchange, pod: PodView, isExec: boolean): Promise<void> {
    const { query } = exchange;
    const request: CommandRequest = {
      stdin: query.flag('stdin'),
      stdout: query.optionalFlag('stdout') ?? false,
      stderr: query.optionalFlag('stderr') ?? false,
      tty: query.flag('tty'),
    };
    const command = query.all('command');
    if (isExec && command.length === 0) throw badRequest('you must specify at least 1 command');
    if (!request.stdin && !request.stdout && !request.stderr) {
      throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
    }
    const target = containerOf(pod, query.text('container'));
    const upgrade = upgradeOf(exchange);
    const streams = await streamsOf(this.#components, pod);
    exchange.withoutDeadline();
    const start = (signal: AbortSignal): Promise<ExecSession> =>
      isExec
        ? streams.exec(target, { command, ...request }, signal)
        : streams.attach(target, request, signal);
    if (upgrade === 'websocket') await this.#overWebSocket(exchange, request, start);
    else await this.#overSpdy(exchange, request, start);
  }

  async #overWebSocket(
    exchange: Exchange,
    request: CommandRequest,
    start: (signal: AbortSignal) => Promise<ExecSession>,
  ): Promise<void> {
    const offered = exchange.request.headers['sec-websocket-protocol'];
    const protocol = chooseProtocol(offered, COMMAND_SUBPROTOCOLS);
    if (protocol === undefined && offered !== undefined) throw noProtocol(COMMAND_SUBPROTOCOLS);
    const socket = await acceptWebSocket(exchange, protocol ?? '');
    const closed = connectionSignal(exchange, socket);
    await runSession(() => start(closed), webSocketChannels(socket, request, closed));
  }

  async #overSpdy(
    exchange: Exchange,
    request: CommandRequest,
    start: (signal: AbortSignal) => Promise<ExecSession>,
  ): Promise<void> {
    const protocol = spdyProtocol(exchange, COMMAND_PROTOCOLS, 'channel.k8s.io');
    const { clock } = this.#components;
    const head = exchange.upgrade?.head;
    const socket = takeConnection(exchange, spdyHeaders(protocol));
    const closed = connectionSignal(exchange, socket);
    const gathered = new SpdyCommandStreams(expectedStreams(request, protocol));
    const connection = new SpdyConnection(socket, { clock, onStream: gathered.accept });
    const running = connection.run(head);
    try {
      await gathered.complete(clock, closed);
    } catch {
      connection.abort();
      return;
    }
    await runSession(() => start(closed), gathered.channels(connection, protocol, closed));
    connection.close();
    await running;
  }

  async #portForward(exchange: Exchange, pod: PodView): Promise<void> {
    const upgrade = upgradeOf(exchange);
    const streams = await streamsOf(this.#components, pod);
    const { clock } = this.#components;
    if (upgrade === 'spdy') {
      const protocol = spdyProtocol(exchange, [PORT_FORWARD_PROTOCOL], PORT_FORWARD_PROTOCOL);
      exchange.withoutDeadline();
      const head = exchange.upgrade?.head ?? Buffer.alloc(0);
      const socket = takeConnection(exchange, spdyHeaders(protocol));
      const closed = connectionSignal(exchange, socket);
      const dial = dialer(streams, pod, closed);
      return serveSpdyPortForward(socket, head, { clock, dial, closed });
    }
    const supported = [TUNNEL_SUBPROTOCOL, ...PORT_CHANNEL_SUBPROTOCOLS];
    const offered = exchange.request.headers['sec-websocket-protocol'];
    const protocol = chooseProtocol(offered, supported);
    if (protocol === undefined) throw noProtocol(supported);
    const tunnelled = protocol === TUNNEL_SUBPROTOCOL;
    const ports = tunnelled ? [] : portsOf(exchange.query.all('ports'));
    exchange.withoutDeadline();
    const socket = await acceptWebSocket(exchange, protocol);
    const closed = connectionSignal(exchange, socket);
    const dial = dialer(streams, pod, closed);
    if (!tunnelled) return serveChannelPortForward(socket, ports, dial);
    const transport = createWebSocketStream(socket);
    transport.on('error', () => socket.terminate());
    return serveSpdyPortForward(transport, Buffer.alloc(0), { clock, dial, closed });
  }
}

function dialer(streams: ContainerStreams, pod: PodView, signal: AbortSignal): Dial {
  const { name, namespace = '', uid = '' } = pod.metadata;
  return (port) => streams.portForward({ namespace, pod: name, podUid: uid }, port, signal);
}

/** The version both sides speak; `assumed` when the client names none. Throws 403 as upstream does. */
function spdyProtocol(exchange: Exchange, supported: readonly string[], assumed: string): string {
  const offered = exchange.request.headers['x-stream-protocol-version'];
  if (offered === undefined) return assumed;
  const text = Array.isArray(offered) ? offered.join(',') : offered;
  const protocol = chooseProtocol(text, supported);
  if (protocol !== undefined) return protocol;
  exchange.response.setHeader('X-Accepted-Stream-Protocol-Versions', [...supported]);
  throw failure(
    403,
    'Forbidden',
    `unable to upgrade: unable to negotiate protocol: client supports [${text}], server accepts [${supported.join(', ')}]`,
  );
}

function spdyHeaders(protocol: string): readonly string[] {
  return ['Connection: Upgrade', 'Upgrade: SPDY/3.1', `X-Stream-Protocol-Version: ${protocol}`];
}

function noProtocol(supported: readonly string[]) {
  return badRequest(
    `unable to upgrade: no supported WebSocket subprotocol was offered, the server accepts [${supported.join(', ')}]`,
  );
}
