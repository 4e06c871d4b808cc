/** Reading one segment file: its records, and the judgement on how it ends. */

import { basename } from 'node:path';
import { SkeinError } from '../lib/errors.ts';
import { segmentName } from './segment-file.ts';
import {
  decodeRecord,
  decodeSegmentHeader,
  findRecord,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  type WalRecord,
} from './wal-format.ts';

/** Whose log it must be. */
export type LogIdentity = { readonly nodeId: string; readonly clusterId: string };

export type ScannedSegment = {
  readonly header: SegmentHeader;
  readonly records: readonly WalRecord[];
  /** Offset behind the last intact record. */
  readonly end: number;
  /** Something other than zeros follows: the remains of a write that a crash cut short. */
  readonly torn: boolean;
  readonly nextSequence: number;
};

/** The error for a log that cannot be trusted: where, why, and the way out. */
export class LogDamage extends SkeinError {
  readonly file: string;
  readonly offset: number;
  readonly why: string;

  constructor(file: string, offset: number, why: string) {
    super(
      'data-damaged',
      `log segment ${file} is damaged at byte ${offset}: ${why}. Entries that were acknowledged may be lost here, so this ` +
        'member must not vote with it: remove the member from the cluster, delete its data directory and join it anew ' +
        '(or restore the directory from a copy of this very machine)',
    );
    this.file = file;
    this.offset = offset;
    this.why = why;
  }
}

/**
 * Scans a segment's bytes. Throws data-damaged if it belongs to somebody else or lost what was durable; a tail
 * cut by a crash is reported as torn.
 */
export function scanSegment(file: string, bytes: Buffer, expected: LogIdentity): ScannedSegment {
  const header = decodeSegmentHeader(bytes);
  if (typeof header === 'string') throw new LogDamage(file, 0, header);
  refuseForeign(file, header, expected);
  const records: WalRecord[] = [];
  let end = SEGMENT_HEADER_BYTES;
  let sequence = header.firstSequence;
  for (;;) {
    const found = findRecord(bytes, end, header.salt);
    if (found === undefined || found.sequence !== sequence) break;
    records.push(decodeRecord(found));
    end = found.end;
    sequence++;
  }
  const survivor = survivorBehind(bytes, end, header.salt);
  if (survivor !== undefined) {
    const why = `a record is missing or fails its checksum, and record ${survivor} behind it was written later`;
    throw new LogDamage(file, end, why);
  }
  return { header, records, end, torn: !isZero(bytes, end), nextSequence: sequence };
}

/** Throws data-damaged unless `scanned`, of file `path`, begins with the record that follows the last of the segment before. */
export function refuseGap(
  path: string,
  scanned: ScannedSegment,
  former: { readonly path: string; readonly scanned: ScannedSegment } | undefined,
): void {
  const { segment, firstSequence } = scanned.header;
  if (segmentName(segment) !== basename(path)) {
    throw new LogDamage(path, 0, `it says that it is segment ${segment}`);
  }
  if (former === undefined || firstSequence === former.scanned.nextSequence) return;
  const missing = firstSequence - former.scanned.nextSequence;
  const why = `${missing} records before the next segment are missing`;
  throw new LogDamage(former.path, former.scanned.end, why);
}

/** A later record whose batch began behind `end` was written when `end` was durable already. */
function survivorBehind(bytes: Buffer, end: number, salt: number): number | undefined {
  for (let at = end; at < bytes.length; at += 8) {
    const found = findRecord(bytes, at, salt);
    if (found !== undefined && found.batchStart > end) return found.sequence;
  }
  return undefined;
}

function refuseForeign(file: string, header: SegmentHeader, expected: LogIdentity): void {
  for (const field of ['clusterId', 'nodeId'] as const) {
    if (header[field] === expected[field]) continue;
    throw new SkeinError(
      'data-damaged',
      `log segment ${file} belongs to ${field} ${header[field]}, and this is ${expected[field]}: point the node at ` +
        'its own data directory, or at an empty one to start afresh',
    );
  }
}

function isZero(bytes: Buffer, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}
