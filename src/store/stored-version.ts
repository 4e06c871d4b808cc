/**
 * One object at one revision: its JSON bytes, held once for the whole process, with the revision's digits
 * in their place. Parsing is put off until somebody asks; how many stay parsed is bounded (see parse-cache.ts).
 */

import { crc32c } from '../lib/crc32c.ts';
import { invariant } from '../lib/invariant.ts';
import { ParseCache, type Parsed } from './parse-cache.ts';
import type { Key, Revision, StoredObject } from './types.ts';

/** One budget for the whole process, whatever state a version belongs to: it is the process's memory. */
const parseCache = new ParseCache();

/** The fields of a version, as kept in a snapshot. */
export type VersionFields = {
  readonly key: Key;
  readonly revision: Revision;
  readonly createRevision: Revision;
  readonly bytes: Buffer;
  readonly revisionOffset: number;
};

/** An immutable stored object with a lazy parse. */
export class StoredVersion implements StoredObject, Parsed {
  readonly key: Key;
  readonly revision: Revision;
  readonly createRevision: Revision;
  readonly bytes: Buffer;
  readonly revisionOffset: number;
  #parsed: unknown;
  #used = false;
  #checksum: number | undefined;

  constructor(fields: VersionFields) {
    this.key = fields.key;
    this.revision = fields.revision;
    this.createRevision = fields.createRevision;
    this.bytes = fields.bytes;
    this.revisionOffset = fields.revisionOffset;
  }

  get object(): unknown {
    if (this.#parsed !== undefined) {
      this.#used = true;
      return this.#parsed;
    }
    const parsed = this.glance();
    this.#parsed = parsed;
    parseCache.add(this);
    return parsed;
  }

  glance(): unknown {
    return this.#parsed ?? JSON.parse(this.bytes.toString('utf8'));
  }

  get textBytes(): number {
    return this.bytes.length;
  }

  /** Of the bytes; worked out once. */
  get checksum(): number {
    this.#checksum ??= crc32c(this.bytes) | 0;
    return this.#checksum >>> 0;
  }

  takeUsed(): boolean {
    const used = this.#used;
    this.#used = false;
    return used;
  }

  forget(): void {
    this.#parsed = undefined;
  }
}

/** The version a put makes: `value` copied, with the digits of `revision` at `revisionOffset`. */
export function putVersion(put: {
  readonly key: Key;
  readonly value: Uint8Array;
  readonly revisionOffset: number;
  readonly revision: Revision;
  readonly createRevision: Revision;
}): StoredVersion {
  const { key, value, revisionOffset, revision, createRevision } = put;
  const bytes = splice(value, revisionOffset, 0, revision);
  return new StoredVersion({ key, revision, createRevision, bytes, revisionOffset });
}

/** The last state of a deleted object, with the revision of its deletion in place of its own. */
export function deletedVersion(last: StoredObject, revision: Revision): StoredVersion {
  const { key, createRevision, revisionOffset } = last;
  const bytes = splice(last.bytes, revisionOffset, String(last.revision).length, revision);
  return new StoredVersion({ key, revision, createRevision, bytes, revisionOffset });
}

/**
 * Always a copy: the source is part of a log entry or of another version, and a slice would keep the
 * whole of it in memory for as long as the object lives. The unpooled allocation is for the same reason.
 */
function splice(source: Uint8Array, offset: number, replaced: number, revision: Revision): Buffer {
  invariant(offset <= source.length, 'a revision offset lies within its value', { offset });
  const digits = offset < 0 ? '' : String(revision);
  const at = Math.max(0, offset);
  const rest = at + (offset < 0 ? 0 : replaced);
  const bytes = Buffer.allocUnsafeSlow(source.length - (rest - at) + digits.length);
  bytes.set(source.subarray(0, at), 0);
  if (digits !== '') bytes.write(digits, at, 'latin1');
  bytes.set(source.subarray(rest), at + digits.length);
  return bytes;
}
