/**
 * AES-256-GCM with a nonce derived from what it seals: equal input gives equal bytes, on every member and at every time,
 * and two different inputs never share a nonce, however often a process restarts and whatever its source of randomness is worth.
 *
 * Two keys are derived from the given one. With the first, HMAC-SHA256 over the place and the plaintext gives the nonce
 * (cut to 96 bits: a collision becomes likely after about 2^48 values); with the second the value is encrypted. The place,
 * that is where the value belongs, is authenticated: what was sealed for one place opens at no other.
 */

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { invariant } from '../lib/invariant.ts';

/** Bytes of every key. */
export const KEY_BYTES = 32;
/** By how much a sealed value is longer than the value. */
export const SEAL_OVERHEAD_BYTES = 28;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';

/** Seals and opens under one key. The key's bytes are in no property, so no log and no inspection shows them. */
export class Sealer {
  readonly #encryption: KeyObject;
  readonly #nonces: KeyObject;

  /** @param key 32 secret bytes. @param purpose tells apart what is done with one key; part of the format. */
  constructor(key: Uint8Array, purpose: string) {
    invariant(key.length === KEY_BYTES, 'a key has 32 bytes', { bytes: key.length });
    this.#encryption = createSecretKey(derive(key, `skein ${purpose}: encryption`));
    this.#nonces = createSecretKey(derive(key, `skein ${purpose}: nonces`));
  }

  /** `nonce (12) | ciphertext | tag (16)`; the same for the same input. */
  seal(place: string, plaintext: Uint8Array): Buffer {
    const context = Buffer.from(place);
    const nonce = this.#nonceOf(context, plaintext);
    const cipher = createCipheriv(ALGORITHM, this.#encryption, nonce).setAAD(context);
    const body = cipher.update(plaintext);
    cipher.final();
    const sealed = Buffer.allocUnsafeSlow(plaintext.length + SEAL_OVERHEAD_BYTES);
    sealed.set(nonce, 0);
    sealed.set(body, NONCE_BYTES);
    sealed.set(cipher.getAuthTag(), NONCE_BYTES + body.length);
    return sealed;
  }

  /** The plaintext, in memory of its own; undefined when the value was changed, or sealed for another place or under another key. */
  open(place: string, sealed: Uint8Array): Buffer | undefined {
    if (sealed.length < SEAL_OVERHEAD_BYTES) return undefined;
    const end = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv(ALGORITHM, this.#encryption, sealed.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(place))
      .setAuthTag(sealed.subarray(end));
    const plaintext = decipher.update(sealed.subarray(NONCE_BYTES, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  }

  /** The place's length comes first: otherwise a longer place with a shorter value could have the same nonce. */
  #nonceOf(context: Buffer, plaintext: Uint8Array): Buffer {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(context.length);
    const hmac = createHmac('sha256', this.#nonces);
    return hmac.update(length).update(context).update(plaintext).digest().subarray(0, NONCE_BYTES);
  }
}

/** 32 bytes that tell nothing of `key`, nor of what is derived for another purpose (HKDF-SHA256, RFC 5869). */
export function derive(key: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, new Uint8Array(0), purpose, KEY_BYTES));
}
