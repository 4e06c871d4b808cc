/**
 * TCP_USER_TIMEOUT (RFC 5482): how long data may stay unacknowledged before the kernel gives a connection up.
 * Keep-alive probes are sent on idle connections only; with data on its way to a peer that has vanished the
 * kernel would go on sending for a quarter of an hour. Node has no option for it.
 */

import type { Socket } from 'node:net';
import koffi from 'koffi';

const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;

type SetOption = (fd: number, level: number, name: number, value: Buffer, bytes: number) => number;

let setOption: SetOption | undefined;

function load(): SetOption {
  const library = koffi.load('libc.so.6');
  return library.func(
    'int setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)',
  ) as unknown as SetOption;
}

/**
 * Sets the limit, in milliseconds, on a plain TCP socket. Returns false when it could not be set (not Linux, or the
 * socket is closed already): the connection then works with the kernel's default.
 */
export function setTcpUserTimeout(socket: Socket, timeoutMs: number): boolean {
  if (process.platform !== 'linux') return false;
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } };
  if (handle?.fd === undefined || handle.fd < 0) return false;
  setOption ??= load();
  const value = Buffer.alloc(4);
  value.writeUInt32LE(timeoutMs);
  return setOption(handle.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, value, value.length) === 0;
}
