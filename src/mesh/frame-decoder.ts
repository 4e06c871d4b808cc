/**
 * Cuts a byte stream into frames: four bytes of length, big endian, then that many bytes. Chunks are
 * kept as they came until a frame is whole, so a large frame is copied once however it was split.
 */

import { SkeinError } from '../lib/errors.ts';

/** Bytes of the length in front of every frame. */
export const FRAME_HEADER_BYTES = 4;

/** A frame that keeps a buffer this many bytes larger than itself alive is copied out of it. */
const PINNED_BYTES_MAX = 4096;

export class FrameDecoder {
  readonly #frameBytesMax: number;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** Length of the frame being received, or undefined while its header is incomplete. */
  #expected: number | undefined;

  /** @param frameBytesMax a longer announced frame makes `push` throw frame-too-large. */
  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** True when the stream may end here: no frame is half received. */
  get atBoundary(): boolean {
    return this.#buffered === 0 && this.#expected === undefined;
  }

  /** Takes received bytes and calls `onFrame` for each frame they complete. */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.byteLength;
    for (;;) {
      if (this.#expected === undefined) {
        if (this.#buffered < FRAME_HEADER_BYTES) return;
        this.#expected = this.#readLength();
      }
      if (this.#buffered < this.#expected) return;
      const length = this.#expected;
      this.#expected = undefined;
      onFrame(unpinned(this.#take(length)));
    }
  }

  #readLength(): number {
    const header = this.#take(FRAME_HEADER_BYTES);
    const view = new DataView(header.buffer, header.byteOffset, FRAME_HEADER_BYTES);
    const length = view.getUint32(0);
    if (length > this.#frameBytesMax) {
      throw new SkeinError(
        'frame-too-large',
        `a frame of ${length} bytes exceeds the limit of ${this.#frameBytesMax}`,
      );
    }
    return length;
  }

  /** Removes the next `length` bytes, which are there: a view when one chunk holds them all. */
  #take(length: number): Uint8Array {
    const first = this.#chunks[0];
    this.#buffered -= length;
    if (first !== undefined && first.byteLength >= length) {
      if (first.byteLength === length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const whole = new Uint8Array(length);
    let filled = 0;
    let used = 0;
    while (filled < length) {
      const chunk = this.#chunks[used];
      if (chunk === undefined) break;
      const part = Math.min(chunk.byteLength, length - filled);
      whole.set(part === chunk.byteLength ? chunk : chunk.subarray(0, part), filled);
      filled += part;
      if (part === chunk.byteLength) used++;
      else this.#chunks[used] = chunk.subarray(part);
    }
    this.#chunks.splice(0, used);
    return whole;
  }
}

/** The frame itself, or a copy if it would keep a much larger buffer alive. */
function unpinned(frame: Uint8Array): Uint8Array {
  const pinned = frame.buffer.byteLength - frame.byteLength;
  if (pinned <= PINNED_BYTES_MAX || pinned <= frame.byteLength) return frame;
  return new Uint8Array(frame);
}
