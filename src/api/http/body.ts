/** Reads a request's body whole, within a limit of size; the server's request timeout bounds its time. */

import type { IncomingMessage } from 'node:http';
import { SkeinError } from '../../lib/errors.ts';
import { failure } from '../status.ts';

/** Largest body, as upstream's. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;
const DISCARDED_BYTES_MAX = 64 * 1024 * 1024;

/** The body's bytes. Rejects with ApiError 413 when too large, SkeinError aborted when the client goes away. */
export function readBody(request: IncomingMessage, bytesMax = BODY_BYTES_MAX): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > bytesMax) {
    discard(request);
    return Promise.reject(tooLarge(bytesMax));
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let refused = false;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= bytesMax) chunks.push(chunk);
      else if (!refused) {
        refused = true;
        chunks.length = 0;
        discard(request);
        reject(tooLarge(bytesMax));
      }
    });
    request.on('end', () => {
      const [first] = chunks;
      resolve(first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks));
    });
    const gone = () => {
      if (request.complete) return;
      reject(new SkeinError('aborted', 'the client went away before its body ended'));
    };
    request.on('error', gone);
    request.on('close', gone);
  });
}

/**
 * Reads on without keeping anything: a client that is cut off while it sends does not get to see why. Of what is beyond
 * all reason it need not hear more.
 */
function discard(request: IncomingMessage): void {
  let left = DISCARDED_BYTES_MAX;
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
}

function tooLarge(bytesMax: number) {
  return failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${bytesMax}`);
}
