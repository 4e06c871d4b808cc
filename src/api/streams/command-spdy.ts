/**
 * Exec and attach over SPDY/3.1, as kubectl before 1.30 and client-go's older executor do: one stream per channel, named by
 * its streamType header.
 */

import type { Clock } from '../../lib/clock.ts';
import { SkeinError } from '../../lib/errors.ts';
import { type CommandRequest, parseSize } from './command-websocket.ts';
import { type CommandChannels, type CommandStatus, errorChannelText } from './session.ts';
import type { SpdyConnection, SpdyStream } from './spdy/connection.ts';

/** Versions by preference; the client's order decides. */
export const COMMAND_PROTOCOLS: readonly string[] = [
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
];

/** Longest wait for the client to open its streams. */
export const STREAMS_DEADLINE_MS = 30_000;
/** A resize message is tiny; a longer one is none. */
const RESIZE_BYTES_MAX = 4096;

type StreamType = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize';

/** Which streams a client opens for a request. */
export function expectedStreams(request: CommandRequest, protocol: string): readonly StreamType[] {
  const resizes = protocol.startsWith('v3') || protocol.startsWith('v4');
  const expected: StreamType[] = ['error'];
  if (request.stdin) expected.push('stdin');
  if (request.stdout) expected.push('stdout');
  // A terminal has one output.
  if (request.stderr && !request.tty) expected.push('stderr');
  if (request.tty && resizes) expected.push('resize');
  return expected;
}

/** Gathers the streams of one session as the client opens them. */
export class SpdyCommandStreams {
  readonly #expected: readonly StreamType[];
  readonly #streams = new Map<string, SpdyStream>();
  readonly #complete = Promise.withResolvers<void>();
  #replied = 0;

  constructor(expected: readonly StreamType[]) {
    this.#expected = expected;
    this.#complete.promise.catch(() => undefined);
  }

  /** For SpdyConnection's onStream. */
  readonly accept = (stream: SpdyStream): void => {
    const type = stream.headers.get('streamtype') ?? '';
    if (!this.#expected.includes(type as StreamType) || this.#streams.has(type)) {
      stream.reset();
      return;
    }
    this.#streams.set(type, stream);
    // A client that gets data before the reply waits for the reply for ever.
    const onReplied = () => {
      this.#replied++;
      if (this.#replied === this.#expected.length) this.#complete.resolve();
    };
    stream.reply().then(onReplied, (error) => this.#complete.reject(error));
  };

  /** Resolves when all are there; rejects with deadline-exceeded or stream-closed. */
  async complete(clock: Clock, closed: AbortSignal): Promise<void> {
    const timer = clock.after(STREAMS_DEADLINE_MS, () =>
      this.#complete.reject(
        new SkeinError('deadline-exceeded', 'the client did not open its streams in time'),
      ),
    );
    const onClosed = () =>
      this.#complete.reject(new SkeinError('stream-closed', 'the client closed the connection'));
    closed.addEventListener('abort', onClosed, { once: true });
    try {
      await this.#complete.promise;
    } finally {
      timer.cancel();
      closed.removeEventListener('abort', onClosed);
    }
  }

  /** The session's channels, after `complete`. */
  channels(connection: SpdyConnection, protocol: string, closed: AbortSignal): CommandChannels {
    const streams = this.#streams;
    const resize = streams.get('resize');
    return {
      stdin: streams.get('stdin')?.input,
      closed,
      onResize(listener) {
        if (resize !== undefined) readSizes(resize, listener).catch(() => undefined);
      },
      async write(channel, data) {
        await streams.get(channel)?.write(data);
      },
      async finish(status: CommandStatus) {
        const error = streams.get('error');
        const text = errorChannelText(status, protocol.startsWith('v4'));
        if (text !== '') await error?.write(Buffer.from(text));
        for (const stream of streams.values()) stream.end();
        connection.close();
      },
    };
  }
}

/** Sizes come as JSON values one after the other, with nothing but white space between them. */
async function readSizes(
  stream: SpdyStream,
  listener: (columns: number, rows: number) => void,
): Promise<void> {
  let held = '';
  for await (const chunk of stream.input) {
    held += Buffer.from(chunk).toString();
    for (let end = held.indexOf('}'); end >= 0; end = held.indexOf('}')) {
      const size = parseSize(held.slice(0, end + 1));
      if (size !== undefined) listener(...size);
      held = held.slice(end + 1);
    }
    if (held.length > RESIZE_BYTES_MAX) held = '';
  }
}
