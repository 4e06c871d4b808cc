/**
 * The join token: all a new machine needs to find the cluster, to know that it found the right one,
 * and to be let in. Text `skein1.` and base64url of a checksum and msgpack [id, CA hash, secret,
 * addresses]. Whoever holds it can join, until it expires: it is a secret.
 */

import { crc32 } from 'node:zlib';
import { multiaddr } from '@multiformats/multiaddr';
import { SkeinError } from '../lib/errors.ts';
import { decode, encode } from './codec.ts';
import type { PeerId } from './types.ts';

export type JoinToken = {
  /** Names the secret at the cluster; public. */
  readonly id: string;
  /** SHA-256 of the cluster's CA certificate (DER): 32 bytes. */
  readonly caHash: Uint8Array;
  /** 32 random bytes. */
  readonly secret: Uint8Array;
  /** Multiaddrs of members, each ending in `/p2p/<peer id>`. */
  readonly addresses: readonly string[];
};

const PREFIX = 'skein1.';
const CHECKSUM_BYTES = 4;
const KEY_BYTES = 32;
const ADDRESSES_MAX = 64;
const TEXT_MAX = 16 * 1024;

/** The token as text, for people to pass on. Throws config-invalid if a part is not as stated. */
export function encodeToken(token: JoinToken): string {
  check(token);
  const body = encode([token.id, token.caHash, token.secret, token.addresses]);
  const checksum = Buffer.alloc(CHECKSUM_BYTES);
  checksum.writeUInt32BE(crc32(body));
  return PREFIX + Buffer.concat([checksum, body]).toString('base64url');
}

/** Reads a token. Throws config-invalid with a text that says what is wrong with it. */
export function parseToken(text: string): JoinToken {
  const trimmed = text.trim();
  if (trimmed === '') throw invalid('the join token is empty');
  if (trimmed.length > TEXT_MAX) throw invalid('this is too long to be a join token');
  if (!trimmed.startsWith(PREFIX)) {
    const version = /^skein(\d+)\./.exec(trimmed)?.[1];
    if (version !== undefined) {
      throw invalid(`the join token is of version ${version}, this program reads version 1`);
    }
    throw invalid(`this is no join token: a join token begins with ${PREFIX}`);
  }
  const encoded = trimmed.slice(PREFIX.length);
  const stray = /[^A-Za-z0-9_-]/.exec(encoded)?.[0];
  if (stray !== undefined) {
    throw invalid(`the join token contains ${JSON.stringify(stray)}, which no token does`);
  }
  const bytes = Buffer.from(encoded, 'base64url');
  const body = bytes.subarray(CHECKSUM_BYTES);
  if (bytes.length <= CHECKSUM_BYTES || bytes.readUInt32BE(0) !== crc32(body)) {
    throw invalid(
      'the join token is incomplete or mistyped (its checksum is wrong): copy it whole',
    );
  }
  const token = fromParts(decode(body));
  check(token);
  return token;
}

/** The peer id at the end of a token's address. */
export function peerOf(address: string): PeerId {
  const peer = /\/p2p\/([^/]+)$/.exec(address)?.[1];
  if (peer === undefined) throw invalid(`the address ${address} of the token lacks the peer id`);
  return peer;
}

function fromParts(parts: unknown): JoinToken {
  if (Array.isArray(parts)) {
    const [id, caHash, secret, addresses] = parts as unknown[];
    const whole =
      typeof id === 'string' &&
      caHash instanceof Uint8Array &&
      secret instanceof Uint8Array &&
      Array.isArray(addresses) &&
      addresses.every((address) => typeof address === 'string');
    if (whole) return { id, caHash, secret, addresses };
  }
  throw invalid('the join token holds something else than a token');
}

function check(token: JoinToken): void {
  if (token.id === '') throw invalid('the join token has no id');
  if (token.caHash.byteLength !== KEY_BYTES)
    throw invalid('the CA hash of the token is no SHA-256');
  if (token.secret.byteLength !== KEY_BYTES)
    throw invalid('the secret of the token has no 32 bytes');
  if (token.addresses.length === 0) throw invalid('the join token names no address to ask at');
  if (token.addresses.length > ADDRESSES_MAX) {
    throw invalid(`the join token names more than ${ADDRESSES_MAX} addresses`);
  }
  for (const address of token.addresses) {
    peerOf(address);
    try {
      multiaddr(address);
    } catch (cause) {
      throw new SkeinError('config-invalid', `the token's address ${address} cannot be read`, {
        cause,
      });
    }
  }
}

function invalid(message: string): SkeinError {
  return new SkeinError('config-invalid', message);
}
