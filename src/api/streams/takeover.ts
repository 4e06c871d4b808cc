/** Leaving HTTP: from an exchange with an upgrade to the bare connection or a WebSocket on it. */

import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Exchange } from '../http/exchange.ts';
import { badRequest } from '../status.ts';

/** Largest message taken from a client; kubectl sends 32 KiB. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

const webSocketServer = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: MESSAGE_BYTES_MAX,
  handleProtocols: (_offered, request) =>
    (request as { chosenProtocol?: string }).chosenProtocol ?? false,
});

/** What the client asked to speak. Throws 400 if it did not ask, or for something else. */
export function upgradeOf(exchange: Exchange): 'websocket' | 'spdy' {
  const wanted = exchange.request.headers.upgrade?.toLowerCase();
  if (exchange.upgrade !== undefined && wanted === 'websocket') return 'websocket';
  if (exchange.upgrade !== undefined && wanted === 'spdy/3.1') return 'spdy';
  throw badRequest('Upgrade request required');
}

/** Takes the connection away from HTTP and answers 101 with the given headers. */
export function takeConnection(exchange: Exchange, headers: readonly string[]): Duplex {
  const socket = detach(exchange);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers.join('\r\n')}\r\n\r\n`);
  return socket;
}

/** Completes a WebSocket handshake with the chosen subprotocol ('' for none). */
export function acceptWebSocket(exchange: Exchange, protocol: string): Promise<WebSocket> {
  const head = exchange.upgrade?.head ?? Buffer.alloc(0);
  const { request } = exchange;
  if (protocol !== '') Object.assign(request, { chosenProtocol: protocol });
  const socket = detach(exchange);
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(badRequest('the WebSocket handshake failed')));
    webSocketServer.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => webSocket.terminate());
      resolve(webSocket);
    });
  });
}

/** A signal that fires when the connection closes or the server stops. */
export function connectionSignal(exchange: Exchange, socket: Duplex | WebSocket): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort();
  socket.once('close', abort);
  exchange.signal.addEventListener('abort', abort, { once: true });
  return controller.signal;
}

function detach(exchange: Exchange): Duplex {
  const { upgrade } = exchange;
  if (upgrade === undefined) throw badRequest('Upgrade request required');
  const response: ServerResponse = exchange.response;
  response.statusCode = 101;
  response.detachSocket(upgrade.socket as Socket);
  return upgrade.socket;
}

/** The first of `supported` that the client offers in a comma-separated header; undefined if none. */
export function chooseProtocol(
  offered: string | undefined,
  supported: readonly string[],
): string | undefined {
  const wanted = (offered ?? '').split(',').map((one) => one.trim());
  return wanted.find((one) => supported.includes(one));
}
