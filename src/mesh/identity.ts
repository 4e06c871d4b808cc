/**
 * A node's identity: an Ed25519 key made at first start and kept in a file only its owner can read.
 * The peer id derived from it names the node everywhere, and is never reused for another machine.
 */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { SkeinError } from '../lib/errors.ts';
import type { PeerId } from './types.ts';

export type Identity = {
  /** The peer id in text form: the node's id in every part of the product. */
  readonly id: PeerId;
  readonly privateKey: PrivateKey;
  /** The key as kept in the file; secret. */
  readonly bytes: Uint8Array;
};

/** A new identity, kept nowhere yet. */
export async function createIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'));
}

/** The identity in `bytes` (as in `Identity.bytes`). Throws data-damaged if they hold none. */
export function parseIdentity(bytes: Uint8Array, origin = 'the given key'): Identity {
  try {
    const key = privateKeyFromProtobuf(bytes);
    if (key.type !== 'Ed25519') throw new TypeError(`expected an Ed25519 key, got ${key.type}`);
    return identityOf(key);
  } catch (cause) {
    throw new SkeinError('data-damaged', `${origin} is not a node key`, { cause });
  }
}

/**
 * The identity kept in `path`, made and stored durably (mode 0600) when the file does not exist yet.
 * Throws data-damaged if the file holds no key, config-invalid if others may read it.
 */
export async function loadIdentity(path: string): Promise<Identity> {
  const existing = await readIdentity(path);
  if (existing !== undefined) return existing;
  const identity = await createIdentity();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
  const file = await open(temporary, flags, 0o600);
  try {
    await file.writeFile(identity.bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause;
  }
  const folder = await open(dirname(path), constants.O_RDONLY);
  await folder.sync().finally(() => folder.close());
  return identity;
}

async function readIdentity(path: string): Promise<Identity | undefined> {
  try {
    const [bytes, facts] = await Promise.all([readFile(path), stat(path)]);
    if ((facts.mode & 0o077) !== 0) {
      const mode = (facts.mode & 0o777).toString(8);
      throw new SkeinError(
        'config-invalid',
        `${path} has mode ${mode}: a node key must be readable by its owner only (chmod 600)`,
      );
    }
    return parseIdentity(bytes, path);
  } catch (error) {
    if (isNodeError(error) && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function identityOf(privateKey: PrivateKey): Identity {
  const id = peerIdFromPrivateKey(privateKey).toString();
  return { id, privateKey, bytes: privateKeyToProtobuf(privateKey) };
}

function isNodeError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}
