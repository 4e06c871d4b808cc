/** Where members may be found, as people write it: `10.0.0.5`, `node1.example:7946`, `/dns4/node1.example/tcp/7946`. */

import { isIPv4 } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';

const DEFAULT_PORT = 7946;
const DNS_NAME =
  /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const WHAT = 'host, host:port (default 7946) or a multiaddr such as /ip4/10.0.0.5/tcp/7946';

/** The multiaddr of such a text, without a peer id: who answers there is found out by their key. Throws an Error that says what is expected. */
export function readPeerAddress(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new Error(`expected ${WHAT}`);
  if (value.startsWith('/')) {
    try {
      return multiaddr(value)
        .toString()
        .replace(/\/p2p\/[^/]+$/, '');
    } catch (cause) {
      throw new Error(`expected ${WHAT}`, { cause });
    }
  }
  const [, host = '', digits] = /^([^:]+)(?::(\d{1,5}))?$/.exec(value) ?? [];
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  const named = DNS_NAME.test(host) && !/^[\d.]+$/.test(host);
  if (!(isIPv4(host) || named) || port < 1 || port > 65_535) throw new Error(`expected ${WHAT}`);
  return `/${isIPv4(host) ? 'ip4' : 'dns4'}/${host}/tcp/${port}`;
}
