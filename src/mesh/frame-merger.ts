/**
 * Stands between yamux and noise. Yamux hands on each frame as it comes; frames of one turn are joined here, so that they are
 * sealed once and cost one system call. And yamux answers every frame it receives with a window update, which would be a packet for
 * a packet: updates wait here until they are worth one, as other implementations of yamux have it.
 */

import type { MessageStream } from '@libp2p/interface';
import { Uint8ArrayList } from 'uint8arraylist';

type Chunk = Uint8Array | Uint8ArrayList<ArrayBufferLike>;

/** The header of yamux: version, type, flags (2), stream (4), length (4). */
const HEADER_BYTES = 12;
const TYPE_WINDOW_UPDATE = 1;
/** Bytes that go on at once, without waiting for the turn to end. */
const MERGED_BYTES_MAX = 256 * 1024;
/**
 * Window that is withheld per stream at most: a quarter of what a stream begins with, so that a sender always has three
 * quarters of its window, and never waits for what is withheld.
 */
const WITHHELD_BYTES_MAX = 64 * 1024;
/** Streams with withheld window; more, and all of it is sent. Streams that have ended are forgotten that way. */
const WITHHELD_STREAMS_MAX = 256;

/** Makes `connection.send` join frames. The connection is the one a muxer is made for. */
export function mergeFrames(connection: MessageStream): void {
  const send = connection.send.bind(connection);
  const close = connection.close.bind(connection);
  const withheld = new Map<number, number>();
  let merged: Uint8ArrayList<ArrayBufferLike> | undefined;
  const flush = (): boolean => {
    if (merged === undefined) return true;
    const whole = merged.subarray();
    merged = undefined;
    return send(whole);
  };
  const add = (chunk: Chunk): void => {
    if (merged === undefined) {
      merged = new Uint8ArrayList();
      queueMicrotask(flush);
    }
    merged.append(chunk);
  };
  connection.send = (chunk) => {
    const update = windowUpdateOf(chunk);
    if (update === undefined) add(chunk);
    else {
      const bytes = (withheld.get(update.stream) ?? 0) + update.bytes;
      withheld.set(update.stream, bytes);
      if (bytes >= WITHHELD_BYTES_MAX) {
        withheld.delete(update.stream);
        add(windowUpdate(update.stream, bytes));
      } else if (withheld.size > WITHHELD_STREAMS_MAX) {
        for (const [stream, rest] of withheld) add(windowUpdate(stream, rest));
        withheld.clear();
      }
    }
    if (merged !== undefined && merged.byteLength >= MERGED_BYTES_MAX) return flush();
    // False promises a drain event, so only the connection itself may say it.
    return !connection.writableNeedsDrain;
  };
  connection.close = (options) => {
    flush();
    return close(options);
  };
}

/** What a chunk grants, if it is one frame that does nothing else: one with flags also opens or ends its stream. */
function windowUpdateOf(chunk: Chunk): { stream: number; bytes: number } | undefined {
  if (!(chunk instanceof Uint8Array) || chunk.byteLength !== HEADER_BYTES) return undefined;
  if (chunk[1] !== TYPE_WINDOW_UPDATE || chunk[2] !== 0 || chunk[3] !== 0) return undefined;
  const view = new DataView(chunk.buffer, chunk.byteOffset, HEADER_BYTES);
  return { stream: view.getUint32(4), bytes: view.getUint32(8) };
}

function windowUpdate(stream: number, bytes: number): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES);
  const view = new DataView(frame.buffer);
  frame[1] = TYPE_WINDOW_UPDATE;
  view.setUint32(4, stream);
  view.setUint32(8, bytes);
  return frame;
}
