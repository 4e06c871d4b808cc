/**
 * The keys of a cluster in a backup, sealed with a passphrase: scrypt makes a key of it, AES-256-GCM seals with that. Whoever has the
 * file and not the passphrase has neither the cluster's authority nor its Secrets.
 */

import {
  createCipheriv,
  createDecipheriv,
  randomBytes,
  type ScryptOptions,
  scrypt,
} from 'node:crypto';
import { promisify } from 'node:util';
import { SkeinError } from '../../lib/errors.ts';
import type { ClusterKeys } from '../data-dir.ts';
import { clusterKeyOf } from '../secrets/cluster-key.ts';

/** The cluster key is always named, also where a node derives it from the authority's. */
export type BackupKeys = Required<ClusterKeys>;

/** The keys of a cluster, and nothing else of its file. */
export function keysOf(cluster: ClusterKeys): BackupKeys {
  const { caCertificatePem, caKeyPem, tokenKeyPem } = cluster;
  const secretsKey = clusterKeyOf(cluster).toText();
  return { caCertificatePem, caKeyPem, tokenKeyPem, secretsKey };
}

export type SealKeysOptions = {
  /** Each guess costs 2^this KiB of memory, and the time to fill it. Default 17: 128 MiB and about half a second. */
  readonly costLog2?: number;
};

const COST_LOG2_DEFAULT = 17;
/** More is no backup of ours, and would only exhaust the machine. */
const COST_LOG2_MAX = 20;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const VERSION = 1;
const HEAD_BYTES = 2;
/** Shortest passphrase taken. */
export const PASSPHRASE_LENGTH_MIN = 12;

const stretch = promisify(scrypt) as (
  passphrase: string,
  salt: Uint8Array,
  length: number,
  options: ScryptOptions,
) => Promise<Buffer>;

function derive(passphrase: string, salt: Uint8Array, costLog2: number): Promise<Buffer> {
  // Memory is 128 * N * r bytes, and a little.
  const cost = { N: 2 ** costLog2, r: 8, p: 1, maxmem: 2 ** (costLog2 + 11) };
  return stretch(passphrase, salt, KEY_BYTES, cost);
}

/** `version u8 | cost u8 | salt | nonce | sealed | tag`. Throws config-invalid for a passphrase that is too short. */
export async function sealKeys(
  keys: BackupKeys,
  passphrase: string,
  { costLog2 = COST_LOG2_DEFAULT }: SealKeysOptions = {},
): Promise<Buffer> {
  if (passphrase.length < PASSPHRASE_LENGTH_MIN) {
    throw new SkeinError(
      'config-invalid',
      `the passphrase has ${passphrase.length} characters; whoever guesses it has the cluster: take at least ${PASSPHRASE_LENGTH_MIN}`,
    );
  }
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const key = await derive(passphrase, salt, costLog2);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(keys), 'utf8'), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION, costLog2), salt, nonce, sealed, cipher.getAuthTag()]);
}

/** Throws config-invalid when the passphrase is another one. */
export async function openKeys(sealed: Buffer, passphrase: string): Promise<BackupKeys> {
  const [version, costLog2 = 0] = sealed;
  if (version !== VERSION || costLog2 > COST_LOG2_MAX) {
    const text = `keys of version ${version} and cost ${costLog2} cannot be read`;
    throw new SkeinError('data-damaged', text);
  }
  const nonceAt = HEAD_BYTES + SALT_BYTES;
  const bodyAt = nonceAt + NONCE_BYTES;
  const key = await derive(passphrase, sealed.subarray(HEAD_BYTES, nonceAt), costLog2);
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(nonceAt, bodyAt));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    const body = decipher.update(sealed.subarray(bodyAt, sealed.length - TAG_BYTES));
    return JSON.parse(Buffer.concat([body, decipher.final()]).toString('utf8')) as BackupKeys;
  } catch (cause) {
    throw new SkeinError(
      'config-invalid',
      'the passphrase is not the one that the keys in this backup were sealed with',
      { cause },
    );
  }
}
