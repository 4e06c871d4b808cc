/**
 * A backup file: frames of `crc32c u32 | length u32 | kind u8 | 0 0 0 | payload`, little-endian, the checksum over everything behind
 * it. The first is the header, then come the keys if they are in it, the store's snapshot stream cut into pieces, and the
 * end, which says how much there was and carries the SHA-256 of every byte before it. So a file that was cut short, bent, or
 * put together from two shows it, and every piece can be checked as it arrives.
 */

import { createHash, type Hash } from 'node:crypto';
import { crc32c } from '../../lib/crc32c.ts';
import { messageOf, SkeinError } from '../../lib/errors.ts';

/** What a backup says of itself. */
export type BackupHeader = {
  readonly format: 'skein-backup';
  /** Of this file's layout. A reader refuses what is newer than itself. */
  readonly version: number;
  /** Of the product that wrote it. */
  readonly product: string;
  readonly clusterId: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** The node that was asked. */
  readonly node: string;
  /** ISO 8601. */
  readonly time: string;
  readonly revision: number;
  readonly index: number;
  readonly term: number;
  /** The cluster's feature level. */
  readonly level: number;
  readonly objects: number;
  /** Names of the nodes of the cluster. */
  readonly members: readonly string[];
  /** False: what one node knew, without asking whether there was anything newer. */
  readonly linearizable: boolean;
  /** Whether the cluster's keys are in it, sealed with a passphrase. */
  readonly keys: boolean;
  /** Names the cluster key that its Secrets are sealed under; null when nothing is sealed. */
  readonly clusterKey: string | null;
};

export const BACKUP_VERSION = 1;
/** Longest payload believed. */
const PAYLOAD_BYTES_MAX = 8 * 1024 * 1024;
const FRAME_HEADER_BYTES = 12;
const KINDS = ['header', 'keys', 'data', 'end'] as const;
export type FrameKind = (typeof KINDS)[number];

export type BackupFrame = { readonly kind: FrameKind; readonly payload: Buffer };

type End = { readonly frames: number; readonly dataBytes: number; readonly sha256: string };

/** The bytes of a backup. `data` is read as the result is. */
export async function* encodeBackup(
  header: BackupHeader,
  keys: Uint8Array | undefined,
  data: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let frames = 0;
  let dataBytes = 0;
  const next = (kind: FrameKind, payload: Uint8Array): Buffer => {
    const bytes = frameOf(kind, payload);
    hash.update(bytes);
    frames++;
    return bytes;
  };
  yield next('header', Buffer.from(JSON.stringify(header)));
  if (keys) yield next('keys', keys);
  for await (const chunk of data) {
    for (let at = 0; at < chunk.length; at += PAYLOAD_BYTES_MAX) {
      const piece = chunk.subarray(at, at + PAYLOAD_BYTES_MAX);
      dataBytes += piece.length;
      yield next('data', piece);
    }
  }
  const end: End = { frames, dataBytes, sha256: hash.digest('hex') };
  yield frameOf('end', Buffer.from(JSON.stringify(end)));
}

function frameOf(kind: FrameKind, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUInt32LE(payload.length, 4);
  bytes.writeUInt8(KINDS.indexOf(kind), 8);
  bytes.set(payload, FRAME_HEADER_BYTES);
  bytes.writeUInt32LE(crc32c(bytes.subarray(4)), 0);
  return bytes;
}

/**
 * Checks a backup's bytes as they pass: `add` takes them in pieces of any size and returns the frames that are complete. Throws
 * data-damaged as soon as something is not as it was written.
 */
export class BackupReader {
  readonly #name: string;
  readonly #hash: Hash = createHash('sha256');
  #rest: Buffer = Buffer.alloc(0);
  #at = 0;
  #frames = 0;
  #dataBytes = 0;
  #header: BackupHeader | undefined;
  #ended = false;

  /** @param name of the file, for messages. */
  constructor(name: string) {
    this.#name = name;
  }

  get header(): BackupHeader | undefined {
    return this.#header;
  }

  add(chunk: Uint8Array): BackupFrame[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const found: BackupFrame[] = [];
    for (;;) {
      const frame = this.#next();
      if (frame === undefined) return found;
      found.push(frame);
    }
  }

  /** To be called at the end of the bytes: throws unless the backup ended there. */
  finish(): BackupHeader {
    if (this.#header && this.#ended && this.#rest.length === 0) return this.#header;
    throw this.#damaged('it was cut short');
  }

  #next(): BackupFrame | undefined {
    const rest = this.#rest;
    if (this.#ended && rest.length > 0) throw this.#damaged('bytes follow its end');
    if (rest.length < FRAME_HEADER_BYTES) return undefined;
    const length = rest.readUInt32LE(4);
    const kind = KINDS[rest[8] as number];
    const first = this.#frames === 0;
    if (first && kind !== 'header') throw this.#damaged('it does not begin as a backup does');
    if (length > PAYLOAD_BYTES_MAX || kind === undefined) {
      throw this.#damaged('a frame has an impossible length or kind');
    }
    const end = FRAME_HEADER_BYTES + length;
    if (rest.length < end) return undefined;
    const bytes = rest.subarray(0, end);
    if (crc32c(bytes.subarray(4)) !== bytes.readUInt32LE(0)) {
      throw this.#damaged('a frame fails its checksum');
    }
    const payload = bytes.subarray(FRAME_HEADER_BYTES);
    this.#take(kind, payload, bytes);
    this.#rest = rest.subarray(end);
    this.#at += end;
    return { kind, payload };
  }

  #take(kind: FrameKind, payload: Buffer, bytes: Buffer): void {
    if ((kind === 'header') !== (this.#frames === 0)) throw this.#damaged('it has two headers');
    if (kind === 'end') {
      const { frames, dataBytes, sha256 } = this.#parse<End>(payload);
      if (frames !== this.#frames || dataBytes !== this.#dataBytes) {
        throw this.#damaged(`it has ${this.#frames} frames and should have ${frames}`);
      }
      if (sha256 !== this.#hash.digest('hex')) throw this.#damaged('its SHA-256 does not match');
      this.#ended = true;
      return;
    }
    this.#hash.update(bytes);
    this.#frames++;
    if (kind === 'header') this.#header = this.#checkHeader(payload);
    if (kind === 'data') this.#dataBytes += payload.length;
  }

  #checkHeader(payload: Buffer): BackupHeader {
    const header = this.#parse<BackupHeader>(payload);
    if (header.format !== 'skein-backup') throw this.#damaged('it is no backup');
    if (header.version <= BACKUP_VERSION) return header;
    throw new SkeinError(
      'version-unsupported',
      `${this.#name} was made by a newer Skein (${header.product}, backup format ${header.version}; this one reads up to ${BACKUP_VERSION}): install that version or a later one`,
    );
  }

  #parse<T>(payload: Buffer): T {
    try {
      return JSON.parse(payload.toString('utf8')) as T;
    } catch (cause) {
      throw this.#damaged(messageOf(cause), cause);
    }
  }

  #damaged(why: string, cause?: unknown): SkeinError {
    return new SkeinError(
      'data-damaged',
      `${this.#name} is no intact backup: ${why} (at byte ${this.#at}); nothing can be restored from it, take another one`,
      { cause },
    );
  }
}
