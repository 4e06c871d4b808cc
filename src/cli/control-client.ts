/**
 * Talks to the Skein process of this machine over its control socket: a Unix socket in the data
 * directory that only root can open. It works without certificates and without a quorum.
 */

import { request } from 'node:http';
import { SkeinError } from '../lib/errors.ts';

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
 * Skein process listens, and with the process's own error text when it refuses.
 */
export function callControl<T>(socketPath: string, options: ControlRequest): Promise<T> {
  const { method, path, body, deadlineMs = 10_000 } = options;
  return new Promise<T>((resolve, reject) => {
    const call = request(
      {
        socketPath,
        method,
        path,
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(deadlineMs),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const ok = (response.statusCode ?? 500) < 300;
          try {
            const answer = JSON.parse(text) as T & { message?: string };
            if (ok) resolve(answer);
            else reject(new SkeinError('api-status', answer.message ?? text));
          } catch (cause) {
            reject(new SkeinError('api-status', `unexpected answer: ${text}`, { cause }));
          }
        });
      },
    );
    call.on('error', (cause) => {
      reject(
        new SkeinError(
          'peer-unreachable',
          `no Skein process answers at ${socketPath}; is "skein up" running on this machine, and are you root?`,
          { cause, retryable: true },
        ),
      );
    });
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
