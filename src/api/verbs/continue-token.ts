/**
 * The opaque token between two pages of a list: the revision that all pages show, and where to go
 * on.
 */

import type { Key, Revision } from '../../store/types.ts';
import { badRequest } from '../status.ts';

/** Format of the token; another one is refused rather than misread. */
const TOKEN_VERSION = 'skein.io/1';
const TOKEN_LENGTH_MAX = 4_096;

export type Position = {
  /** Undefined: whatever is newest; the list as a whole is then not of one revision. */
  readonly revision: Revision | undefined;
  /** Key of the last object already sent. */
  readonly after: Key;
};

/** The token for going on behind `position`. */
export function encodeContinue(position: Position): string {
  const { revision = -1, after } = position;
  return Buffer.from(JSON.stringify({ v: TOKEN_VERSION, rv: revision, after })).toString(
    'base64url',
  );
}

/** Undoes encodeContinue; a damaged token, or one of another list, is a bad request. */
export function decodeContinue(token: string, prefix: string): Position {
  const wrong = (why: string) => badRequest(`continue key is not valid: ${why}`);
  if (token.length > TOKEN_LENGTH_MAX) throw wrong('too long');
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    throw wrong('not a token of this server');
  }
  const { v, rv, after } = (value ?? {}) as { v?: unknown; rv?: unknown; after?: unknown };
  if (v !== TOKEN_VERSION) throw wrong('not a token of this version');
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv === 0) throw wrong('bad revision');
  if (typeof after !== 'string' || !after.startsWith(prefix))
    throw wrong('it belongs to another list');
  return { revision: rv < 0 ? undefined : (rv as Revision), after };
}
