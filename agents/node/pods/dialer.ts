/** TCP connections from the node to its pods. */

import { connect, type Socket } from 'node:net';
import type { ByteDuplex } from '../../../src/lib/container-streams.ts';
import { SkeinError } from '../../../src/lib/errors.ts';
import type { Dialer } from './ports.ts';

/** Dials from the process's own network namespace. */
export const tcpDialer: Dialer = {
  connect(host, port, signal) {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, allowHalfOpen: true });
      const onAbort = () => {
        socket.destroy();
        reject(new SkeinError('aborted', `dial tcp ${host}:${port}: i/o timeout`));
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('error', (error) => {
        signal.removeEventListener('abort', onAbort);
        reject(new SkeinError('network-failed', dialText(host, port, error), { cause: error }));
      });
      socket.once('connect', () => {
        signal.removeEventListener('abort', onAbort);
        socket.removeAllListeners('error');
        resolve(duplex(socket, signal));
      });
    });
  },
};

function duplex(socket: Socket, signal: AbortSignal): ByteDuplex {
  const onAbort = () => socket.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', onAbort));
  socket.on('error', () => {}); // The reader sees the end, the writer its rejected write.
  return {
    write: (data) =>
      new Promise((resolve, reject) => {
        socket.write(data, (error) => (error ? reject(error) : resolve()));
      }),
    closeWrite: () => void socket.end(),
    input: bytes(socket),
    abort: () => void socket.destroy(),
  };
}

async function* bytes(socket: Socket): AsyncGenerator<Uint8Array> {
  for await (const chunk of socket) yield chunk as Uint8Array;
}

function dialText(host: string, port: number, error: Error & { code?: string }): string {
  const dial = `dial tcp ${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'ECONNREFUSED':
      return `${dial}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `${dial}: connect: no route to host`;
    case 'ENETUNREACH':
      return `${dial}: connect: network is unreachable`;
    default:
      return `${dial}: ${error.message}`;
  }
}
