/** The Kubernetes API of one node: verbs over the store, who may use them, and the HTTPS server in front. */

import { createAuthenticator } from '../api/auth/authenticator.ts';
import { createGroupAuthorizer } from '../api/auth/authorizer.ts';
import { createLiveObjects } from '../api/auth/live-objects.ts';
import { createServiceAccountTokens } from '../api/auth/service-account-tokens.ts';
import type { HealthCheck } from '../api/http/health.ts';
import { type ApiServer, createApiServer } from '../api/http/server.ts';
import type { StreamsFor } from '../api/streams/endpoints.ts';
import type { ApiVerbs, TokenIssuer } from '../api/types.ts';
import { createVerbs } from '../api/verbs/index.ts';
import { createLocalClient, type LocalClient } from '../client/local-client.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import { allKinds } from '../resources/registry.ts';
import { servingCertificate } from './certificates.ts';
import type { Foundation } from './foundation.ts';
import type { NodeConfig } from './settings.ts';

export type ApiComponents = Foundation & {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly streamsFor: StreamsFor;
  readonly health: readonly HealthCheck[];
};

export type NodeApi = {
  readonly verbs: ApiVerbs;
  readonly server: ApiServer;
  /** Acts as the cluster's own controllers. */
  readonly client: LocalClient;
  /** Signs service account tokens with the cluster's key. */
  readonly tokens: TokenIssuer;
  /** Gives new connections a fresh serving certificate. */
  renewCertificate(): Promise<void>;
};

/** Builds the API and starts to listen. */
export async function startApi(
  components: ApiComponents,
  config: NodeConfig,
  version: string,
): Promise<NodeApi> {
  const { cluster, store, clock, random, log, metrics } = components;
  const tokens = await createServiceAccountTokens(
    { clock, live: createLiveObjects(store) },
    { keyPem: cluster.tokenKeyPem },
  );
  const verbs = createVerbs(
    { store, kinds: allKinds, clock, random, logger: log, tokens },
    {
      serviceCidr: cluster.serviceCidr,
      evictionTolerationSeconds: config.defaultTolerationSeconds,
      mountServiceAccountTokens: true,
    },
  );
  const authorityPems = [cluster.caCertificatePem];
  const issueTls = async () => ({
    ...(await servingCertificate(cluster, [config.advertiseAddress])),
    authorityPems,
  });
  const server = createApiServer(
    {
      verbs,
      kinds: allKinds,
      store,
      authenticator: createAuthenticator({ clock, serviceAccounts: tokens }, { authorityPems }),
      authorizer: createGroupAuthorizer(),
      streamsFor: components.streamsFor,
      health: components.health,
      logger: log.child({ part: 'api' }),
      metrics,
      clock,
    },
    {
      host: config.bindAddress,
      port: config.apiPort,
      tls: await issueTls(),
      skeinVersion: version,
    },
  );
  await server.listen();
  const client = createLocalClient(
    { verbs, kinds: allKinds, store, clock, logger: log, random },
    { user: 'system:skein', groups: ['system:skein', 'system:authenticated'] },
  );
  return {
    verbs,
    server,
    client,
    tokens,
    renewCertificate: async () => server.renew(await issueTls()),
  };
}
