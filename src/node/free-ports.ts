/** Whether the node's ports can be had, found out before anything is started: the message names the flag to change. */

import { createServer } from 'node:net';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { flagOf, type NodeConfig } from './settings.ts';

/** Rejects with config-invalid when a port is taken, or the address to listen on is not this machine's. */
export async function checkPorts(config: NodeConfig): Promise<void> {
  for (const key of ['apiPort', 'meshPort'] as const) await checkPort(config, key);
}

async function checkPort(config: NodeConfig, key: 'apiPort' | 'meshPort'): Promise<void> {
  const { bindAddress: host, [key]: port } = config;
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    throw new SkeinError('config-invalid', explain(cause, { flag: flagOf(key), host, port }), {
      cause,
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

function explain(
  cause: unknown,
  { flag, host, port }: { readonly flag: string; readonly host: string; readonly port: number },
): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return `${flag}: another program listens on port ${port} of ${host} already (ss -ltnp shows which); stop it, or choose another port`;
    case 'EADDRNOTAVAIL':
      return `${flagOf('bindAddress')}: ${host} is no address of this machine`;
    case 'EACCES':
      return `${flag}: port ${port} may be used by root only`;
    default:
      return `${flag}: port ${port} of ${host} cannot be used: ${messageOf(cause)}`;
  }
}
