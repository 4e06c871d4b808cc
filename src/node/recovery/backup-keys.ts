/**
 * The keys of a cluster in a backup, sealed with a passphrase: scrypt makes a key of it, AES-256-GCM seals with that. Whoever has the
 * file and not the passphrase has neither the cluster's authority nor its Secrets.
 */

import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
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

/** Cost of a guess: 128 MiB and about half a second. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 } as const;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const VERSION = 1;
/** Shortest passphrase taken. */
export const PASSPHRASE_LENGTH_MIN = 12;

const derive = promisify(scrypt) as (
  passphrase: string,
  salt: Uint8Array,
  length: number,
  options: typeof SCRYPT,
) => Promise<Buffer>;

/** `version u8 | salt | nonce | sealed | tag`. Throws config-invalid for a passphrase that is too short. */
export async function sealKeys(keys: BackupKeys, passphrase: string): Promise<Buffer> {
  if (passphrase.length < PASSPHRASE_LENGTH_MIN) {
    throw new SkeinError(
      'config-invalid',
      `the passphrase has ${passphrase.length} characters; whoever guesses it has the cluster: take at least ${PASSPHRASE_LENGTH_MIN}`,
    );
  }
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const key = await derive(passphrase, salt, KEY_BYTES, SCRYPT);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(keys), 'utf8'), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), salt, nonce, sealed, cipher.getAuthTag()]);
}

/** Throws config-invalid when the passphrase is another one. */
export async function openKeys(sealed: Buffer, passphrase: string): Promise<BackupKeys> {
  if (sealed[0] !== VERSION) {
    throw new SkeinError('data-damaged', `keys of version ${sealed[0]} cannot be read`);
  }
  const nonceAt = 1 + SALT_BYTES;
  const bodyAt = nonceAt + NONCE_BYTES;
  const key = await derive(passphrase, sealed.subarray(1, nonceAt), KEY_BYTES, SCRYPT);
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
