/**
 * Noise's cipher with keys that are prepared once. Node takes a key that is given as bytes for an object first and finds out by an
 * exception that it is none, for every packet: three quarters of what sealing a packet of ordinary size costs.
 */

import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import type { ConnectionEncrypter } from '@libp2p/interface';
import type { Uint8ArrayList } from 'uint8arraylist';

type Bytes = Uint8Array | Uint8ArrayList<ArrayBufferLike>;
type Seal = (text: Bytes, nonce: Uint8Array, data: Uint8Array, key: Uint8Array) => Bytes;
type Open = (
  sealed: Bytes,
  nonce: Uint8Array,
  data: Uint8Array,
  key: Uint8Array,
  target?: Bytes,
) => Bytes;
type Ciphers = { encrypt: Seal; decrypt: Open };

const ALGORITHM = 'chacha20-poly1305';
const TAG_BYTES = 16;
/** Below it, noise's own implementation in WebAssembly is the faster one. */
const SHORT_BYTES = 600;

/** Replaces the ciphers of noise's encrypter; one of another kind is left as it is. */
export function prepareKeys(encrypter: ConnectionEncrypter): void {
  const { crypto } = encrypter as { crypto?: Partial<Ciphers> };
  const { encrypt, decrypt } = crypto ?? {};
  if (crypto === undefined || encrypt === undefined || decrypt === undefined) return;
  crypto.encrypt = (text, nonce, data, key) =>
    text.byteLength < SHORT_BYTES
      ? encrypt(text, nonce, data, key)
      : seal(text.subarray(), nonce, data, key);
  crypto.decrypt = (sealed, nonce, data, key, target) =>
    sealed.byteLength < SHORT_BYTES
      ? decrypt(sealed, nonce, data, key, target)
      : open(sealed.subarray(), nonce, data, key);
}

/** By the very bytes noise holds for the life of a connection, which it never changes. */
const prepared = new WeakMap<Uint8Array, KeyObject>();

function keyOf(bytes: Uint8Array): KeyObject {
  const known = prepared.get(bytes);
  if (known !== undefined) return known;
  const key = createSecretKey(bytes);
  prepared.set(bytes, key);
  return key;
}

/** `data` is authenticated with the text (RFC 8439, section 2.8). */
function seal(text: Uint8Array, nonce: Uint8Array, data: Uint8Array, key: Uint8Array): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, keyOf(key), nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(data, { plaintextLength: text.byteLength });
  const parts = [cipher.update(text), cipher.final()];
  return Buffer.concat([...parts, cipher.getAuthTag()]);
}

/** Throws if anything of it was changed. */
function open(
  sealed: Uint8Array,
  nonce: Uint8Array,
  data: Uint8Array,
  key: Uint8Array,
): Uint8Array {
  const end = sealed.byteLength - TAG_BYTES;
  const decipher = createDecipheriv(ALGORITHM, keyOf(key), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(data, { plaintextLength: end });
  decipher.setAuthTag(sealed.subarray(end));
  const text = decipher.update(sealed.subarray(0, end));
  const rest = decipher.final();
  return rest.byteLength === 0 ? text : Buffer.concat([text, rest]);
}
