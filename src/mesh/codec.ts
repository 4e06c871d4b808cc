/**
 * The one binary encoding of what travels between nodes: msgpack without records (every message
 * stands alone) and with copied byte values, so that keeping a decoded value never pins the network
 * buffer it came in.
 */

import { Packr } from 'msgpackr';

const packr = new Packr({ useRecords: false, copyBuffers: true });

/** Encodes any value of plain objects, arrays, strings, numbers, booleans, null and Uint8Array. */
export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Decodes what `encode` made. Throws on damaged bytes. */
export function decode(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}
