/** The protobuf wire format: tags, varints and length-delimited fields, with every length checked. */

/** Thrown for bytes that are not well-formed; the message is for the client. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Reads one message's fields in order. */
export class WireReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  /** The next field's number and wire type. */
  tag(): { readonly number: number; readonly wire: number } {
    const value = this.varint();
    const number = Math.floor(value / 8);
    if (number < 1) throw new WireError('proto: illegal tag 0');
    return { number, wire: value % 8 };
  }

  /** A signed 64-bit varint; beyond 2^53 precision is lost, as in any JSON number. */
  varint(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) throw new WireError('unexpected EOF');
      const bits = byte & 0x7f;
      if (shift < 28) low += bits * 2 ** shift;
      else if (shift === 28) {
        low += (bits & 0x0f) * 2 ** 28;
        high += bits >>> 4;
      } else high += bits * 2 ** (shift - 32);
      if (byte < 0x80) return (high | 0) * 2 ** 32 + low;
    }
    throw new WireError('proto: integer overflow');
  }

  bytes(): Buffer {
    const length = this.varint();
    const end = this.#offset + length;
    if (length < 0 || end > this.#bytes.length) throw new WireError('unexpected EOF');
    const slice = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return slice;
  }

  double(): number {
    const at = this.#advance(8);
    return this.#bytes.readDoubleLE(at);
  }

  /** Passes over a field that is not known. */
  skip(wire: number): void {
    switch (wire) {
      case WIRE.varint:
        this.varint();
        return;
      case WIRE.fixed64:
        this.#advance(8);
        return;
      case WIRE.bytes:
        this.bytes();
        return;
      case WIRE.fixed32:
        this.#advance(4);
        return;
      default:
        throw new WireError(`proto: illegal wireType ${wire}`);
    }
  }

  #advance(length: number): number {
    const at = this.#offset;
    if (at + length > this.#bytes.length) throw new WireError('unexpected EOF');
    this.#offset = at + length;
    return at;
  }
}
