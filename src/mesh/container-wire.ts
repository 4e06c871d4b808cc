/** What the two ends of a container tunnel say to each other: one session per stream. */

import type {
  ContainerTarget,
  ExecExit,
  ExecOptions,
  LogOptions,
} from '../lib/container-streams.ts';
import { SkeinError } from '../lib/errors.ts';
import { decode, encode } from './codec.ts';
import { toSkeinError } from './rpc-wire.ts';

export const CONTAINER_PROTOCOL = '/skein/containers/1';

/** The first byte of a frame. */
export const TAG = {
  /** Client, first: a SessionRequest. */
  open: 0,
  /** Server, first: the session runs. */
  opened: 1,
  /** Server: a failure, instead of `opened` or of the rest. */
  failed: 2,
  /** Client: bytes for standard input or the port. */
  input: 3,
  /** Client: no more input. */
  inputEnd: 4,
  /** Client: the terminal's size, two big-endian 16 bit numbers. */
  resize: 5,
  /** Server: bytes of standard output, the log or the port. */
  output: 6,
  /** Server: bytes of standard error. */
  errorOutput: 7,
  /** Server, last: how the process ended. */
  exit: 8,
} as const;

export type SessionRequest =
  | { readonly kind: 'logs'; readonly target: ContainerTarget; readonly options: LogOptions }
  | { readonly kind: 'exec'; readonly target: ContainerTarget; readonly options: ExecOptions }
  | {
      readonly kind: 'attach';
      readonly target: ContainerTarget;
      readonly options: Omit<ExecOptions, 'command'>;
    }
  | {
      readonly kind: 'port-forward';
      readonly target: Omit<ContainerTarget, 'container'>;
      readonly port: number;
    };

const KINDS: readonly string[] = ['logs', 'exec', 'attach', 'port-forward'];

/** Reads the opening frame. Throws data-damaged if it is none: the peers' versions differ. */
export function decodeSessionRequest(payload: Uint8Array): SessionRequest {
  const value = decode(payload) as SessionRequest | null;
  if (value !== null && typeof value === 'object' && KINDS.includes(value.kind)) return value;
  throw new SkeinError('data-damaged', 'a container session was asked for in an unknown form');
}

export function encodeFailure(error: SkeinError): Uint8Array {
  return encode([error.code, error.message, error.retryable]);
}

export function decodeFailure(payload: Uint8Array): SkeinError {
  const [code, message, retryable] = decode(payload) as unknown[];
  return toSkeinError(String(code), String(message), retryable === true);
}

export function encodeExit(exit: ExecExit): Uint8Array {
  return encode(exit);
}

export function decodeExit(payload: Uint8Array): ExecExit {
  const exit = decode(payload) as Partial<Record<'kind' | 'code' | 'message', unknown>>;
  if (exit.kind === 'exited') return { kind: 'exited', code: Number(exit.code) };
  return { kind: 'failed', message: String(exit.message) };
}
