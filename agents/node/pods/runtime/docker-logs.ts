/** Logs of a container, as plain bytes with backpressure. */

import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { LogOptions } from '../../../../src/lib/container-streams.ts';
import { dockerFrames } from './docker-frames.ts';

/** Log bytes of standard output and error in the order Docker wrote them. */
export async function dockerLogs(
  docker: Docker,
  id: string,
  options: Omit<LogOptions, 'previous'>,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const info = await docker.getContainer(id).inspect({ abortSignal: signal });
  const stream = await open(docker, id, options, signal);
  const onAbort = () => stream.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  stream.on('error', () => {}); // Shown to the reader as the end of the log.
  stream.once('close', () => signal.removeEventListener('abort', onAbort));
  return limited(info.Config.Tty ? raw(stream) : payloads(stream), options.limitBytes);
}

function open(
  docker: Docker,
  id: string,
  options: Omit<LogOptions, 'previous'>,
  signal: AbortSignal,
): Promise<Readable> {
  const { follow = false, timestamps = false, tailLines } = options;
  const since = sinceSeconds(options, Date.now());
  const query = {
    stdout: true,
    stderr: true,
    follow,
    timestamps,
    ...(tailLines === undefined ? {} : { tail: tailLines }),
    ...(since === undefined ? {} : { since }),
  };
  // The library's own call would hold a whole log in memory unless it follows.
  return new Promise((resolve, reject) => {
    docker.modem.dial(
      {
        path: `/containers/${id}/logs?`,
        method: 'GET',
        isStream: true,
        abortSignal: signal,
        statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
        options: query,
      },
      (error: unknown, stream: unknown) => (error ? reject(error) : resolve(stream as Readable)),
    );
  });
}

/** Seconds since the epoch: the only form the daemon takes; durations are its command line's own. */
function sinceSeconds(options: Omit<LogOptions, 'previous'>, nowMs: number): string | undefined {
  if (options.sinceTime !== undefined) {
    const ms = Date.parse(options.sinceTime);
    return Number.isNaN(ms) ? undefined : (ms / 1000).toFixed(3);
  }
  if (options.sinceSeconds === undefined) return undefined;
  return (nowMs / 1000 - options.sinceSeconds).toFixed(3);
}

async function* payloads(stream: Readable): AsyncGenerator<Uint8Array> {
  for await (const { data } of dockerFrames(stream)) yield data;
}

async function* raw(stream: Readable): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield chunk as Uint8Array;
}

async function* limited(
  source: AsyncIterable<Uint8Array>,
  limitBytes: number | undefined,
): AsyncGenerator<Uint8Array> {
  let left = limitBytes ?? Number.POSITIVE_INFINITY;
  for await (const chunk of source) {
    if (left <= 0) return;
    yield chunk.length > left ? chunk.subarray(0, left) : chunk;
    left -= chunk.length;
    if (left <= 0) return;
  }
}
