/**
 * Join tokens in the replicated state: any member can issue one, any member can verify one. What is kept is the
 * secret itself, because both sides prove knowledge of it by HMAC; it ends with its time to live.
 */

import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { internalKey } from '../store/keys.ts';
import type { Store, StoreReader } from '../store/types.ts';

const AREA = 'join-tokens';
export const JOIN_TOKENS_PREFIX = `/skein/${AREA}/`;
const SECRET_BYTES = 32;
/** Default life of a token. */
export const TOKEN_TTL_SECONDS = 24 * 3600;

type TokenRecord = {
  readonly id: string;
  /** Base64url. */
  readonly secret: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
};

export type TokenInfo = { readonly id: string; readonly expiresAtMs: number };

/** Issues a token that ends after `ttlSeconds`; ended ones are swept on the way. */
export async function issueToken(
  store: Store,
  clock: Clock,
  ttlSeconds: number,
): Promise<{ readonly id: string; readonly secret: Uint8Array }> {
  const id = randomUUID();
  const secret = randomBytes(SECRET_BYTES);
  const nowMs = clock.nowMs();
  const record: TokenRecord = {
    id,
    secret: secret.toString('base64url'),
    createdAtMs: nowMs,
    expiresAtMs: nowMs + ttlSeconds * 1000,
  };
  const value = Buffer.from(JSON.stringify(record));
  const ended = readTokens(store).filter(({ expiresAtMs }) => expiresAtMs <= nowMs);
  await store.transact({
    checks: [],
    operations: [
      { op: 'put', key: internalKey(AREA, id), value, revisionOffset: -1 },
      ...ended.map((token) => ({ op: 'delete', key: internalKey(AREA, token.id) }) as const),
    ],
  });
  return { id, secret };
}

function readTokens(store: StoreReader): TokenRecord[] {
  const listed = store.list(JOIN_TOKENS_PREFIX);
  return listed.kind === 'listed' ? listed.items.map((item) => item.object as TokenRecord) : [];
}

/** The secret of a token that has not ended, or undefined. */
export function tokenSecret(store: StoreReader, clock: Clock, id: string): Uint8Array | undefined {
  const record = store.get(internalKey(AREA, id))?.object as TokenRecord | undefined;
  if (!record || record.expiresAtMs <= clock.nowMs()) return undefined;
  return Buffer.from(record.secret, 'base64url');
}

/** Tokens that have not ended, without their secrets. */
export function listTokens(store: StoreReader, clock: Clock): readonly TokenInfo[] {
  return readTokens(store)
    .filter(({ expiresAtMs }) => expiresAtMs > clock.nowMs())
    .map(({ id, expiresAtMs }) => ({ id, expiresAtMs }));
}

/** Ends a token at once. Returns false when there is none of that id. */
export async function revokeToken(store: Store, id: string): Promise<boolean> {
  const key = internalKey(AREA, id);
  const result = await store.transact({
    checks: [{ key, is: 'present' }],
    operations: [{ op: 'delete', key }],
  });
  return result.kind === 'committed';
}
