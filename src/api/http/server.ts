/**
 * The API server: HTTPS on one address. HTTP/1.1 only (measured fastest in Node, and every Kubernetes client speaks it); client
 * certificates are asked for but not required, because tokens are as good.
 */

import { type IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Registry } from '../../lib/metrics.ts';
import { entropyRandom, type Random } from '../../lib/random.ts';
import { setTcpUserTimeout } from '../../lib/tcp-user-timeout.ts';
import type { ResourceKind } from '../../resources/types.ts';
import type { StoreReader } from '../../store/types.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { Authorizer } from '../auth/authorizer.ts';
import { fixedKinds, KindCatalog, type KindSource } from '../discovery/catalog.ts';
import { OpenApiDocuments } from '../openapi/documents.ts';
import { ProxyEndpoints } from '../proxy/endpoints.ts';
import { StreamEndpoints, type StreamsFor } from '../streams/endpoints.ts';
import type { ApiVerbs } from '../types.ts';
import { RequestHandler } from './handler.ts';
import type { HealthCheck } from './health.ts';
import { ResourceEndpoints } from './resources.ts';
import { Router } from './router.ts';

export type ApiServerComponents = {
  readonly verbs: ApiVerbs;
  readonly kinds: readonly ResourceKind[] | KindSource;
  readonly store: Pick<StoreReader, 'changedAt'>;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  /** The node that runs a pod, for log, exec, attach and port-forward. */
  readonly streamsFor: StreamsFor;
  /** Checks behind /livez and /readyz. Default none. */
  readonly health?: readonly HealthCheck[];
  /** Chooses among a service's endpoints. Default: seeded from the system's entropy. */
  readonly random?: Random;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
};

export type ApiServerOptions = {
  /** Default all addresses. */
  readonly host?: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly tls: {
    readonly certificatePem: string;
    readonly keyPem: string;
    /** Authorities named to clients, so that they choose the right certificate. */
    readonly authorityPems: readonly string[];
  };
  /** Shown by /version. */
  readonly skeinVersion: string;
  /** Default 60 s; watches and streams excepted. */
  readonly requestTimeoutMs?: number;
  /** Default 10 s. */
  readonly handshakeTimeoutMs?: number;
  /** Default 800. */
  readonly requestsMax?: number;
  /** Watches and streams. Default 20 000. */
  readonly longRequestsMax?: number;
  /** Default 25 000. */
  readonly connectionsMax?: number;
};

export interface ApiServer {
  /** Starts to listen. Rejects with the system's error when the address cannot be had. */
  listen(): Promise<void>;
  /** Ends watches and streams, lets short requests finish for `graceMs` (default 2 s), then cuts. */
  close(graceMs?: number): Promise<void>;
  /** Changes the serving certificate for new connections. */
  renew(tls: ApiServerOptions['tls']): void;
  /** Where it listens; valid after listen. */
  readonly address: { readonly host: string; readonly port: number };
}

/** Heads are small; service-account tokens of 2 KiB and impersonation headers fit many times. */
const HEAD_BYTES_MAX = 64 * 1024;
const HEADERS_TIMEOUT_MS = 20_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How often slow connections are looked for; Node's own 30 s would more than double their time. */
const CONNECTIONS_CHECK_MS = 5_000;
/** Longer than Go's 90 s, so that the client closes first and never sends into a closing connection. */
const KEEP_ALIVE_MS = 180_000;
const TCP_KEEP_ALIVE_MS = 15_000;
/** Longest silence of a client that has data to acknowledge; keep-alive gives an idle one up in the same time. */
const UNACKNOWLEDGED_MS = 25_000;
const UPGRADES = /^(websocket|spdy\/3\.1)$/i;
const GRACE_MS = 2_000;
/** How long a client may take to hear why it is refused. */
const REFUSAL_MS = 2_000;

/** Builds the server; call listen() to start it. */
export function createApiServer(
  components: ApiServerComponents,
  options: ApiServerOptions,
): ApiServer {
  const { logger, clock, metrics } = components;
  const handler = createHandler(components, options);
  const { requestTimeoutMs = 60_000, connectionsMax = 25_000 } = options;
  const server = createServer({
    ...tlsOptions(options.tls),
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    noDelay: true,
    // Other upgrades (h2c) are offers that may be ignored; taking them would lose the request's body.
    shouldUpgradeCallback: (request) => UPGRADES.test(request.headers.upgrade ?? ''),
  });
  server.maxConnections = connectionsMax;
  server.on('connection', (socket: Socket) => setTcpUserTimeout(socket, UNACKNOWLEDGED_MS));
  const sockets = new Set<Duplex>();
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  let closing = false;
  server.on('request', (request, response) => {
    handler.handle(request, response).then(
      () => {
        // A connection kept alive would hold up the server's end.
        if (closing) request.socket.end();
      },
      (error) => {
        logger.error({ error }, 'a request was dropped');
        response.destroy();
      },
    );
  });
  server.on('upgrade', (request, socket, head) => {
    upgrade(handler, request, socket, head).catch((error) => {
      logger.error({ error }, 'an upgrade was dropped');
      socket.destroy();
    });
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(error, socket, clock));
  server.on('tlsClientError', (error) =>
    logger.debug({ error: error.message }, 'a TLS handshake failed'),
  );
  let address = { host: options.host ?? '0.0.0.0', port: options.port };

  return {
    get address() {
      return address;
    },
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(options.port, options.host, () => {
          server.off('error', reject);
          server.on('error', (error) => logger.error({ error }, 'the API listener failed'));
          const bound = server.address() as AddressInfo;
          address = { host: bound.address, port: bound.port };
          logger.info(address, 'API server listens');
          resolve();
        });
      }),
    renew: (tls) => server.setSecureContext(tlsOptions(tls)),
    close: (graceMs = GRACE_MS) =>
      new Promise((resolve) => {
        closing = true;
        handler.close();
        const timer = clock.after(graceMs, () => {
          handler.cut();
          for (const socket of sockets) socket.destroy();
        });
        server.close(() => {
          timer.cancel();
          metrics.removeSingleMetric('apiserver_current_inflight_requests');
          metrics.removeSingleMetric('apiserver_request_total');
          metrics.removeSingleMetric('apiserver_request_duration_seconds');
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

function createHandler(components: ApiServerComponents, options: ApiServerOptions): RequestHandler {
  const { kinds, verbs, store, clock, logger, metrics, authenticator, authorizer } = components;
  const catalog = new KindCatalog('generation' in kinds ? kinds : fixedKinds(kinds));
  const router = new Router({
    catalog,
    authenticator,
    authorizer,
    resources: new ResourceEndpoints({ verbs, store, clock }),
    streams: new StreamEndpoints({
      verbs,
      catalog,
      clock,
      logger,
      streamsFor: components.streamsFor,
    }),
    proxy: new ProxyEndpoints({
      verbs,
      catalog,
      streamsFor: components.streamsFor,
      random: components.random ?? entropyRandom(),
    }),
    openApi: new OpenApiDocuments(catalog, options.skeinVersion),
    metrics,
  });
  return new RequestHandler(
    { router, authenticator, health: components.health ?? [], logger, metrics, clock },
    {
      skeinVersion: options.skeinVersion,
      requestsMax: options.requestsMax ?? 800,
      longRequestsMax: options.longRequestsMax ?? 20_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 60_000,
    },
  );
}

function tlsOptions(tls: ApiServerOptions['tls']) {
  return { cert: tls.certificatePem, key: tls.keyPem, ca: [...tls.authorityPems] };
}

/**
 * An upgrade request goes the way of all others, with a response object on the bare connection: refusals are
 * ordinary answers, and whoever accepts takes the connection over.
 */
async function upgrade(
  handler: RequestHandler,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on('error', () => socket.destroy());
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as Socket);
  response.on('finish', () => {
    response.detachSocket(socket as Socket);
    socket.end();
  });
  await handler.handle(request, response, { socket, head });
}

/** Answers what the HTTP parser could not make sense of. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex, clock: Clock): void {
  // Before the handshake is done there are no words: what is written would wait for its end for ever.
  const shaking = 'secureConnecting' in socket && socket.secureConnecting === true;
  if (error.code === 'ECONNRESET' || shaking || !socket.writable) {
    socket.destroy();
    return;
  }
  const [line, reason] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'RequestHeaderFieldsTooLarge']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'Timeout']
        : ['400 Bad Request', 'BadRequest'];
  const status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: line?.slice(4),
    reason,
    code: Number(line?.slice(0, 3)),
  };
  const body = JSON.stringify(status);
  // Who does not close from its side either is cut off.
  const timer = clock.after(REFUSAL_MS, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  socket.end(
    `HTTP/1.1 ${line}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
