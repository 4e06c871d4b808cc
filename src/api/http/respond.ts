/** Writing answers: one header list per answer, bodies as the bytes they already are. */

import type { ServerResponse } from 'node:http';
import { stringify } from 'yaml';
import type { StatusObject } from '../types.ts';
import type { Representation } from './negotiate.ts';

/** Most Warning headers on one answer, and the length of each, so that headers stay within clients' limits. */
const WARNINGS_MAX = 50;
const WARNING_CHARS_MAX = 1024;

const NO_CACHE = 'no-cache, private';

/** Sends a complete body. `parts` are written in order without copying. */
export function send(
  response: ServerResponse,
  code: number,
  contentType: string,
  parts: readonly Buffer[],
  warnings: readonly string[] = [],
): void {
  if (response.headersSent || response.destroyed) return;
  let length = 0;
  for (const part of parts) length += part.length;
  const headers: string[] = [
    'Content-Type',
    contentType,
    'Cache-Control',
    NO_CACHE,
    'Content-Length',
    String(length),
  ];
  addWarnings(headers, warnings);
  response.writeHead(code, headers);
  const [only] = parts;
  if (parts.length === 1) {
    response.end(only);
    return;
  }
  response.cork();
  for (const part of parts) response.write(part);
  response.end();
}

/** Sends JSON bytes in the asked format: as they are, or rewritten as YAML. */
export function sendFormatted(
  response: ServerResponse,
  code: number,
  representation: Pick<Representation, 'format'>,
  parts: readonly Buffer[],
  warnings: readonly string[] = [],
): void {
  if (representation.format === 'json') {
    send(response, code, 'application/json', parts, warnings);
    return;
  }
  const value: unknown = JSON.parse(Buffer.concat(parts).toString());
  const text = stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
  send(response, code, 'application/yaml', [Buffer.from(text)], warnings);
}

/** Sends a value as JSON. */
export function sendValue(response: ServerResponse, code: number, value: unknown): void {
  send(response, code, 'application/json', [Buffer.from(`${JSON.stringify(value)}\n`)]);
}

/** Sends plain text. */
export function sendText(response: ServerResponse, code: number, text: string): void {
  send(response, code, 'text/plain; charset=utf-8', [Buffer.from(text)]);
}

/** Sends a failure Status, with Retry-After where it carries one. */
export function sendStatus(
  response: ServerResponse,
  status: StatusObject,
  warnings: readonly string[] = [],
): void {
  if (response.headersSent || response.destroyed) {
    // Too late for words: cutting the connection is the only way to tell an incomplete body from a whole one.
    response.destroy();
    return;
  }
  const { code } = status;
  const seconds = status.details?.retryAfterSeconds;
  if (seconds !== undefined) response.setHeader('Retry-After', String(seconds));
  const body = Buffer.from(`${JSON.stringify(status)}\n`);
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('Cache-Control', NO_CACHE);
  response.setHeader('Content-Length', body.length);
  const headers: string[] = [];
  addWarnings(headers, warnings);
  for (let index = 1; index < headers.length; index += 2) {
    response.appendHeader('Warning', headers[index] ?? '');
  }
  response.statusCode = code;
  response.end(body);
}

/** Appends `Warning: 299 - "<text>"` per distinct text. */
export function addWarnings(headers: string[], warnings: readonly string[]): void {
  if (warnings.length === 0) return;
  for (const text of [...new Set(warnings)].slice(0, WARNINGS_MAX)) {
    headers.push('Warning', `299 - "${quotable(text)}"`);
  }
}

/** Header values are bytes without control characters; quotes and backslashes are escaped. */
function quotable(text: string): string {
  const line = text
    .slice(0, WARNING_CHARS_MAX)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a header
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .replace(/[\\"]/g, '\\$&');
  return Buffer.from(line, 'utf8').toString('latin1');
}
