/**
 * Talks to the Skein process of this machine over its control socket: a Unix socket in the data
 * directory that only root can open. It works without certificates and without a quorum.
 */

import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { ERROR_CODES, type ErrorCode, SkeinError } from '../lib/errors.ts';

/** Default place of everything a node keeps. */
export const DEFAULT_DATA_DIR = '/var/lib/skein';

export const controlSocketPath = (dataDir: string): string => `${dataDir}/skein.sock`;

export type ControlRequest = {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: object;
  /** Default 10 s. */
  readonly deadlineMs?: number;
};

/**
 * Sends one request and resolves with the decoded JSON answer. Rejects with peer-unreachable when no
 * Skein process listens, deadline-exceeded when it does not answer, and with the process's own error when it refuses.
 */
export async function callControl<T>(socketPath: string, options: ControlRequest): Promise<T> {
  const { method, path, body, deadlineMs = 10_000 } = options;
  const signal = AbortSignal.timeout(deadlineMs);
  const headers = { 'content-type': 'application/json' };
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = await exchange({ socketPath, method, path, headers, signal }, text).catch(
    (cause: unknown) => {
      throw signal.aborted ? late(deadlineMs, cause) : unanswered(socketPath, cause);
    },
  );
  const value = parse(answer.text);
  if (answer.status < 300 && value !== undefined) return value as T;
  throw refusal(answer.text);
}

/** The process's own error, as it came. */
function refusal(text: string): SkeinError {
  const { message, code } = (parse(text) ?? {}) as { message?: unknown; code?: unknown };
  if (typeof message !== 'string') {
    return new SkeinError('remote-failed', `unexpected answer: ${text.slice(0, 200)}`);
  }
  return new SkeinError(isErrorCode(code) ? code : 'remote-failed', message);
}

/**
 * Sends one request whose answer is a stream of bytes; the result ends when the answer does, whole or not: that is for
 * its reader to know. Rejects as callControl does; `deadlineMs` is for the beginning of the answer.
 */
export async function streamControl(
  socketPath: string,
  options: ControlRequest,
): Promise<AsyncIterable<Buffer>> {
  const { method, path, body, deadlineMs = 10_000 } = options;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { 'content-type': 'application/json' };
  const call = request({ socketPath, method, path, headers }, resolve);
  const timer = setTimeout(() => call.destroy(late(deadlineMs, undefined)), deadlineMs);
  call.on('error', (cause) =>
    reject(cause instanceof SkeinError ? cause : unanswered(socketPath, cause)),
  );
  call.end(JSON.stringify(body ?? {}));
  const response = await promise.finally(() => clearTimeout(timer));
  if (response.statusCode === 200) return response;
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  throw refusal(Buffer.concat(chunks).toString('utf8'));
}

type Answer = { readonly status: number; readonly text: string };

function exchange(options: RequestOptions, body: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 500, text });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);

function late(deadlineMs: number, cause: unknown): SkeinError {
  const text = `the Skein process of this machine did not answer within ${deadlineMs / 1000} s`;
  return new SkeinError('deadline-exceeded', text, { cause, retryable: true });
}

function unanswered(socketPath: string, cause: unknown): SkeinError {
  const denied = ['EACCES', 'EPERM'].includes((cause as NodeJS.ErrnoException).code ?? '');
  const remedy = denied
    ? 'permission is denied; run this command as root'
    : 'is "skein up" running on this machine, and is --data-dir the same?';
  return new SkeinError(
    'peer-unreachable',
    `no Skein process answers at ${socketPath}: ${remedy}`,
    { cause, retryable: true },
  );
}
