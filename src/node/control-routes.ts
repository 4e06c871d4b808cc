/** What the control socket answers. */

import type { ActorSystem } from '../actors/types.ts';
import { authorityHash } from '../api/auth/pki.ts';
import type { Client } from '../client/types.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { encodeToken } from '../mesh/join-token.ts';
import { adminKubeconfig } from './certificates.ts';
import type { ControlRoutes } from './control-server.ts';
import type { Foundation } from './foundation.ts';
import { issueToken, listTokens, revokeToken, TOKEN_TTL_SECONDS } from './join-tokens.ts';
import { readMembers } from './members.ts';
import { Backups } from './recovery/backup.ts';
import { removeNode } from './removal.ts';
import type { SecretsAtRest } from './secrets/secrets-at-rest.ts';
import { secretsRoutes } from './secrets/secrets-routes.ts';
import type { NodeConfig } from './settings.ts';
import { type NodeHealth, reportStatus } from './status-report.ts';

export type ControlComponents = {
  readonly foundation: Foundation;
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly actors: ActorSystem;
  readonly client: Client;
  readonly secrets: SecretsAtRest;
  readonly log: Logger;
  readonly version: string;
  readonly health: () => readonly NodeHealth[];
};

const TTL_SECONDS_MAX = 30 * 86_400;
/** Enough to find one member that is up. */
const ADDRESSES_MAX = 16;

const withPeer = (address: string, peer: string): string =>
  address.includes('/p2p/') ? address : `${address}/p2p/${peer}`;

/** The routes of one node's control socket. */
export function controlRoutes(components: ControlComponents): ControlRoutes {
  const { foundation, config, clock, actors, client, secrets, log, version, health } = components;
  const { store, cluster, mesh } = foundation;
  const backups = new Backups({ ...foundation, clock, product: version });
  return {
    'GET /status': () => reportStatus(foundation, config, { version, health: health() }),
    'GET /kubeconfig': async () => ({
      kubeconfig: await adminKubeconfig(
        cluster,
        `https://${config.advertiseAddress}:${config.apiPort}`,
      ),
    }),
    'GET /actors': () => actors.tree(),
    'GET /tokens': () => ({ tokens: listTokens(store, clock) }),
    'POST /tokens': async ({ ttlSeconds = TOKEN_TTL_SECONDS }) => {
      const seconds = Number(ttlSeconds);
      if (!Number.isInteger(seconds) || seconds < 1 || seconds > TTL_SECONDS_MAX) {
        throw new SkeinError('config-invalid', `--ttl: expected 1 s to 30 days, got ${seconds} s`);
      }
      const { id, secret } = await issueToken(store, clock, seconds);
      // Our own addresses first: whoever asks for a token most likely reaches this node.
      const others = readMembers(store).filter(({ peer }) => peer !== mesh.self);
      const members = [{ peer: mesh.self, addresses: mesh.addresses() }, ...others];
      const addresses = members
        .flatMap((member) => member.addresses.map((address) => withPeer(address, member.peer)))
        .slice(0, ADDRESSES_MAX);
      const caHash = authorityHash(cluster.caCertificatePem);
      return { token: encodeToken({ caHash, id, secret, addresses }) };
    },
    'DELETE /tokens/': async (_body, path) => {
      const id = path.slice('/tokens/'.length);
      if (await revokeToken(store, id)) return { id };
      throw new SkeinError('config-invalid', `there is no token "${id}"; see: skein token list`);
    },
    'POST /backup': ({ local, passphrase }) =>
      backups.begin({
        local: local === true,
        ...(typeof passphrase === 'string' ? { passphrase } : {}),
      }),
    ...secretsRoutes(secrets, foundation.clusterKey),
    'DELETE /nodes/': (_body, path) =>
      removeNode(
        { ...foundation, client, log, clusterId: cluster.clusterId },
        path.slice('/nodes/'.length),
      ),
  };
}
