/**
 * One object at one revision: its JSON bytes, held once for the whole process, with the revision's digits
 * in their place. Parsing is put off until somebody asks.
 */

import { invariant } from '../lib/invariant.ts';
import type { Key, Revision, StoredObject } from './types.ts';

/** The fields of a version, as kept in a snapshot. */
export type VersionFields = {
  readonly key: Key;
  readonly revision: Revision;
  readonly createRevision: Revision;
  readonly bytes: Buffer;
  readonly revisionOffset: number;
};

/** An immutable stored object with a lazy parse. */
export class StoredVersion implements StoredObject {
  readonly key: Key;
  readonly revision: Revision;
  readonly createRevision: Revision;
  readonly bytes: Buffer;
  readonly revisionOffset: number;
  #parsed: unknown;

  constructor(fields: VersionFields) {
    this.key = fields.key;
    this.revision = fields.revision;
    this.createRevision = fields.createRevision;
    this.bytes = fields.bytes;
    this.revisionOffset = fields.revisionOffset;
  }

  get object(): unknown {
    this.#parsed ??= JSON.parse(this.bytes.toString('utf8'));
    return this.#parsed;
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
