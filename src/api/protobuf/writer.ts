/** Building protobuf messages field by field. A message is a list of pieces; an absent value writes nothing. */

import { WIRE } from './wire.ts';

/** The bytes of one field, or of a whole message. */
export type Piece = Buffer;

/** A message made of its fields. */
export function message(...fields: readonly (Piece | readonly Piece[] | undefined)[]): Piece {
  return Buffer.concat(fields.flat().filter((field) => field !== undefined));
}

/** A string, or a message made before. */
export function bytesField(number: number, value: string | Piece | undefined): Piece | undefined {
  if (value === undefined) return undefined;
  const content = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint(number * 8 + WIRE.bytes), varint(content.length), content]);
}

/** A boolean; false is the default and is left out. */
export function boolField(number: number, value: unknown): Piece | undefined {
  return value === true
    ? Buffer.concat([varint(number * 8 + WIRE.varint), Buffer.of(1)])
    : undefined;
}

/** One field per value. */
export function repeatedField(
  number: number,
  values: readonly (string | Piece)[] | undefined,
): readonly Piece[] {
  return (values ?? []).map((value) => bytesField(number, value) ?? Buffer.alloc(0));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  while (value >= 0x80) {
    bytes.push((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  bytes.push(value);
  return Buffer.from(bytes);
}
