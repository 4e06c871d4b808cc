/**
 * As much of HTTP/2, gRPC and etcd's KV messages as two calls take, written and read by hand: the client that measures must
 * cost little beside what it measures, and both products get the very same bytes. What it does not know it ignores.
 */

/** RFC 9113, section 6. */
export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
} as const;
export const FLAG = { ack: 1, endStream: 1, endHeaders: 4 } as const;
const FRAME_HEADER_BYTES = 9;
/** Largest frame without asking for more; a message must fit. */
export const FRAME_BYTES_MAX = 16_384;
const WINDOW_MAX = 2 ** 31 - 1;
const WINDOW_INITIAL = 65_535;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export type Frame = {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
};

/** A frame as bytes. */
export function encodeFrame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.writeUInt32BE(stream, 5);
  payload.copy(frame, FRAME_HEADER_BYTES);
  return frame;
}

/** Settings that neither side has to think about windows with: each stream and the connection get the largest. */
export function openingFrames(): Buffer {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(4, 0); // SETTINGS_INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(WINDOW_MAX, 2);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(WINDOW_MAX - WINDOW_INITIAL, 0);
  return Buffer.concat([
    encodeFrame(FRAME.settings, 0, 0, settings),
    encodeFrame(FRAME.windowUpdate, 0, 0, window),
  ]);
}

/** What both sides of a connection must answer at once, or undefined. */
export function replyTo({ type, flags, payload }: Frame): Buffer | undefined {
  if ((flags & FLAG.ack) !== 0) return undefined;
  if (type === FRAME.settings) return encodeFrame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0));
  if (type === FRAME.ping) return encodeFrame(FRAME.ping, FLAG.ack, 0, payload);
  return undefined;
}

/** Cuts received bytes into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #skip: number;

  /** @param skip bytes before the first frame: the preface, at the answering side. */
  constructor(skip = 0) {
    this.#skip = skip;
  }

  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, bytes.length);
      this.#skip -= skipped;
      bytes = bytes.subarray(skipped);
    }
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      onFrame({
        type: bytes[at + 3] ?? 0,
        flags: bytes[at + 4] ?? 0,
        stream: bytes.readUInt32BE(at + 5) & WINDOW_MAX,
        payload: bytes.subarray(at + FRAME_HEADER_BYTES, end),
      });
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}

/** The calls, by their paths. */
export const CALLS = {
  put: '/etcdserverpb.KV/Put',
  get: '/etcdserverpb.KV/Range',
  status: '/etcdserverpb.Maintenance/Status',
} as const;
export type Call = keyof typeof CALLS;

/** HPACK without a table of its own (RFC 7541, section 6.2.2): the same block for every request of a call. */
export function requestHeaders(call: Call): Buffer {
  return Buffer.concat([
    Buffer.from([0x83, 0x86]), // :method POST, :scheme http
    literal(4, CALLS[call]), // :path
    literal(1, 'bench'), // :authority
    literal(31, 'application/grpc'), // content-type
    literal('te', 'trailers'),
  ]);
}

/** Headers and trailers of an answer. */
export const ANSWER_HEADERS = Buffer.concat([
  Buffer.from([0x88]), // :status 200
  literal(31, 'application/grpc'),
]);
export const answerTrailers = (code: number): Buffer => literal('grpc-status', String(code));

function literal(name: number | string, value: string): Buffer {
  const text = Buffer.from(value, 'latin1');
  const head =
    typeof name === 'string'
      ? [0, name.length, ...Buffer.from(name, 'latin1')]
      : name < 15
        ? [name]
        : [15, name - 15];
  return Buffer.concat([Buffer.from([...head, text.length]), text]);
}

/** A message with gRPC's prefix: not compressed, and its length. */
export function grpcMessage(parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, ...parts], 5 + length);
}

/** A field of bytes (protobuf wire type 2). */
export function bytesField(field: number, value: Buffer): Buffer {
  const head = Buffer.from([(field << 3) | 2, ...varint(value.length)]);
  return Buffer.concat([head, value], head.length + value.length);
}

/** A field that is a number (wire type 0). */
export function numberField(field: number, value: number): Buffer {
  return Buffer.from([field << 3, ...varint(value)]);
}

/** The fields of a message by number; the last of each wins. Numbers beyond 2^53 lose their last bits, alike for equal ones. */
export function readFields(message: Buffer): Map<number, Buffer | number> {
  const fields = new Map<number, Buffer | number>();
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let factor = 1; at < message.length; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = number();
    if ((tag & 7) === 0) {
      fields.set(tag >>> 3, number());
    } else if ((tag & 7) === 2) {
      const length = number();
      fields.set(tag >>> 3, message.subarray(at, at + length));
      at += length;
    } else throw new TypeError(`a field of wire type ${tag & 7} is not expected`);
  }
  return fields;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  bytes.push(value);
  return bytes;
}
