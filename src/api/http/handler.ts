/**
 * The life of one request: limits, the open paths, authentication, impersonation, then the router; whatever goes wrong
 * on the way becomes a Status. Nothing thrown here reaches the process.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../lib/clock.ts';
import { SkeinError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/logger.ts';
import { Counter, Gauge, Histogram, type Registry } from '../../lib/metrics.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import { asksToImpersonate, impersonated } from '../auth/impersonation.ts';
import { versionInfo } from '../discovery/version.ts';
import { toApiError } from '../status.ts';
import type { UserInfo } from '../types.ts';
import { tooManyRequests, unauthorized, wrongMethod } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { type HealthCheck, healthPath, serveHealth } from './health.ts';
import { Query } from './query.ts';
import { sendStatus, sendValue } from './respond.ts';
import type { RouteLabels, Router } from './router.ts';

export type HandlerComponents = {
  readonly router: Router;
  readonly authenticator: Authenticator;
  readonly health: readonly HealthCheck[];
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly clock: Clock;
};

export type HandlerOptions = {
  readonly skeinVersion: string;
  /** Requests in progress at once, watches and streams apart. */
  readonly requestsMax: number;
  /** Watches and streams in progress at once. */
  readonly longRequestsMax: number;
  readonly requestTimeoutMs: number;
};

type Metrics = {
  readonly requests: Counter;
  readonly seconds: Histogram;
  readonly inflight: Gauge;
};

/** Handles requests and upgrades of one server. */
export class RequestHandler {
  readonly #components: HandlerComponents;
  readonly #options: HandlerOptions;
  readonly #version: object;
  readonly #metrics: Metrics;
  /** Fires when watches and streams must end. */
  readonly #closing = new AbortController();
  /** Fires when nothing is waited for any more. */
  readonly #cutting = new AbortController();
  #short = 0;
  #long = 0;

  constructor(components: HandlerComponents, options: HandlerOptions) {
    this.#components = components;
    this.#options = options;
    this.#version = versionInfo(options.skeinVersion);
    this.#metrics = createApiMetrics(components.metrics);
  }

  /** Requests in progress, watches included. */
  get inflight(): number {
    return this.#short + this.#long;
  }

  /** Ends watches and streams; what is nearly done may still be answered. */
  close(): void {
    this.#closing.abort(stopping());
  }

  /** Ends every wait. */
  cut(): void {
    this.#cutting.abort(stopping());
  }

  /** Answers one request; `upgrade` is given when the client asked to leave HTTP. Never rejects. */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade?: { readonly socket: Duplex; readonly head: Buffer },
  ): Promise<void> {
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = mark < 0 ? Query.none : new Query(url.slice(mark + 1));
    // Without a listener a connection reset while answering would be an uncaught error.
    response.on('error', ignore);
    const health = healthPath(path);
    if (health !== undefined) {
      serveHealth({ query, response }, health, this.#components.health);
      return;
    }
    if (path === '/version' || path === '/version/') {
      if (request.method === 'GET' || request.method === 'HEAD') {
        sendValue(response, 200, this.#version);
      } else sendStatus(response, wrongMethod().status);
      return;
    }
    const warnings: string[] = [];
    const labels: RouteLabels = { verb: (request.method ?? '').toLowerCase(), resource: '' };
    const startMs = this.#components.clock.monotonicMs();
    if (this.#short >= this.#options.requestsMax) {
      sendStatus(response, tooManyRequests().status);
      return;
    }
    const controller = new AbortController();
    const slot = this.#occupy(controller, response);
    try {
      const user = await this.#userOf(request);
      const exchange: Exchange = {
        request,
        response,
        path,
        query,
        user,
        signal: controller.signal,
        warnings,
        ...(upgrade === undefined ? {} : { upgrade }),
        withoutDeadline: () => slot.lengthen(),
      };
      await this.#components.router.route(exchange, labels);
    } catch (error) {
      this.#fail(error, response, labels, warnings);
    } finally {
      slot.release();
      this.#measure(response, labels, startMs);
    }
  }

  async #userOf(request: IncomingMessage): Promise<UserInfo> {
    const user = await this.#components.authenticator.authenticate(request);
    if (user === undefined) throw unauthorized();
    return asksToImpersonate(request) ? impersonated(request, user) : user;
  }

  /** Takes a place among the requests in progress and starts the deadline. */
  #occupy(controller: AbortController, response: ServerResponse) {
    const { clock } = this.#components;
    const { requestTimeoutMs, longRequestsMax } = this.#options;
    const expire = () => {
      const error = new SkeinError(
        'deadline-exceeded',
        `the request did not complete within ${requestTimeoutMs} ms`,
      );
      controller.abort(error);
      // Work that overlooks the signal must not leave the client without an answer.
      sendStatus(response, toApiError(error).status);
    };
    const onClose = () => controller.abort(new SkeinError('aborted', 'the client went away'));
    const onClosing = () => controller.abort(stopping());
    const timer = clock.after(requestTimeoutMs, expire);
    response.once('close', onClose);
    this.#cutting.signal.addEventListener('abort', onClosing, { once: true });
    let long = false;
    this.#short++;
    return {
      lengthen: () => {
        if (long) return;
        if (this.#long >= longRequestsMax) throw tooManyRequests();
        long = true;
        this.#short--;
        this.#long++;
        timer.cancel();
        if (this.#closing.signal.aborted) onClosing();
        else this.#closing.signal.addEventListener('abort', onClosing, { once: true });
      },
      release: () => {
        timer.cancel();
        response.off('close', onClose);
        this.#closing.signal.removeEventListener('abort', onClosing);
        this.#cutting.signal.removeEventListener('abort', onClosing);
        if (long) this.#long--;
        else this.#short--;
      },
    };
  }

  #fail(
    error: unknown,
    response: ServerResponse,
    labels: RouteLabels,
    warnings: readonly string[],
  ): void {
    const { status } = toApiError(error);
    if (status.code >= 500 && status.reason === 'InternalError') {
      this.#components.logger.error({ error, ...labels }, 'a request failed inside the API server');
    }
    sendStatus(response, status, warnings);
  }

  #measure(response: ServerResponse, labels: RouteLabels, startMs: number): void {
    const { logger, clock } = this.#components;
    const { requests, seconds, inflight } = this.#metrics;
    const elapsedMs = clock.monotonicMs() - startMs;
    const { verb, resource } = labels;
    requests.inc({ verb, resource, code: response.statusCode });
    if (verb !== 'watch') seconds.observe({ verb }, elapsedMs / 1000);
    inflight.set(this.inflight);
    logger.debug({ verb, resource, code: response.statusCode, elapsedMs }, 'request');
  }
}

function createApiMetrics(registry: Registry): Metrics {
  const registers = [registry];
  return {
    requests: new Counter({
      name: 'apiserver_request_total',
      help: 'Requests answered, by verb, resource and status code.',
      labelNames: ['verb', 'resource', 'code'],
      registers,
    }),
    seconds: new Histogram({
      name: 'apiserver_request_duration_seconds',
      help: 'Time from the head of a request to the end of its handling, watches excepted.',
      labelNames: ['verb'],
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
      registers,
    }),
    inflight: new Gauge({
      name: 'apiserver_current_inflight_requests',
      help: 'Requests in progress, watches and streams included.',
      registers,
    }),
  };
}

function stopping(): SkeinError {
  return new SkeinError('aborted', 'the API server is stopping');
}

function ignore(): void {}
