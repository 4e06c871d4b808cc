/**
 * The control socket: a small JSON API on a Unix socket in the data directory, for the `skein` command on the
 * same machine. Whoever can open the socket (root) may use it; it needs neither certificates nor a quorum.
 */

import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';

/** An answer of bytes instead of JSON. */
export class ControlStream {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Called once when the answer is over, however it ended. */
  readonly end: () => void;

  constructor(chunks: AsyncIterable<Uint8Array>, end: () => void = () => {}) {
    this.chunks = chunks;
    this.end = end;
  }
}

export type ControlHandler = (
  body: Readonly<Record<string, unknown>>,
  /** The decoded path. */
  path: string,
) => Promise<object> | object;

/** Handlers by `METHOD /path`; a path ending in `/` takes everything one level below it. */
export type ControlRoutes = Readonly<Record<string, ControlHandler>>;

export interface ControlServer {
  close(): Promise<void>;
}

const BODY_BYTES_MAX = 64 * 1024;
/** How long a reader of a stream may take nothing. */
const STREAM_IDLE_MS = 60_000;
/** What the kernel takes as the path of a Unix socket, its end included. */
const SOCKET_PATH_BYTES_MAX = 107;
const SOCKET_MODE = 0o600;

/** Listens on `socketPath`, replacing the socket a dead process left. Rejects with config-invalid when the path is too long. */
export async function serveControl(
  socketPath: string,
  routes: ControlRoutes,
  log: Logger,
): Promise<ControlServer> {
  checkSocketPath(socketPath);
  await rm(socketPath, { force: true });
  const server = createServer((request, response) => {
    answer(request, routes).then(
      (value) => {
        if (value instanceof ControlStream) return stream(response, value, log);
        return send(response, 200, value);
      },
      (error: unknown) => {
        const known = error instanceof SkeinError;
        if (!known) log.error({ error, url: request.url }, 'a control request failed');
        const code = known ? error.code : undefined;
        send(response, known ? 400 : 500, { message: messageOf(error), code });
      },
    );
  });
  // Nobody else may connect in the moment between bind and chmod either.
  const before = process.umask(0o777 & ~SOCKET_MODE);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, resolve);
    });
  } finally {
    process.umask(before);
  }
  await chmod(socketPath, SOCKET_MODE);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Throws config-invalid for a path that no Unix socket can have. */
export function checkSocketPath(socketPath: string): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return;
  throw new SkeinError(
    'config-invalid',
    `--data-dir: the control socket ${socketPath} would have a path of ${bytes} bytes, and ${SOCKET_PATH_BYTES_MAX} are possible; choose a shorter directory`,
  );
}

async function answer(request: IncomingMessage, routes: ControlRoutes): Promise<object> {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  const exact = routes[`${request.method} ${path}`];
  const parent = routes[`${request.method} ${path.slice(0, path.lastIndexOf('/') + 1)}`];
  const handler = exact ?? parent;
  if (!handler)
    throw new SkeinError('config-invalid', `no such request: ${request.method} ${path}`);
  const body = await readBody(request);
  return handler(body, decodePath(path));
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new SkeinError('config-invalid', `the path ${path} cannot be read`, { cause });
  }
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // What is too much is read to its end and dropped: an answer needs a writer that has finished.
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  if (bytes > BODY_BYTES_MAX) {
    const text = `the request has ${bytes} bytes, and ${BODY_BYTES_MAX} are taken`;
    throw new SkeinError('frame-too-large', text);
  }
  if (bytes === 0) return {};
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (isObject) return value as Record<string, unknown>;
  } catch {
    // Falls through to the error below.
  }
  throw new SkeinError('config-invalid', 'the body must be a JSON object');
}

/** A stream that ends early, by whatever fault, ends without its proper end: the reader cannot take it for whole. */
async function stream(response: ServerResponse, value: ControlStream, log: Logger): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  response.setTimeout(STREAM_IDLE_MS, () => response.destroy());
  try {
    await pipeline(value.chunks, response);
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'a stream to the control socket broke off');
  } finally {
    value.end();
  }
}

function send(response: ServerResponse, code: number, value: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
