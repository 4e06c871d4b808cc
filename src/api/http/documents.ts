/** Sends documents that clients keep: with ETag, and 304 when they have the present one. */

import type { Document } from '../discovery/documents.ts';
import type { Exchange } from './exchange.ts';

export type DocumentOptions = {
  /** Default application/json. */
  readonly contentType?: string;
  /** True for addresses that contain the content's hash: the answer never changes. Default false. */
  readonly immutable?: boolean;
};

/** Answers with a document, or 304 if the client's copy is current. */
export function sendDocument(
  exchange: Pick<Exchange, 'request' | 'response'>,
  document: Document,
  options: DocumentOptions = {},
): void {
  const { request, response } = exchange;
  const etag = `"${document.etag}"`;
  const caching = options.immutable ? 'public, immutable' : 'no-cache, private';
  const headers = ['ETag', etag, 'Vary', 'Accept', 'Cache-Control', caching];
  const held = request.headers['if-none-match'];
  if (held?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)) {
    response.writeHead(304, headers);
    response.end();
    return;
  }
  headers.push('Content-Type', options.contentType ?? 'application/json');
  headers.push('Content-Length', String(document.bytes.length));
  response.writeHead(200, headers);
  response.end(document.bytes);
}
