/**
 * Header blocks: name and value pairs, compressed with one zlib stream per direction for the whole connection, so blocks
 * must be coded in the order of their frames.
 */

import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { SkeinError } from '../../../lib/errors.ts';
import { SPDY_DICTIONARY } from './dictionary.ts';

export type Headers = ReadonlyMap<string, string>;

/** A block that inflates to more is an attack, or not for us. */
const BLOCK_BYTES_MAX = 64 * 1024;
const PAIRS_MAX = 256;

/** The header coders of one connection. */
export class HeaderCodec {
  readonly #inflate: Inflate;
  readonly #deflate: Deflate;

  constructor() {
    const shared = { dictionary: SPDY_DICTIONARY, readableHighWaterMark: 2 * BLOCK_BYTES_MAX };
    const flush = constants.Z_SYNC_FLUSH;
    this.#inflate = createInflate({ ...shared, flush, finishFlush: flush });
    this.#deflate = createDeflate({ ...shared, flush });
  }

  /** Decodes a block. Rejects with stream-closed when it is malformed. Not to be called concurrently. */
  async decode(block: Uint8Array): Promise<Headers> {
    return parsePairs(await pass(this.#inflate, block));
  }

  /** Encodes pairs; names are lower case. Not to be called concurrently. */
  encode(headers: Headers): Promise<Buffer> {
    const pieces = [word(headers.size)];
    for (const [name, value] of headers) {
      for (const text of [name, value]) {
        const bytes = Buffer.from(text);
        pieces.push(word(bytes.length), bytes);
      }
    }
    return pass(this.#deflate, Buffer.concat(pieces));
  }

  close(): void {
    this.#inflate.destroy();
    this.#deflate.destroy();
  }
}

/** One block through a coder that flushes after every write. */
function pass(coder: Inflate | Deflate, input: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (error?: Error) => {
      coder.off('readable', collect);
      coder.off('error', fail);
      coder.off('close', onClose);
      if (error === undefined) resolve(Buffer.concat(chunks));
      else reject(error);
    };
    const fail = (error: Error) => finish(malformed(error.message, error));
    const onClose = () => finish(malformed('the connection was closed'));
    const collect = () => {
      for (;;) {
        const chunk = coder.read() as Buffer | null;
        if (chunk === null) return;
        chunks.push(chunk);
        size += chunk.length;
        if (size > BLOCK_BYTES_MAX) return fail(new Error('the header block is too large'));
      }
    };
    coder.on('readable', collect);
    coder.once('error', fail);
    coder.once('close', onClose);
    coder.write(input, () => {
      if (coder.destroyed) return;
      collect();
      if (size <= BLOCK_BYTES_MAX) finish();
    });
  });
}

function parsePairs(block: Buffer): Headers {
  const headers = new Map<string, string>();
  let offset = 0;
  const readLength = (): number => {
    if (offset + 4 > block.length) throw malformed('the header block ends early');
    const length = block.readUInt32BE(offset);
    offset += 4;
    return length;
  };
  const readText = (): string => {
    const length = readLength();
    if (offset + length > block.length) throw malformed('the header block ends early');
    const text = block.toString('utf8', offset, offset + length);
    offset += length;
    return text;
  };
  const pairs = readLength();
  if (pairs > PAIRS_MAX) throw malformed(`${pairs} headers are too many`);
  for (let pair = 0; pair < pairs; pair++) {
    const name = readText().toLowerCase();
    headers.set(name, readText());
  }
  return headers;
}

function malformed(message: string, cause?: unknown): SkeinError {
  return new SkeinError('stream-closed', `SPDY: ${message}`, { cause });
}

function word(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
