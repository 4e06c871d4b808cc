/**
 * Exec and attach over WebSocket: each message begins with the number of its channel. Version 5 can close a single channel, so that
 * a command sees the end of its input; the base64 variants carry text messages for clients without binary ones.
 */

import type { WebSocket } from 'ws';
import { SkeinError } from '../../lib/errors.ts';
import { ByteChannel } from './byte-channel.ts';
import { type CommandChannels, type CommandStatus, errorChannelText } from './session.ts';

/** Subprotocols, each as its name says. */
export const COMMAND_SUBPROTOCOLS: readonly string[] = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
];

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
/** More than this waiting in the socket makes writers wait. */
const BUFFERED_BYTES_HIGH = 256 * 1024;
/** Time for the client to answer our goodbye. */
const NORMAL_CLOSURE = 1000;

export type CommandRequest = {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
};

/** The channels of a session on an open WebSocket. `closed` must fire when the socket closes. */
export function webSocketChannels(
  socket: WebSocket,
  request: CommandRequest,
  closed: AbortSignal,
): CommandChannels {
  const protocol = socket.protocol;
  const base64 = protocol.includes('base64');
  const structured = protocol.startsWith('v4') || protocol.startsWith('v5');
  const stdin = request.stdin ? new ByteChannel() : undefined;
  let onResize: ((columns: number, rows: number) => void) | undefined;
  let lastSize: readonly [number, number] | undefined;

  socket.on('message', (raw: Buffer) => {
    const { channel, data } = decodeMessage(raw, base64);
    if (channel === CHANNEL.stdin && stdin !== undefined) {
      if (stdin.push(data)) return;
      // What the container does not take yet stays in the network, not in our memory.
      socket.pause();
      void stdin.drained().then(() => socket.resume());
    } else if (channel === CHANNEL.resize) {
      const size = parseSize(data.toString());
      if (size === undefined) return;
      lastSize = size;
      onResize?.(...size);
    } else if (channel === CHANNEL.close && data[0] === CHANNEL.stdin) stdin?.end();
  });
  socket.once('close', () => stdin?.abort());

  const write = (channel: number, data: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      if (socket.readyState !== socket.OPEN) {
        reject(new SkeinError('stream-closed', 'the client closed the connection'));
        return;
      }
      const message = encodeMessage(channel, data, base64);
      const wait = socket.bufferedAmount > BUFFERED_BYTES_HIGH;
      socket.send(message, { binary: !base64 }, (error) => {
        if (!wait) return;
        if (error === undefined || error === null) resolve();
        else reject(new SkeinError('stream-closed', error.message));
      });
      if (!wait) resolve();
    });

  // Clients take the first message, though empty, for the sign that the session stands.
  const first = request.stdout ? CHANNEL.stdout : request.stderr ? CHANNEL.stderr : CHANNEL.error;
  write(first, new Uint8Array(0)).catch(() => undefined);

  return {
    stdin,
    closed,
    onResize(listener) {
      onResize = listener;
      if (lastSize !== undefined) listener(...lastSize);
    },
    write: (channel, data) => write(CHANNEL[channel], data),
    async finish(status: CommandStatus) {
      const text = errorChannelText(status, structured);
      if (text !== '') await write(CHANNEL.error, Buffer.from(text));
      socket.close(NORMAL_CLOSURE);
      stdin?.abort();
    },
  };
}

function encodeMessage(channel: number, data: Uint8Array, base64: boolean): Buffer | string {
  if (base64) return `${channel}${Buffer.from(data).toString('base64')}`;
  const message = Buffer.allocUnsafe(data.length + 1);
  message[0] = channel;
  message.set(data, 1);
  return message;
}

function decodeMessage(raw: Buffer, base64: boolean) {
  if (!base64) return { channel: raw[0] ?? -1, data: raw.subarray(1) };
  // The channel is a digit in text, the rest base64.
  return {
    channel: (raw[0] ?? 0) - 0x30,
    data: Buffer.from(raw.subarray(1).toString('latin1'), 'base64'),
  };
}

/** `{"Width":80,"Height":24}`; undefined for anything else. */
export function parseSize(text: string): readonly [number, number] | undefined {
  try {
    const size = JSON.parse(text) as { Width?: unknown; Height?: unknown };
    const { Width: columns, Height: rows } = size;
    if (!Number.isInteger(columns) || !Number.isInteger(rows)) return undefined;
    return [Number(columns), Number(rows)];
  } catch {
    return undefined;
  }
}
