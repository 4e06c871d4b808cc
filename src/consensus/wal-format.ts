/**
 * The bytes of the write-ahead log.
 *
 * Segment header, padded to 4096 bytes: magic `skeinwal` | version u32 | crc32c u32 | length u32 | msgpack.
 *
 * Record, aligned to 8 bytes: crc32c u32 (over the rest, seeded with the segment's salt) | payload length u32 |
 * sequence u48 | type u8 | 0 u8 | batch start u32 | 0 u32 | payload | zeros. The batch start is the offset
 * where the group commit that wrote the record began: everything before it was durable by then. That tells a
 * torn tail (every later record belongs to the batch that was cut) from a damaged middle.
 */

import { Packr } from 'msgpackr';
import type { Entry, HardState, SnapshotMeta } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import { crc32c } from '../lib/crc32c.ts';
import { laterVersion } from './versions.ts';

/** Bytes before the first record of a segment. */
export const SEGMENT_HEADER_BYTES = 4096;
const RECORD_HEADER_BYTES = 24;
const ENTRY_HEADER_BYTES = 13;
const ALIGNMENT = 8;
const MAGIC = Buffer.from('skeinwal', 'latin1');
const FORMAT_VERSION = 1;
/** No release will count further: a version beyond it is damage. */
const FORMAT_VERSION_PLAUSIBLE_MAX = 255;
const ENTRY_KINDS = ['data', 'config', 'empty'] as const;
const packr = new Packr({ useRecords: false });

/** What a segment says of itself. */
export type SegmentHeader = {
  readonly nodeId: string;
  readonly clusterId: string;
  /** Counts segments from 1; also the file's name. */
  readonly segment: number;
  /** Seeds the records' checksums, so that bytes of another segment are never taken for this one's. */
  readonly salt: number;
  /** The sequence of the first record. */
  readonly firstSequence: number;
};

export type WalRecord =
  | { readonly type: 'entry'; readonly entry: Entry }
  | { readonly type: 'hard-state'; readonly hardState: HardState }
  | { readonly type: 'reset'; readonly snapshot: SnapshotMeta };

/** How a record says what it is. */
export const TYPE_CODES = { entry: 1, 'hard-state': 2, reset: 3 } as const;

/** Where in the log a record stands. */
export type RecordPlace = {
  readonly sequence: number;
  readonly batchStart: number;
  readonly salt: number;
};

/** A record found in a segment. */
export type FoundRecord = {
  readonly type: number;
  readonly sequence: number;
  readonly batchStart: number;
  readonly payload: Buffer;
  /** Offset behind the record's padding. */
  readonly end: number;
};

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const { nodeId, clusterId, segment, salt, firstSequence } = header;
  const payload = packr.pack([nodeId, clusterId, segment, salt, firstSequence]);
  block.set(MAGIC, 0);
  block.writeUInt32LE(FORMAT_VERSION, 8);
  block.writeUInt32LE(crc32c(payload), 12);
  block.writeUInt32LE(payload.length, 16);
  block.set(payload, 20);
  return block;
}

/** The header, or in words why there is none. Throws version-unsupported for a later version's. */
export function decodeSegmentHeader(block: Buffer): SegmentHeader | string {
  if (block.length < SEGMENT_HEADER_BYTES) return 'the file is shorter than a segment header';
  if (!block.subarray(0, 8).equals(MAGIC)) return 'the file does not start as a log segment does';
  const version = block.readUInt32LE(8);
  if (version > FORMAT_VERSION && version <= FORMAT_VERSION_PLAUSIBLE_MAX) {
    throw laterVersion(`a log segment has format ${version}`, `format ${FORMAT_VERSION}`);
  }
  if (version !== FORMAT_VERSION) return `log format ${version} is not supported`;
  const length = block.readUInt32LE(16);
  if (20 + length > SEGMENT_HEADER_BYTES) return 'the segment header has an impossible length';
  const payload = block.subarray(20, 20 + length);
  if (crc32c(payload) !== block.readUInt32LE(12)) return 'the segment header fails its checksum';
  const [nodeId, clusterId, segment, salt, firstSequence] = packr.unpack(payload) as [
    string,
    string,
    number,
    number,
    number,
  ];
  return { nodeId, clusterId, segment, salt, firstSequence };
}

/** Bytes a record takes, padding included. */
export function recordBytes(record: WalRecord): number {
  if (record.type === 'entry') {
    return align(RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES + record.entry.data.length);
  }
  return align(RECORD_HEADER_BYTES + payloadOf(record).length);
}

/** Writes `record` into zeroed `target` at `offset`; returns the offset behind it. */
export function encodeRecord(
  target: Buffer,
  offset: number,
  record: WalRecord,
  place: RecordPlace,
): number {
  let at = offset + RECORD_HEADER_BYTES;
  if (record.type === 'entry') {
    const { index, term, kind, data } = record.entry;
    target.writeUIntLE(index, at, 6);
    target.writeUIntLE(term, at + 6, 6);
    target.writeUInt8(ENTRY_KINDS.indexOf(kind), at + 12);
    target.set(data, at + ENTRY_HEADER_BYTES);
    at += ENTRY_HEADER_BYTES + data.length;
  } else {
    const payload = payloadOf(record);
    target.set(payload, at);
    at += payload.length;
  }
  target.writeUInt32LE(at - offset - RECORD_HEADER_BYTES, offset + 4);
  target.writeUIntLE(place.sequence, offset + 8, 6);
  target.writeUInt8(TYPE_CODES[record.type], offset + 14);
  target.writeUInt32LE(place.batchStart, offset + 16);
  target.writeUInt32LE(crc32c(target.subarray(offset + 4, at), place.salt), offset);
  return align(at);
}

/** The record at `offset`, or undefined if no intact one stands there. */
export function findRecord(segment: Buffer, offset: number, salt: number): FoundRecord | undefined {
  const start = offset + RECORD_HEADER_BYTES;
  if (start > segment.length) return undefined;
  const type = segment[offset + 14] as number;
  if (type === 0) return undefined;
  const end = start + segment.readUInt32LE(offset + 4);
  if (end > segment.length) return undefined;
  if (crc32c(segment.subarray(offset + 4, end), salt) !== segment.readUInt32LE(offset)) {
    return undefined;
  }
  return {
    type,
    sequence: segment.readUIntLE(offset + 8, 6),
    batchStart: segment.readUInt32LE(offset + 16),
    payload: segment.subarray(start, end),
    end: align(end),
  };
}

/**
 * What a found record means. Entry data is copied: it outlives the segment's buffer. Throws version-unsupported for what a
 * later version wrote: its checksum fits, so it is no damage, and to pass over it would be to forget it.
 */
export function decodeRecord(found: FoundRecord): WalRecord {
  const { type, payload } = found;
  if (type === TYPE_CODES.entry) {
    const kind = ENTRY_KINDS[payload.readUInt8(12)];
    if (kind === undefined) {
      const what = `the log holds an entry of kind ${payload.readUInt8(12)}`;
      throw laterVersion(what, `kinds 0 to ${ENTRY_KINDS.length - 1}`);
    }
    const entry: Entry = {
      index: asIndex(payload.readUIntLE(0, 6)),
      term: asTerm(payload.readUIntLE(6, 6)),
      kind,
      data: Buffer.from(payload.subarray(ENTRY_HEADER_BYTES)),
    };
    return { type: 'entry', entry };
  }
  if (type === TYPE_CODES.reset) {
    return { type: 'reset', snapshot: packr.unpack(payload) as SnapshotMeta };
  }
  if (type !== TYPE_CODES['hard-state']) {
    const what = `the log holds a record of type ${type}`;
    throw laterVersion(what, `types ${TYPE_CODES.entry} to ${TYPE_CODES.reset}`);
  }
  const [term, vote, commit] = packr.unpack(payload) as [number, string | null, number];
  const hardState = { term: asTerm(term), vote: vote ?? undefined, commit: asIndex(commit) };
  return { type: 'hard-state', hardState };
}

function payloadOf(record: Exclude<WalRecord, { type: 'entry' }>): Buffer {
  if (record.type === 'reset') return packr.pack(record.snapshot);
  const { term, vote, commit } = record.hardState;
  return packr.pack([term, vote ?? null, commit]);
}

function align(offset: number): number {
  return (offset + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}
