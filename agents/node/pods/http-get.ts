/** One HTTP request to a pod, for probes and hooks. Certificates are not verified, as upstream. */

import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { HttpGetAction } from './kinds.ts';

export type HttpTarget = {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly scheme: 'HTTP' | 'HTTPS';
  readonly headers: readonly { readonly name: string; readonly value: string }[];
};

export type HttpAnswer =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly body: string;
      readonly location?: string;
    }
  | { readonly kind: 'failed'; readonly message: string };

/** Bytes of an answer that are read. */
const BODY_BYTES_MAX = 10 * 1024;

/** The target of an httpGet action against a pod; undefined if the port's name is unknown. */
export function httpTarget(
  action: HttpGetAction,
  how: { readonly podIP: string; readonly port: number },
): HttpTarget {
  const path = action.path || '/';
  return {
    host: action.host || how.podIP,
    port: how.port,
    path: path.startsWith('/') ? path : `/${path}`,
    scheme: action.scheme === 'HTTPS' ? 'HTTPS' : 'HTTP',
    headers: action.httpHeaders ?? [],
  };
}

/** The URL as messages show it. */
export function urlOf({ scheme, host, port, path }: HttpTarget): string {
  const address = host.includes(':') ? `[${host}]` : host;
  return `${scheme.toLowerCase()}://${address}:${port}${path}`;
}

/** Sends a GET; every failure is a value. */
export function httpGet(
  target: HttpTarget,
  how: { readonly userAgent: string; readonly signal: AbortSignal },
): Promise<HttpAnswer> {
  const { host, port, path, scheme } = target;
  const headers: Record<string, string | string[]> = {
    'user-agent': how.userAgent,
    accept: '*/*',
    connection: 'close',
  };
  for (const { name, value } of target.headers) {
    const key = name.toLowerCase();
    const old = headers[key];
    const custom = old !== undefined && !['user-agent', 'accept', 'connection'].includes(key);
    headers[key] = custom ? [old, value].flat() : value;
  }
  const options = { host, port, path, headers, agent: false, signal: how.signal } as const;
  return new Promise((resolve) => {
    const fail = (error: Error) => resolve({ kind: 'failed', message: failureText(target, error) });
    try {
      const onAnswer = (message: IncomingMessage) => {
        read(message).then(resolve, fail);
      };
      const sent =
        scheme === 'HTTPS'
          ? httpsRequest({ ...options, rejectUnauthorized: false }, onAnswer)
          : httpRequest(options, onAnswer);
      sent.on('error', fail);
      sent.end();
    } catch (error) {
      fail(error as Error); // A header or path that cannot be sent.
    }
  });
}

async function read(message: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    size += (chunk as Buffer).length;
    if (size > BODY_BYTES_MAX) break;
    chunks.push(chunk as Buffer);
  }
  const { location } = message.headers;
  return {
    kind: 'answered',
    status: message.statusCode ?? 0,
    body: Buffer.concat(chunks).toString('utf8'),
    ...(location === undefined ? {} : { location }),
  };
}

/** Connection failures in the words upstream's users know. */
export function failureText(target: HttpTarget, error: Error & { code?: string }): string {
  const prefix = `Get "${urlOf(target)}"`;
  const dial = `dial tcp ${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
  switch (error.code) {
    case 'ECONNREFUSED':
      return `${prefix}: ${dial}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `${prefix}: ${dial}: connect: no route to host`;
    case 'ENETUNREACH':
      return `${prefix}: ${dial}: connect: network is unreachable`;
    case 'ECONNRESET':
      return `${prefix}: read: connection reset by peer`;
    case 'ABORT_ERR':
      return `${prefix}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)`;
    default:
      return `${prefix}: ${error.message}`;
  }
}
