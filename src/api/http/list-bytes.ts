/**
 * Lists as bytes. The items are stored JSON already, so a list is their concatenation under a small head. Whole,
 * unfiltered lists are remembered per resource and namespace for as long as nothing in them changes: the head, with its revision, is made
 * anew, the megabytes behind it are not.
 */

import type { ServerResponse } from 'node:http';
import type { Revision, StoredObject } from '../../store/types.ts';
import type { ListAnswer } from '../types.ts';
import { addWarnings } from './respond.ts';

/** Memory for remembered lists, all together. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;
/** Larger lists are streamed, and not remembered. */
export const WHOLE_LIST_BYTES_MAX = 8 * 1024 * 1024;
/** Size of the pieces a large list is streamed in. */
const PIECE_BYTES = 512 * 1024;

const TAIL = Buffer.from(']}\n');
const COMMA = 0x2c;
const COMMA_BYTES = Buffer.of(COMMA);

type Entry = { readonly changedAt: Revision | 0; readonly body: Buffer };

/** Remembers the item part of whole lists. */
export class ListCache {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** The body for `id` if nothing changed since it was made. */
  get(id: string, changedAt: Revision | 0): Buffer | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.changedAt !== changedAt) return undefined;
    // Reinserting keeps the map in order of last use.
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry.body;
  }

  put(id: string, changedAt: Revision | 0, body: Buffer): void {
    this.#drop(id);
    if (body.length > WHOLE_LIST_BYTES_MAX) return;
    this.#entries.set(id, { changedAt, body });
    this.#bytes += body.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= CACHE_BYTES_MAX) break;
      this.#drop(oldest);
    }
  }

  #drop(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#bytes -= entry.body.length;
  }
}

/** The list's `metadata` as JSON. */
export function listMetadata(answer: Omit<ListAnswer, 'items'>): string {
  return JSON.stringify({
    resourceVersion: String(answer.revision),
    ...(answer.continueToken === undefined ? {} : { continue: answer.continueToken }),
    ...(answer.remainingItemCount === undefined
      ? {}
      : { remainingItemCount: answer.remainingItemCount }),
  });
}

/** Everything before the items. */
export function listHead(listKind: string, apiVersion: string, metadata: string): Buffer {
  return Buffer.from(
    `{"kind":"${listKind}","apiVersion":"${apiVersion}","metadata":${metadata},"items":[`,
  );
}

/** The items joined by commas, and the end of the list. */
export function listBody(
  items: readonly StoredObject[],
  bytesOf: (item: StoredObject) => Buffer,
): Buffer {
  const pieces = items.map(bytesOf);
  let length = TAIL.length + Math.max(0, pieces.length - 1);
  for (const piece of pieces) length += piece.length;
  const body = Buffer.allocUnsafe(length);
  let offset = 0;
  for (const piece of pieces) {
    if (offset > 0) body[offset++] = COMMA;
    piece.copy(body, offset);
    offset += piece.length;
  }
  TAIL.copy(body, offset);
  return body;
}

/** Total size of the items: decides between one body and a stream. */
export function sizeOf(items: readonly StoredObject[]): number {
  let size = 0;
  for (const { bytes } of items) size += bytes.length;
  return size;
}

/** Streams a list too large to build at once, at the client's pace. */
export async function streamList(
  response: ServerResponse,
  head: Buffer,
  items: readonly StoredObject[],
  options: {
    readonly bytesOf: (item: StoredObject) => Buffer;
    readonly warnings: readonly string[];
    /** Rejects when the client is gone or too slow. */
    readonly drained: (response: ServerResponse) => Promise<void>;
  },
): Promise<void> {
  const headers = ['Content-Type', 'application/json', 'Cache-Control', 'no-cache, private'];
  addWarnings(headers, options.warnings);
  response.writeHead(200, headers);
  let pieces: Buffer[] = [head];
  let size = 0;
  for (const [index, item] of items.entries()) {
    const bytes = options.bytesOf(item);
    if (index > 0) pieces.push(COMMA_BYTES);
    pieces.push(bytes);
    size += bytes.length;
    if (size < PIECE_BYTES) continue;
    if (!response.write(Buffer.concat(pieces))) await options.drained(response);
    pieces = [];
    size = 0;
  }
  response.end(Buffer.concat([...pieces, TAIL]));
}
