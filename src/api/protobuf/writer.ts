/**
 * Writes protobuf into one growing buffer. The length of a nested message is known only after it, so four bytes are kept for it and
 * filled in later: a varint may be longer than it needs to be.
 */

import { WIRE } from './wire.ts';

const INITIAL_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;

/** Builds one message. Absent and empty values write nothing, as in proto3. */
export class ProtoWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #end = 0;

  string(number: number, value: string | undefined): void {
    if (value === undefined || value === '') return;
    const length = Buffer.byteLength(value);
    this.#room(length + 16);
    this.#varint(number * 8 + WIRE.bytes);
    this.#varint(length);
    this.#end += this.#buffer.write(value, this.#end);
  }

  strings(number: number, values: readonly string[]): void {
    for (const value of values) this.string(number, value);
  }

  bool(number: number, value: boolean): void {
    if (!value) return;
    this.#room(16);
    this.#varint(number * 8 + WIRE.varint);
    this.#varint(1);
  }

  /** A message as a field; `write` writes its fields. */
  nested(number: number, write: () => void): void {
    this.#room(16);
    this.#varint(number * 8 + WIRE.bytes);
    const start = this.#end + LENGTH_BYTES;
    this.#end = start;
    write();
    let length = this.#end - start;
    for (let index = LENGTH_BYTES; index > 0; index--) {
      const more = index > 1 ? 0x80 : 0;
      this.#buffer[start - index] = (length & 0x7f) | more;
      length >>>= 7;
    }
  }

  /** A copy of what was written. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#end));
  }

  #varint(value: number): void {
    while (value >= 0x80) {
      this.#buffer[this.#end++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    this.#buffer[this.#end++] = value;
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#end + bytes));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }
}
