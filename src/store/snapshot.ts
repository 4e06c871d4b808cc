/**
 * The state as a stream of bytes. Frames of `length (u32) | crc32c (u32) | msgpack payload`, little-endian: a header,
 * one frame of bookkeeping, frames of objects in key order, and a trailer that carries the number
 * of objects and the checksum over all frames' checksums in order, so that a missing or repeated frame shows.
 */

import { Packr } from 'msgpackr';
import type { SnapshotSource } from '../consensus/types.ts';
import { crc32c } from '../lib/crc32c.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import { FrameReader } from './frame-reader.ts';
import type { SessionsImage } from './sessions.ts';
import { SortedMap, type SortedReader } from './sorted-map.ts';
import { StoredVersion } from './stored-version.ts';
import type { Revision, StoredObject } from './types.ts';

/** Everything a replica's state consists of. */
export type StateImage<Objects extends SortedReader<StoredObject>> = {
  readonly revision: Revision;
  readonly appliedIndex: number;
  readonly fences: readonly (readonly [name: string, term: number])[];
  readonly changedAt: readonly (readonly [prefix: string, revision: Revision])[];
  readonly sessions: SessionsImage;
  readonly objects: Objects;
};

const FORMAT = 'skein-store';
const FORMAT_VERSION = 1;
/** Object bytes of one frame; a frame is what one turn of the event loop encodes. */
const FRAME_BYTES = 256 * 1024;

type Header = [format: string, version: number, revision: number, appliedIndex: number];
type Bookkeeping = [StateImage<never>['fences'], StateImage<never>['changedAt'], SessionsImage];
type ObjectRow = [string, revision: number, createRevision: number, offset: number, Uint8Array];
type Trailer = [end: 'end', objects: number, checksum: number];

const packr = new Packr({ useRecords: false });

/** A stream over an image whose object view nobody changes any more. */
export function snapshotSource(image: StateImage<SortedReader<StoredObject>>): SnapshotSource {
  let released = false;
  return {
    async *chunks() {
      for (const frame of frames(image)) {
        invariant(!released, 'a released snapshot is not read');
        yield frame;
      }
    },
    release() {
      released = true;
    },
  };
}

/** Reads a whole stream back. Rejects with data-damaged when anything in it is not as it was written. */
export async function readSnapshot(
  chunks: AsyncIterable<Uint8Array>,
): Promise<StateImage<SortedMap<StoredObject>>> {
  const reader = new FrameReader(chunks);
  try {
    const [format, version, revision, appliedIndex] = decode<Header>(await reader.next());
    if (format !== FORMAT || version !== FORMAT_VERSION) {
      throw damaged(`its format is ${String(format)} ${String(version)}`);
    }
    const [fences, changedAt, sessions] = decode<Bookkeeping>(await reader.next());
    const objects = new SortedMap<StoredObject>();
    let checksum = reader.checksum;
    for (;;) {
      const rows = decode<Trailer | ObjectRow[]>(await reader.next());
      if (isTrailer(rows)) {
        const [, count, expected] = rows;
        if (count !== objects.size) throw damaged(`it lacks ${count - objects.size} objects`);
        if (checksum !== expected) throw damaged('its checksum over all frames does not match');
        await reader.end();
        return {
          revision: revision as Revision,
          appliedIndex,
          fences,
          changedAt,
          sessions,
          objects,
        };
      }
      checksum = reader.checksum;
      for (const row of rows) addRow(objects, row);
    }
  } catch (error) {
    if (error instanceof SkeinError) throw error;
    throw damaged(messageOf(error), error);
  }
}

function* frames(image: StateImage<SortedReader<StoredObject>>): Generator<Uint8Array> {
  let checksum = 0;
  const frame = (payload: unknown): Buffer => {
    const bytes = frameOf(packr.pack(payload));
    checksum = crc32c(bytes.subarray(4, 8), checksum);
    return bytes;
  };
  yield frame([FORMAT, FORMAT_VERSION, image.revision, image.appliedIndex] satisfies Header);
  yield frame([image.fences, image.changedAt, image.sessions] satisfies Bookkeeping);
  let rows: ObjectRow[] = [];
  let bytes = 0;
  for (const object of image.objects.values('')) {
    const { key, revision, createRevision, revisionOffset } = object;
    rows.push([key, revision, createRevision, revisionOffset, object.bytes]);
    bytes += key.length + object.bytes.length;
    if (bytes < FRAME_BYTES) continue;
    yield frame(rows);
    rows = [];
    bytes = 0;
  }
  if (rows.length > 0) yield frame(rows);
  yield frame(['end', image.objects.size, checksum] satisfies Trailer);
}

function frameOf(payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(8 + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32c(payload), 4);
  frame.set(payload, 8);
  return frame;
}

/** The shape behind a matching checksum is the one this file wrote. */
function decode<T extends unknown[]>(payload: Uint8Array): T {
  const value: unknown = packr.unpack(payload);
  if (!Array.isArray(value)) throw damaged('a frame is not a list');
  return value as T;
}

function isTrailer(rows: Trailer | ObjectRow[]): rows is Trailer {
  return rows[0] === 'end';
}

function addRow(objects: SortedMap<StoredObject>, row: ObjectRow): void {
  const [key, revision, createRevision, revisionOffset, value] = row;
  const bytes = Buffer.allocUnsafeSlow(value.length);
  bytes.set(value);
  objects.set(
    key,
    new StoredVersion({
      key,
      revision: revision as Revision,
      createRevision: createRevision as Revision,
      bytes,
      revisionOffset,
    }),
  );
}

function damaged(why: string, cause?: unknown): SkeinError {
  return new SkeinError('data-damaged', `a store snapshot cannot be read: ${why}`, { cause });
}
