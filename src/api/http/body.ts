/** Reads a request's body whole, within a limit of size; the server's request timeout bounds its time. */

import type { IncomingMessage } from 'node:http';
import { SkeinError } from '../../lib/errors.ts';
import { failure } from '../status.ts';

/** Largest body, as upstream's. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;

/** The body's bytes. Rejects with ApiError 413 when too large, SkeinError aborted when the client goes away. */
export function readBody(request: IncomingMessage, bytesMax = BODY_BYTES_MAX): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > bytesMax) return Promise.reject(tooLarge(bytesMax));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > bytesMax) {
        request.pause();
        reject(tooLarge(bytesMax));
        return;
      }
      chunks.push(chunk);
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

function tooLarge(bytesMax: number) {
  return failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${bytesMax}`);
}
