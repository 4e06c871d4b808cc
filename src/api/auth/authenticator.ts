/**
 * Who sends a request: a client certificate, a service account's token, or a token known by its hash. The kinds of proof
 * are tried in that order; a request whose proofs all fail is anonymous, and what to do with the
 * anonymous is the caller's decision.
 */

import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import type { UserInfo } from '../types.ts';
import { ClientCertificates } from './client-certificate.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { type HashedTokens, hashToken } from './static-tokens.ts';

/** Finds the user of a request; undefined if it proves nothing. */
export interface Authenticator {
  authenticate(request: IncomingMessage): Promise<UserInfo | undefined>;
  /** The user of a bearer token, with the audiences of `wanted` it is good for (TokenReview). */
  authenticateToken(
    token: string,
    wanted?: readonly string[],
  ): Promise<{ readonly user: UserInfo; readonly audiences: readonly string[] } | undefined>;
}

export type AuthenticatorComponents = {
  readonly clock: Clock;
  readonly serviceAccounts: ServiceAccountTokens;
  readonly hashedTokens?: HashedTokens;
};

export type AuthenticatorOptions = {
  /** Authorities of client certificates, PEM. */
  readonly authorityPems: readonly string[];
};

/** The subprotocol in which browsers, which cannot set headers on WebSockets, carry a token. */
const TOKEN_SUBPROTOCOL = 'base64url.bearer.authorization.k8s.io.';
/** Longer tokens are not ours, and are not worth hashing. */
const TOKEN_LENGTH_MAX = 16 * 1024;

/** The authenticator of the API server. */
export function createAuthenticator(
  components: AuthenticatorComponents,
  options: AuthenticatorOptions,
): Authenticator {
  const { serviceAccounts, hashedTokens } = components;
  const certificates = new ClientCertificates(options.authorityPems, components.clock);

  async function authenticateToken(token: string, wanted?: readonly string[]) {
    if (token.length > TOKEN_LENGTH_MAX) return undefined;
    const user = hashedTokens?.lookup(hashToken(token));
    if (user !== undefined) return { user: withAuthenticated(user), audiences: wanted ?? [] };
    return serviceAccounts.verify(token, wanted);
  }

  async function authenticate(request: IncomingMessage): Promise<UserInfo | undefined> {
    const verdict = certificates.userOf(request.socket as TLSSocket);
    if (typeof verdict !== 'string') return verdict;
    const token = bearerToken(request);
    return token === undefined ? undefined : (await authenticateToken(token))?.user;
  }

  return { authenticate, authenticateToken };
}

function bearerToken(request: IncomingMessage): string | undefined {
  const header = request.headers.authorization;
  if (header !== undefined) {
    return header.slice(0, 7).toLowerCase() === 'bearer ' ? header.slice(7).trim() : undefined;
  }
  const protocols = request.headers['sec-websocket-protocol'];
  const encoded = protocols
    ?.split(',')
    .map((protocol) => protocol.trim())
    .find((protocol) => protocol.startsWith(TOKEN_SUBPROTOCOL));
  if (encoded === undefined) return undefined;
  return Buffer.from(encoded.slice(TOKEN_SUBPROTOCOL.length), 'base64url').toString();
}

function withAuthenticated(user: UserInfo): UserInfo {
  if (user.groups.includes('system:authenticated')) return user;
  return { ...user, groups: [...user.groups, 'system:authenticated'] };
}
