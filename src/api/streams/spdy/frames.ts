/**
 * SPDY/3.1 frames on the wire (draft-mbelshe-httpbis-spdy-00, sections 2.2 and 2.6). Only what a server of Kubernetes streams
 * needs: no server push, no priorities.
 */

export const CONTROL = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const FLAG_FIN = 0x01;
export const FRAME_HEAD_BYTES = 8;
const VERSION = 3;
const STREAM_MASK = 0x7fff_ffff;

/** Reasons of RST_STREAM, section 2.6.3. */
export const RST = { protocolError: 1, invalidStream: 2, refusedStream: 3, cancel: 5 } as const;

/** The first eight bytes of a frame. */
export type FrameHead =
  | {
      readonly kind: 'data';
      readonly streamId: number;
      readonly fin: boolean;
      readonly length: number;
    }
  | {
      readonly kind: 'control';
      readonly version: number;
      readonly type: number;
      readonly flags: number;
      readonly length: number;
    };

/** Reads a frame's head; `bytes` holds at least FRAME_HEAD_BYTES. */
export function readHead(bytes: Buffer): FrameHead {
  const first = bytes.readUInt32BE(0);
  const second = bytes.readUInt32BE(4);
  const length = second & 0x00ff_ffff;
  const flags = second >>> 24;
  if (first >>> 31 === 0) {
    return { kind: 'data', streamId: first, fin: (flags & FLAG_FIN) !== 0, length };
  }
  return { kind: 'control', version: (first >>> 16) & 0x7fff, type: first & 0xffff, flags, length };
}

/** A data frame; the payload is copied behind the head so that the frame is one write. */
export function dataFrame(streamId: number, payload: Uint8Array, fin: boolean): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length);
  frame.writeUInt32BE(streamId & STREAM_MASK, 0);
  frame.writeUInt32BE(((fin ? FLAG_FIN : 0) << 24) | payload.length, 4);
  frame.set(payload, FRAME_HEAD_BYTES);
  return frame;
}

/** SYN_REPLY with a compressed header block. */
export function synReplyFrame(streamId: number, block: Uint8Array): Buffer {
  return controlFrame(CONTROL.synReply, 0, streamId, block);
}

/** RST_STREAM with one of RST. */
export function rstStreamFrame(streamId: number, reason: number): Buffer {
  return controlFrame(CONTROL.rstStream, 0, streamId, word(reason));
}

/** PING; an answer carries the id it got. */
export function pingFrame(id: number): Buffer {
  const frame = controlFrame(CONTROL.ping, 0, 0, new Uint8Array(0));
  frame.writeUInt32BE(id >>> 0, FRAME_HEAD_BYTES);
  return frame;
}

/** GOAWAY, status OK. */
export function goAwayFrame(lastStreamId: number): Buffer {
  return controlFrame(CONTROL.goAway, 0, lastStreamId, word(0));
}

/** WINDOW_UPDATE: `delta` more bytes may be sent on the stream (0: on the connection). */
export function windowUpdateFrame(streamId: number, delta: number): Buffer {
  return controlFrame(CONTROL.windowUpdate, 0, streamId, word(delta));
}

/** The stream a control frame's body begins with; -1 when the body is too short to name one. */
export function streamIdOf(body: Buffer): number {
  return body.length < 4 ? -1 : body.readUInt32BE(0) & STREAM_MASK;
}

function controlFrame(type: number, flags: number, streamId: number, rest: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + 4 + rest.length);
  frame.writeUInt16BE(0x8000 | VERSION, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt32BE((flags << 24) | (4 + rest.length), 4);
  frame.writeUInt32BE(streamId & STREAM_MASK, FRAME_HEAD_BYTES);
  frame.set(rest, FRAME_HEAD_BYTES + 4);
  return frame;
}

function word(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0, 0);
  return bytes;
}
