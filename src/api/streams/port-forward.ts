/**
 * Port-forward: per local connection the client opens a pair of streams, one for data and one for the error that may
 * happen. It runs over SPDY, directly or inside a WebSocket (kubectl since 1.31), and over plain WebSocket channels for the
 * clients in JavaScript and Python.
 */

import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../../lib/clock.ts';
import type { ByteDuplex } from '../../lib/container-streams.ts';
import { messageOf, SkeinError } from '../../lib/errors.ts';
import { badRequest } from '../status.ts';
import { ByteChannel } from './byte-channel.ts';
import { SpdyConnection, type SpdyStream } from './spdy/connection.ts';

export const PORT_FORWARD_PROTOCOL = 'portforward.k8s.io';
export const TUNNEL_SUBPROTOCOL = 'SPDY/3.1+portforward.k8s.io';
/** The channel forms, by decreasing age of version; the bare name is what client libraries send. */
export const PORT_CHANNEL_SUBPROTOCOLS: readonly string[] = [
  'v4.channel.k8s.io',
  PORT_FORWARD_PROTOCOL,
];

/** The longest a data stream may wait for its error stream, or the other way round. */
const PAIR_DEADLINE_MS = 30_000;
const PORTS_MAX = 64;
const BUFFERED_BYTES_HIGH = 256 * 1024;

/** Connects to a port inside the pod. Rejects with words for the user. */
export type Dial = (port: number) => Promise<ByteDuplex>;

type Half = { readonly error?: SpdyStream; readonly data?: SpdyStream };

/** Serves a SPDY connection (direct or tunnelled) until the client closes it. Never rejects. */
export async function serveSpdyPortForward(
  transport: Duplex,
  head: Buffer,
  components: { readonly clock: Clock; readonly dial: Dial; readonly closed: AbortSignal },
): Promise<void> {
  const { clock, dial, closed } = components;
  const waiting = new Map<string, Half>();
  const onStream = (stream: SpdyStream) => {
    const port = portOf(stream.headers.get('port') ?? '');
    const type = stream.headers.get('streamtype');
    if (port === undefined || (type !== 'data' && type !== 'error')) {
      stream.reset();
      return;
    }
    // Clients older than request ids open the error stream right before its data stream.
    const fallback = type === 'error' ? stream.id : stream.id - 2;
    const id = stream.headers.get('requestid') ?? String(fallback);
    const replied = stream.reply();
    replied.catch(() => undefined);
    const pair = { ...waiting.get(id), [type]: stream };
    if (pair.data === undefined || pair.error === undefined) {
      waiting.set(id, pair);
      clock.after(PAIR_DEADLINE_MS, () => {
        if (waiting.get(id) !== pair) return;
        waiting.delete(id);
        stream.reset();
      });
      return;
    }
    waiting.delete(id);
    const { data, error } = pair;
    // Replies leave in order, so that the second one stands for both; data must not overtake it.
    replied.then(() => forward(data, error, port, dial)).catch(() => data.reset());
  };
  const connection = new SpdyConnection(transport, { clock, onStream });
  const onClosed = () => connection.abort();
  closed.addEventListener('abort', onClosed, { once: true });
  await connection.run(head);
  closed.removeEventListener('abort', onClosed);
}

async function forward(
  data: SpdyStream,
  error: SpdyStream,
  port: number,
  dial: Dial,
): Promise<void> {
  try {
    await join(await dial(port), {
      input: data.input,
      write: (bytes) => data.write(bytes),
      end: () => data.end(),
    });
  } catch (cause) {
    const text = `error forwarding port ${port}: ${messageOf(cause)}`;
    await error.write(Buffer.from(text)).catch(() => undefined);
  } finally {
    // Both ends of both streams: the client waits for them before it takes the next connection.
    error.end();
    data.end();
    data.input.abort();
    error.input.abort();
  }
}

type ClientEnd = {
  readonly input: AsyncIterable<Uint8Array>;
  write(data: Uint8Array): Promise<void>;
  end(): void;
};

/** Copies both ways until the pod's side has ended; the client's end is passed on as a half close. */
async function join(pod: ByteDuplex, client: ClientEnd): Promise<void> {
  const upward = (async () => {
    for await (const bytes of client.input) await pod.write(bytes);
    pod.closeWrite();
  })();
  // A client that breaks off ends the whole connection; one that has merely said all does not.
  upward.catch(() => pod.abort());
  try {
    for await (const bytes of pod.input) await client.write(bytes);
    client.end();
  } finally {
    pod.abort();
  }
}

/** The ports of the query, for the channel form. Throws 400. */
export function portsOf(values: readonly string[]): readonly number[] {
  const texts = values.flatMap((value) => value.split(','));
  if (texts.length === 0 || texts.length > PORTS_MAX) {
    throw badRequest(`query parameter "port" is required, at most ${PORTS_MAX} times`);
  }
  return texts.map((text) => {
    const port = portOf(text);
    if (port === undefined) throw badRequest(`port "${text}" must be between 1 and 65535`);
    return port;
  });
}

function portOf(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/**
 * Serves the channel form: channels 2n and 2n+1 are data and error of the n-th port, and begin with the port's
 * number. Ends when the socket closes. Never rejects.
 */
export async function serveChannelPortForward(
  socket: WebSocket,
  ports: readonly number[],
  dial: Dial,
): Promise<void> {
  const inputs = ports.map(() => new ByteChannel());
  const write = (channel: number, data: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      if (socket.readyState !== socket.OPEN) {
        reject(new SkeinError('stream-closed', 'the client closed the connection'));
        return;
      }
      const wait = socket.bufferedAmount > BUFFERED_BYTES_HIGH;
      socket.send(Buffer.concat([Buffer.of(channel), data]), () => wait && resolve());
      if (!wait) resolve();
    });
  socket.on('message', (raw: Buffer) => {
    const input = inputs[(raw[0] ?? 0) >> 1];
    if (input === undefined || (raw[0] ?? 0) % 2 === 1) return;
    if (input.push(raw.subarray(1))) return;
    socket.pause();
    void input.drained().then(() => socket.resume());
  });
  socket.once('close', () => {
    for (const input of inputs) input.abort(new SkeinError('stream-closed', 'the client left'));
  });
  const forwards = ports.map(async (port, index) => {
    const input = inputs[index] ?? new ByteChannel();
    const number = Buffer.of(port & 0xff, port >> 8);
    try {
      await write(2 * index, number);
      await write(2 * index + 1, number);
      const end = () => undefined;
      await join(await dial(port), { input, write: (data) => write(2 * index, data), end });
    } catch (cause) {
      const text = `error forwarding port ${port}: ${messageOf(cause)}`;
      await write(2 * index + 1, Buffer.from(text)).catch(() => undefined);
    }
  });
  await Promise.all(forwards);
  socket.close(1000);
}
