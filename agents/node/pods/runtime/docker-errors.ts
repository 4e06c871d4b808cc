/**
 * What Docker's refusals mean. Its API says most things in prose only: this file is the one place that
 * reads it.
 */

import { messageOf, SkeinError } from '../../../../src/lib/errors.ts';

/** The parts of dockerode's errors that we use. */
type DockerFailure = {
  readonly statusCode?: number;
  readonly json?: { readonly message?: string };
  readonly code?: string;
};

/** HTTP status of a refusal by the daemon; undefined when it did not answer. */
export function statusCodeOf(error: unknown): number | undefined {
  return (error as DockerFailure | undefined)?.statusCode;
}

/** The daemon's own words, without the client's decoration. */
export function dockerMessage(error: unknown): string {
  const json = (error as DockerFailure | undefined)?.json;
  return json?.message ?? messageOf(error);
}

/** The operational error for a failed call: retryable when the daemon was away or failed inside. */
export function runtimeError(what: string, error: unknown): SkeinError {
  if (error instanceof SkeinError) return error;
  const status = statusCodeOf(error);
  return new SkeinError('runtime-failed', `${what}: ${dockerMessage(error)}`, {
    cause: error,
    retryable: status === undefined || status >= 500,
  });
}

/** How Docker reports that nobody answered at the registry's address. */
const UNREACHABLE = [
  'dial tcp',
  'dial udp',
  'no such host',
  'connection refused',
  'connection reset',
  'network is unreachable',
  'no route to host',
  'i/o timeout',
  'tls handshake timeout',
  'client.timeout exceeded',
  'context deadline exceeded',
  'server misbehaving',
  'temporary failure in name resolution',
  'unexpected eof',
];

/** True if a failed pull means that the registry did not answer, rather than that it refused. */
export function isRegistryUnreachable(message: string): boolean {
  const text = message.toLowerCase();
  return UNREACHABLE.some((phrase) => text.includes(phrase));
}
