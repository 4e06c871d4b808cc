/** Cuts a stream of arbitrary chunks into checksummed frames (`length (u32) | crc32c (u32) | payload`). */

import { crc32c } from '../lib/crc32c.ts';
import { SkeinError } from '../lib/errors.ts';

/** Longest payload believed; a longer one means that the stream is not what it claims to be. */
const PAYLOAD_BYTES_MAX = 256 * 1024 * 1024;
const HEADER_BYTES = 8;

/** Reads frame by frame; every problem is a data-damaged error. */
export class FrameReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #parts: Uint8Array[] = [];
  #available = 0;
  /** Over the checksums of all frames so far, in order. */
  checksum = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next frame's verified payload. */
  async next(): Promise<Buffer> {
    const header = await this.#take(HEADER_BYTES);
    const length = header.readUInt32LE(0);
    if (length > PAYLOAD_BYTES_MAX) throw damaged(`a frame claims ${length} bytes`);
    const payload = await this.#take(length);
    if (crc32c(payload) !== header.readUInt32LE(4)) throw damaged('a frame fails its checksum');
    this.checksum = crc32c(header.subarray(4, 8), this.checksum);
    return payload;
  }

  /** Asserts that nothing follows. */
  async end(): Promise<void> {
    const rest = await this.#chunks.next();
    if (this.#available > 0 || rest.done !== true) throw damaged('bytes follow its end');
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#available < length) {
      const chunk = await this.#chunks.next();
      if (chunk.done === true) throw damaged('it ends early');
      this.#parts.push(chunk.value);
      this.#available += chunk.value.length;
    }
    const joined = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    const whole = joined ?? new Uint8Array(0);
    this.#parts = [whole.subarray(length)];
    this.#available -= length;
    return Buffer.from(whole.buffer, whole.byteOffset, length);
  }
}

function damaged(why: string): SkeinError {
  return new SkeinError('data-damaged', `a store snapshot cannot be read: ${why}`);
}
