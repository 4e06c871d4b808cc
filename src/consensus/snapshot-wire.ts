/**
 * What passes between the two ends of a snapshot's transfer: a header (msgpack: the sender's term, the snapshot's meta,
 * size and checksum, and the byte to begin with, or null to ask for it), chunks (1 | bytes), an end (2 | crc32c u32 of all bytes); then one
 * frame back, msgpack `[ok, reason]`, or `[false, 'resume', n]` at once: so many bytes are here already, open another
 * stream that begins behind them. The first release knew neither checksum nor beginning in the header: it passes over
 * them, answers no question, and never goes on.
 */

import { Packr } from 'msgpackr';
import type { SnapshotMeta, Term } from '../../raft/types.ts';
import { asTerm } from '../../raft/types.ts';
import { withDeadline } from '../lib/async.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { MeshStream } from '../mesh/types.ts';
import { decodeSnapshotMeta } from './message-codec.ts';
import type { SnapshotIdentity } from './storage.ts';

export const SNAPSHOT_PROTOCOL = '/skein/raft-snapshot/1';

export type SnapshotHeader = {
  readonly term: Term;
  readonly meta: SnapshotMeta;
  readonly size: number;
  /** Undefined from a sender that cannot resume. */
  readonly checksum: number | undefined;
  /** The receiver has what is before it; undefined asks how much that is. */
  readonly from: number | undefined;
};

export type SnapshotFrame =
  | { readonly kind: 'chunk'; readonly bytes: Buffer }
  | { readonly kind: 'end'; readonly checksum: number };

export type SnapshotAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'resume'; readonly offset: number };

const FRAME_CHUNK = 1;
const FRAME_END = 2;
const RESUME = 'resume';
const packr = new Packr({ useRecords: false });

export function encodeHeader({ term, meta, size, checksum, from }: SnapshotHeader): Buffer {
  const resumable = checksum === undefined ? [] : [checksum, from ?? null];
  return packr.pack([term, meta, size, ...resumable]);
}

/** Rejects what cannot be read. */
export function decodeHeader(frame: Uint8Array): SnapshotHeader {
  const [term, rawMeta, size, checksum, start = 0] = asList(packr.unpack(frame));
  const meta = decodeSnapshotMeta(rawMeta);
  const from = start === null ? undefined : start;
  const begins = from === undefined || (isCount(from) && isCount(size) && from <= size);
  if (meta === undefined || !isCount(term) || !isCount(size) || !begins) {
    throw malformed('the header cannot be read');
  }
  return {
    term: asTerm(term),
    meta,
    size,
    checksum: isCount(checksum) ? checksum : undefined,
    from,
  };
}

/** Which bytes a header announces; undefined when the sender does not say. */
export function identityOf({ meta, size, checksum }: SnapshotHeader): SnapshotIdentity | undefined {
  return checksum === undefined ? undefined : { meta, size, checksum };
}

export function encodeChunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(FRAME_CHUNK), bytes]);
}

export function encodeEnd(checksum: number): Buffer {
  const end = Buffer.of(FRAME_END, 0, 0, 0, 0);
  end.writeUInt32LE(checksum, 1);
  return end;
}

export function decodeFrame(raw: Uint8Array): SnapshotFrame {
  const frame = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  if (frame[0] === FRAME_CHUNK) return { kind: 'chunk', bytes: frame.subarray(1) };
  if (frame[0] === FRAME_END && frame.length === 5) {
    return { kind: 'end', checksum: frame.readUInt32LE(1) };
  }
  throw malformed('a frame of an unknown kind arrived');
}

export function encodeAnswer(answer: SnapshotAnswer): Buffer {
  if (answer.kind === 'done') return packr.pack([true, '']);
  return packr.pack(
    answer.kind === 'resume' ? [false, RESUME, answer.offset] : [false, answer.reason],
  );
}

export function decodeAnswer(frame: Uint8Array): SnapshotAnswer {
  const [ok, reason, offset] = asList(packr.unpack(frame));
  if (ok === true) return { kind: 'done' };
  if (reason === RESUME && isCount(offset)) return { kind: 'resume', offset };
  return { kind: 'refused', reason: String(reason) };
}

export type BoundedOptions = {
  readonly stallMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

/** Reads and writes that fail when the other side does not move. */
export function bounded(stream: MeshStream, { stallMs, clock, signal }: BoundedOptions) {
  const frames = stream.frames[Symbol.asyncIterator]();
  const what = `a snapshot's transfer with ${stream.peer}`;
  const options = { deadlineMs: stallMs, clock, what, signal };
  const arrival = async () => {
    const frame = await frames.next();
    if (frame.done === true) throw malformed('the stream ended early');
    return frame.value;
  };
  return {
    send: (frame: Uint8Array) => withDeadline(() => stream.send(frame), options),
    /** The next frame, whenever it comes. */
    arrival,
    next: (arriving?: Promise<Uint8Array>) => withDeadline(() => arriving ?? arrival(), options),
  };
}

/** Something came that no member sends. */
export function malformed(why: string): SkeinError {
  return new SkeinError('stream-closed', why);
}

function asList(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed('a list was expected');
  return value;
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
