/**
 * What exec and attach have in common, whatever carries them: stdin to the container, output to the client, and at the end
 * one word on how it went.
 */

import type { ExecExit, ExecSession } from '../../lib/container-streams.ts';
import { messageOf } from '../../lib/errors.ts';

/** The client's side of a session. */
export interface CommandChannels {
  /** Absent when the client gave no stdin. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  /** Sizes of the client's terminal; the listener is called for the last one already known, too. */
  onResize(listener: (columns: number, rows: number) => void): void;
  /** Resolves when the client's connection took the bytes. */
  write(channel: 'stdout' | 'stderr', data: Uint8Array): Promise<void>;
  /** Tells the outcome on the error channel and closes in order. */
  finish(status: CommandStatus): Promise<void>;
  /** Fires when the client is gone. */
  readonly closed: AbortSignal;
}

/** The Status on the error channel. */
export type CommandStatus = {
  readonly kind?: 'Status';
  readonly apiVersion?: 'v1';
  readonly metadata: object;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly causes: readonly { readonly reason?: string; readonly message: string }[];
  };
  readonly code?: number;
};

/** Runs a session to its end. Never rejects. */
export async function runSession(
  start: () => Promise<ExecSession>,
  channels: CommandChannels,
): Promise<void> {
  let session: ExecSession;
  try {
    session = await start();
  } catch (error) {
    await channels.finish(failedStatus(messageOf(error))).catch(ignore);
    return;
  }
  const onClosed = () => session.abort();
  channels.closed.addEventListener('abort', onClosed, { once: true });
  if (channels.closed.aborted) session.abort();
  channels.onResize((columns, rows) => session.resize(columns, rows));
  const { stdin } = channels;
  if (stdin === undefined) session.closeStdin();
  else pumpStdin(stdin, session).catch(ignore);
  try {
    for await (const { channel, data } of session.output) await channels.write(channel, data);
    await channels.finish(exitStatus(await session.exit));
  } catch (error) {
    session.abort();
    await channels.finish(failedStatus(messageOf(error))).catch(ignore);
  } finally {
    channels.closed.removeEventListener('abort', onClosed);
  }
}

async function pumpStdin(stdin: AsyncIterable<Uint8Array>, session: ExecSession): Promise<void> {
  try {
    for await (const data of stdin) await session.writeStdin(data);
  } finally {
    session.closeStdin();
  }
}

/** The Status for the way a command ended. */
export function exitStatus(exit: ExecExit): CommandStatus {
  if (exit.kind === 'failed') return failedStatus(exit.message);
  if (exit.code === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exit.code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exit.code) }] },
  };
}

function failedStatus(message: string): CommandStatus {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `Internal error occurred: error executing command in container: ${message}`,
    reason: 'InternalError',
    details: { causes: [{ message }] },
    code: 500,
  };
}

/** The error channel's text: a Status for version 4 and up; older clients read plain words, and nothing for success. */
export function errorChannelText(status: CommandStatus, structured: boolean): string {
  if (structured) return JSON.stringify(status);
  return status.status === 'Success' ? '' : (status.message ?? 'unknown error');
}

function ignore(): void {}
