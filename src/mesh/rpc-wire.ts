/**
 * The frames of a request stream, as small msgpack arrays. The side that opened the stream asks, the
 * other answers, in any order; a number unique to the stream ties an answer to its request.
 */

import { ERROR_CODES, type ErrorCode, messageOf, SkeinError } from '../lib/errors.ts';
import { decode, encode } from './codec.ts';

export type RpcFrame =
  | {
      readonly kind: 'request';
      readonly id: number;
      readonly method: string;
      /** What is left of the caller's deadline when it sent the frame. */
      readonly deadlineMs: number;
      readonly body: unknown;
    }
  | { readonly kind: 'answer'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: SkeinError }
  | { readonly kind: 'cancel'; readonly id: number };

const REQUEST = 0;
const ANSWER = 1;
const FAILURE = 2;
const CANCEL = 3;

/** Encodes one frame. Throws if a body holds what msgpack cannot carry. */
export function encodeRpcFrame(frame: RpcFrame): Uint8Array {
  switch (frame.kind) {
    case 'request':
      return encode([REQUEST, frame.id, frame.method, frame.deadlineMs, frame.body]);
    case 'answer':
      return encode([ANSWER, frame.id, frame.body]);
    case 'failure': {
      const { code, message, retryable } = frame.error;
      return encode([FAILURE, frame.id, code, message, retryable]);
    }
    case 'cancel':
      return encode([CANCEL, frame.id]);
  }
}

/** Decodes one frame. Throws data-damaged if it is none. */
export function decodeRpcFrame(bytes: Uint8Array): RpcFrame {
  const parts = decodeParts(bytes);
  const [kind, id, third, fourth, fifth] = parts;
  if (typeof id === 'number') {
    if (kind === ANSWER) return { kind: 'answer', id, body: third };
    if (kind === REQUEST && typeof third === 'string' && typeof fourth === 'number') {
      return { kind: 'request', id, method: third, deadlineMs: fourth, body: fifth };
    }
    if (kind === FAILURE && typeof third === 'string' && typeof fourth === 'string') {
      return { kind: 'failure', id, error: toSkeinError(third, fourth, fifth === true) };
    }
    if (kind === CANCEL) return { kind: 'cancel', id };
  }
  throw new SkeinError('data-damaged', 'a request frame has an unknown shape');
}

/** The operational error that stands for anything a handler threw. */
export function toOperational(error: unknown, method: string): SkeinError {
  if (error instanceof SkeinError) return error;
  return new SkeinError('remote-failed', `${method} failed: ${messageOf(error)}`, { cause: error });
}

function decodeParts(bytes: Uint8Array): unknown[] {
  try {
    const parts = decode(bytes);
    if (Array.isArray(parts)) return parts;
  } catch (cause) {
    throw new SkeinError('data-damaged', 'a request frame cannot be decoded', { cause });
  }
  return [];
}

/** The error that a code and a text from another node stand for. */
export function toSkeinError(code: string, message: string, retryable: boolean): SkeinError {
  if (isErrorCode(code)) return new SkeinError(code, message, { retryable });
  // A newer version may know more codes; its message still says what happened.
  return new SkeinError('remote-failed', `${code}: ${message}`, { retryable });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}
