/** A certificate and its key, as a user would have them. */

import { createAuthority, type KeyPair } from '../../../src/api/auth/pki.ts';

let made: Promise<KeyPair> | undefined;

/** The same pair on every call. */
export function tls(): Promise<KeyPair> {
  made ??= createAuthority();
  return made;
}
