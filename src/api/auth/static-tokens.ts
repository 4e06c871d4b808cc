/** Bearer tokens known by their hash: the secret itself is never stored. */

import { createHash, randomBytes } from 'node:crypto';
import type { UserInfo } from '../types.ts';

/** Where hashed tokens are kept (the replicated state, a file). */
export interface HashedTokens {
  /** The user for the hex SHA-256 of a token. */
  lookup(hash: string): UserInfo | undefined;
}

/** Hex SHA-256 of a token. Tokens are long random strings, so a plain hash cannot be reversed by search. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** A new random token, 256 bits, URL-safe. */
export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/** A fixed table, hash to user. */
export function tokenTable(entries: ReadonlyMap<string, UserInfo>): HashedTokens {
  return { lookup: (hash) => entries.get(hash) };
}
