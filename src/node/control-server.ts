/**
 * The control socket: a small JSON API on a Unix socket in the data directory, for the `skein` command on the
 * same machine. Whoever can open the socket (root) may use it; it needs neither certificates nor a quorum.
 */

import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';

export type ControlHandler = (
  body: Readonly<Record<string, unknown>>,
  path: string,
) => Promise<object> | object;

/** Handlers by `METHOD /path`; a path ending in `/` takes everything below it. */
export type ControlRoutes = Readonly<Record<string, ControlHandler>>;

export interface ControlServer {
  close(): Promise<void>;
}

const BODY_BYTES_MAX = 64 * 1024;

/** Listens on `socketPath`, replacing the socket a dead process left. */
export async function serveControl(
  socketPath: string,
  routes: ControlRoutes,
  log: Logger,
): Promise<ControlServer> {
  await rm(socketPath, { force: true });
  const server = createServer((request, response) => {
    answer(request, routes).then(
      (value) => send(response, 200, value),
      (error: unknown) => {
        const known = error instanceof SkeinError;
        if (!known) log.error({ error, url: request.url }, 'a control request failed');
        send(response, known ? 400 : 500, { message: messageOf(error) });
      },
    );
  });
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, resolve);
    });
  } finally {
    process.umask(before);
  }
  await chmod(socketPath, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, routes: ControlRoutes): Promise<object> {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  const exact = routes[`${request.method} ${path}`];
  const parent = routes[`${request.method} ${path.slice(0, path.lastIndexOf('/') + 1)}`];
  const handler = exact ?? parent;
  if (!handler)
    throw new SkeinError('config-invalid', `no such request: ${request.method} ${path}`);
  return handler(await readBody(request), decodeURIComponent(path));
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new SkeinError('frame-too-large', 'the request is too large');
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Falls through to the error below.
  }
  throw new SkeinError('config-invalid', 'the body must be a JSON object');
}

function send(response: ServerResponse, code: number, value: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
