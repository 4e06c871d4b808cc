/** Bare connections, for what no client library would send. All end with the test. */

import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export type Target = { readonly host: string; readonly port: number; readonly tls: boolean };

/** A connection that is held open from this side: what came in, and whether the other side has ended it. */
export type Held = { readonly socket: Socket; received: string; ended: boolean };

/** Opens a connection and sends `bytes`; resolves once it stands (and, with TLS, is shaken hands on). */
export function hold(target: Target, bytes?: Buffer | string): Promise<Held> {
  const { host, port, tls } = target;
  return new Promise((resolve, reject) => {
    const ready = () => {
      if (bytes !== undefined) held.socket.write(bytes);
      resolve(held);
    };
    const socket: Socket = tls
      ? connectTls({ host, port, rejectUnauthorized: false }, ready)
      : connect({ host, port }, ready);
    const held: Held = { socket, received: '', ended: false };
    const end = () => {
      held.ended = true;
    };
    socket.on('data', (chunk: Buffer) => {
      held.received += chunk.toString('latin1');
    });
    socket.on('end', end).on('close', end);
    socket.on('error', (error) => {
      end();
      reject(error);
    });
  });
}

/** Sends `bytes` and resolves with all that came back when the other side ends it, or after `deadlineMs`. */
export async function exchange(
  target: Target,
  bytes: Buffer | string,
  deadlineMs = 5000,
): Promise<{ readonly received: string; readonly ended: boolean }> {
  const held = await hold(target, bytes).catch(() => undefined);
  if (held === undefined) return { received: '', ended: true };
  await new Promise<void>((resolve) => {
    if (held.ended) return resolve();
    const timer = setTimeout(resolve, deadlineMs);
    held.socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  const { received, ended } = held;
  held.socket.destroy();
  return { received, ended };
}
