/**
 * The key of a cluster: what every member holds on disk and nothing replicated contains. Data keys, which the replicated state
 * carries, are wrapped under it; so a log, a snapshot or a backup alone opens nothing.
 */

import { createHash, randomBytes } from 'node:crypto';
import { SkeinError } from '../lib/errors.ts';
import { DataKey } from './data-key.ts';
import { derive, KEY_BYTES, Sealer } from './sealer.ts';

const PREFIX = 'skein-key1.';
const CHECK_BYTES = 4;
const ID_LENGTH = 16;

/** A data key as it may be seen by anybody. */
export type WrappedKey = {
  readonly id: string;
  /** Base64 of the data key, sealed under the cluster key. */
  readonly wrapped: string;
  /** The cluster key's id. */
  readonly clusterKey: string;
};

/** Wraps and unwraps data keys. */
export class ClusterKey {
  /** Names the key and tells nothing of it. */
  readonly id: string;
  readonly #bytes: Buffer;
  readonly #wrapper: Sealer;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#wrapper = new Sealer(bytes, 'cluster key');
    this.id = derive(bytes, 'skein cluster key: id').toString('hex').slice(0, ID_LENGTH);
  }

  /** A new random key. */
  static generate(): ClusterKey {
    return new ClusterKey(randomBytes(KEY_BYTES));
  }

  /**
   * The key of a cluster that was made before there were cluster keys: every member has the authority's key, so each comes
   * to the same one without asking anybody.
   */
  static fromAuthority(keyPem: string): ClusterKey {
    return new ClusterKey(derive(Buffer.from(keyPem.trim()), 'skein cluster key of an authority'));
  }

  /** Reads what `toText` wrote. Throws config-invalid; the message does not repeat the text. */
  static fromText(text: string): ClusterKey {
    const trimmed = text.trim();
    const bytes = Buffer.from(trimmed.slice(PREFIX.length), 'base64url');
    const key = bytes.subarray(0, KEY_BYTES);
    const whole =
      bytes.length === KEY_BYTES + CHECK_BYTES &&
      // Decoding passes over what is no base64.
      trimmed === PREFIX + bytes.toString('base64url') &&
      bytes.subarray(KEY_BYTES).equals(checkOf(key));
    if (whole) return new ClusterKey(Buffer.from(key));
    throw new SkeinError(
      'config-invalid',
      `this is no cluster key: expected ${PREFIX} and ${Math.ceil(((KEY_BYTES + CHECK_BYTES) * 4) / 3)} letters and digits, as \`skein secrets key\` prints them`,
    );
  }

  /** The key itself, as text with a checksum: to be kept like the key of the safe in which it is kept. */
  toText(): string {
    return PREFIX + Buffer.concat([this.#bytes, checkOf(this.#bytes)]).toString('base64url');
  }

  /** Makes a new data key. */
  makeDataKey(): WrappedKey {
    const id = randomBytes(ID_LENGTH / 2).toString('hex');
    const wrapped = this.#wrapper.seal(placeOf(id), randomBytes(KEY_BYTES));
    return { id, wrapped: wrapped.toString('base64'), clusterKey: this.id };
  }

  /** Throws key-missing when the data key belongs to another cluster key, data-damaged when it was changed. */
  unwrap(key: WrappedKey): DataKey {
    if (key.clusterKey !== this.id) {
      throw new SkeinError(
        'key-missing',
        `secrets are sealed under cluster key ${key.clusterKey}, and this node has cluster key ${this.id}; put the right one into its cluster.json as "secretsKey" (\`skein secrets key\` on a member prints it), or delete the data directory and join again`,
      );
    }
    const bytes = this.#wrapper.open(placeOf(key.id), Buffer.from(key.wrapped, 'base64'));
    if (bytes !== undefined) return new DataKey(key.id, bytes);
    const text = `data key ${key.id} cannot be unwrapped: it was changed since it was made`;
    throw new SkeinError('data-damaged', text);
  }

  /** Seals what stays on this machine, such as the pods it runs. */
  localSealer(purpose: string): Sealer {
    return new Sealer(this.#bytes, purpose);
  }
}

function checkOf(key: Uint8Array): Buffer {
  return createHash('sha256')
    .update('skein cluster key')
    .update(key)
    .digest()
    .subarray(0, CHECK_BYTES);
}

const placeOf = (id: string): string => `data key ${id}`;
