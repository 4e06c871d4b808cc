/**
 * The state as a stream of bytes. Frames of `length (u32) | crc32c (u32) | msgpack payload`, little-endian: a header,
 * one frame of bookkeeping, frames of objects in key order, and a trailer that carries the number
 * of objects and the checksum over all frames' checksums in order, so that a missing or repeated frame shows.
 *
 * Where something is sealed (see sealing.ts), the bookkeeping carries the record that says so, and each sealed value is marked.
 * Equal states give equal bytes all the same: nothing in a seal is random.
 */

import { Packr, RESET_BUFFER_MODE } from 'msgpackr';
import type { ChunkOptions, SnapshotSource } from '../consensus/types.ts';
import { crc32c } from '../lib/crc32c.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { invariant } from '../lib/invariant.ts';
import type { ClusterKey } from '../sealing/cluster-key.ts';
import { FrameReader } from './frame-reader.ts';
import { SealingInForce } from './sealing.ts';
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
  readonly sealing: SealingImage | undefined;
  readonly objects: Objects;
};

/** How values are sealed, and from which log position on. */
export type SealingImage = { readonly inForce: SealingInForce; readonly since: number };

const FORMAT = 'skein-store';
const FORMAT_VERSION = 1;
/** Written only where a sealing record is in force, which is where every member can read it. */
const FORMAT_VERSION_SEALED = 2;
/** Length and checksum before a frame's payload. */
const HEAD_BYTES = 8;
/** Object bytes of one frame; a frame is what one turn of the event loop encodes. */
const FRAME_BYTES = 256 * 1024;

type Header = [format: string, version: number, revision: number, appliedIndex: number];
type Bookkeeping = [
  StateImage<never>['fences'],
  StateImage<never>['changedAt'],
  SessionsImage,
  sealing?: [record: Uint8Array, since: number],
];
type ObjectRow = [
  key: string,
  revision: number,
  createRevision: number,
  offset: number,
  value: Uint8Array,
  sealed?: true,
];
type Trailer = [end: 'end', objects: number, checksum: number];

const packr = new Packr({ useRecords: false });

/** A stream over an image whose object view nobody changes any more. */
export function snapshotSource(image: StateImage<SortedReader<StoredObject>>): SnapshotSource {
  let released = false;
  return {
    async *chunks(options) {
      for (const frame of frames(image, options)) {
        invariant(!released, 'a released snapshot is not read');
        yield frame;
      }
    },
    release() {
      released = true;
    },
  };
}

/**
 * Reads a whole stream back. Rejects with data-damaged when anything in it is not as it was written, with key-missing when it is
 * sealed and `clusterKey` is not the key for it.
 */
export async function readSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  clusterKey?: ClusterKey,
): Promise<StateImage<SortedMap<StoredObject>>> {
  const objects = new SortedMap<StoredObject>();
  let sealing: SealingImage | undefined;
  const books = await decodeStream(chunks, {
    onBooks: ([, , , seal]) => {
      sealing = seal && { inForce: new SealingInForce(seal[0], clusterKey), since: seal[1] };
    },
    onRow: (row) => addRow(objects, row, sealing),
  });
  if (objects.size !== books.objects) throw damaged('it holds an object twice');
  const [fences, changedAt, sessions] = books.bookkeeping;
  const { revision, appliedIndex } = books;
  return { revision, appliedIndex, fences, changedAt, sessions, sealing, objects };
}

/** What can be told of a stream without a key. */
export type SnapshotSurvey = {
  readonly revision: Revision;
  readonly appliedIndex: number;
  readonly objects: number;
  /** How many of them are sealed: whether they open is not known. */
  readonly sealed: number;
};

/** Checks a whole stream as readSnapshot does and keeps nothing of it; what is sealed stays so. */
export async function surveySnapshot(chunks: AsyncIterable<Uint8Array>): Promise<SnapshotSurvey> {
  let sealed = 0;
  const onRow = (row: ObjectRow): void => {
    if (row[5]) sealed++;
    else JSON.parse(Buffer.from(row[4]).toString('utf8'));
  };
  const decoded = await decodeStream(chunks, { onBooks: () => {}, onRow });
  const { revision, appliedIndex, objects } = decoded;
  return { revision, appliedIndex, objects, sealed };
}

type Decoded = {
  readonly revision: Revision;
  readonly appliedIndex: number;
  readonly bookkeeping: Bookkeeping;
  readonly objects: number;
};

async function decodeStream(
  chunks: AsyncIterable<Uint8Array>,
  sink: {
    readonly onBooks: (bookkeeping: Bookkeeping) => void;
    readonly onRow: (row: ObjectRow) => void;
  },
): Promise<Decoded> {
  const reader = new FrameReader(chunks);
  try {
    const [format, version, revision, appliedIndex] = decode<Header>(await reader.next());
    if (format !== FORMAT || (version !== FORMAT_VERSION && version !== FORMAT_VERSION_SEALED)) {
      throw damaged(`its format is ${String(format)} ${String(version)}`);
    }
    const bookkeeping = decode<Bookkeeping>(await reader.next());
    sink.onBooks(bookkeeping);
    let objects = 0;
    let checksum = reader.checksum;
    for (;;) {
      const rows = decode<Trailer | ObjectRow[]>(await reader.next());
      if (isTrailer(rows)) {
        const [, count, expected] = rows;
        if (count !== objects) throw damaged(`it lacks ${count - objects} objects`);
        if (checksum !== expected) throw damaged('its checksum over all frames does not match');
        await reader.end();
        return { revision: revision as Revision, appliedIndex, bookkeeping, objects };
      }
      checksum = reader.checksum;
      objects += rows.length;
      for (const row of rows) sink.onRow(row);
    }
  } catch (error) {
    if (error instanceof SkeinError) throw error;
    throw damaged(messageOf(error), error);
  }
}

function* frames(
  image: StateImage<SortedReader<StoredObject>>,
  { overwrite = false }: ChunkOptions = {},
): Generator<Uint8Array> {
  let checksum = 0;
  let scratch: Buffer | undefined;
  const frame = (payload: unknown): Buffer => {
    // In the packer's own memory, which the next packing uses again.
    const packed = packr.pack(payload, RESET_BUFFER_MODE);
    const fits = scratch !== undefined && scratch.length >= HEAD_BYTES + packed.length;
    const room = fits && scratch ? scratch : Buffer.allocUnsafeSlow(HEAD_BYTES + packed.length);
    if (overwrite) scratch = room;
    const bytes = writeFrame(room, packed);
    checksum = crc32c(bytes.subarray(4, 8), checksum);
    return bytes;
  };
  const { revision, appliedIndex, fences, changedAt, sessions, sealing } = image;
  const version = sealing === undefined ? FORMAT_VERSION : FORMAT_VERSION_SEALED;
  yield frame([FORMAT, version, revision, appliedIndex] satisfies Header);
  const books: Bookkeeping = [fences, changedAt, sessions];
  yield frame(sealing ? [...books, [sealing.inForce.bytes, sealing.since]] : books);
  let rows: ObjectRow[] = [];
  let bytes = 0;
  for (const object of image.objects.values('')) {
    rows.push(rowOf(object, sealing?.inForce));
    bytes += object.key.length + object.bytes.length;
    if (bytes < FRAME_BYTES) continue;
    yield frame(rows);
    rows = [];
    bytes = 0;
  }
  if (rows.length > 0) yield frame(rows);
  yield frame(['end', image.objects.size, checksum] satisfies Trailer);
}

function writeFrame(room: Buffer, payload: Buffer): Buffer {
  room.writeUInt32LE(payload.length, 0);
  room.writeUInt32LE(crc32c(payload), 4);
  room.set(payload, HEAD_BYTES);
  return room.subarray(0, HEAD_BYTES + payload.length);
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

function rowOf(object: StoredObject, sealing: SealingInForce | undefined): ObjectRow {
  const { key, revision, createRevision, revisionOffset, bytes } = object;
  if (!sealing?.seals(key)) return [key, revision, createRevision, revisionOffset, bytes];
  const value = sealing.sealObject(key, revision, bytes);
  return [key, revision, createRevision, revisionOffset, value, true];
}

function addRow(
  objects: SortedMap<StoredObject>,
  row: ObjectRow,
  sealing: SealingImage | undefined,
): void {
  const [key, rowRevision, createRevision, revisionOffset, value, sealed] = row;
  const revision = rowRevision as Revision;
  const plain = sealed ? sealing?.inForce.openObject(key, revision, value) : value;
  if (plain === undefined) throw damaged(`the sealed value of ${key} was changed`);
  const bytes = Buffer.allocUnsafeSlow(plain.length);
  bytes.set(plain);
  objects.set(
    key,
    new StoredVersion({
      key,
      revision,
      createRevision: createRevision as Revision,
      bytes,
      revisionOffset,
    }),
  );
}

function damaged(why: string, cause?: unknown): SkeinError {
  return new SkeinError('data-damaged', `a store snapshot cannot be read: ${why}`, { cause });
}
