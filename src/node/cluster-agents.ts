/** The leader-elected agents on this node: they run while it leads, under the fence of its term. */

import { CLUSTER_FENCE, clusterAgents } from '../../agents/cluster/index.ts';
import { createSingletonHost } from '../actors/singleton.ts';
import type { ActorSystem } from '../actors/types.ts';
import type { Client, KindName } from '../client/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import { allKinds } from '../resources/registry.ts';
import { firstServiceIp } from './certificates.ts';
import type { Foundation } from './foundation.ts';
import type { NodeConfig } from './settings.ts';

export type ClusterAgentComponents = {
  readonly foundation: Foundation;
  readonly actors: ActorSystem;
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
};

/** Registers every cluster agent; they start and stop with this node's leadership. */
export function startClusterAgents(
  components: ClusterAgentComponents,
  config: NodeConfig,
): { stop(): Promise<void> } {
  const { foundation, actors, client, clock, random, log } = components;
  const { consensus, store, cluster } = foundation;
  const host = createSingletonHost({
    system: actors,
    onLeadership: (listener) => consensus.onLeadership(listener),
    claimFence: (fence, term) => store.claimFence(fence, term),
    fence: CLUSTER_FENCE,
    clock,
    random,
    logger: log,
  });
  const agents = clusterAgents(
    { client, clock, random, logger: log },
    {
      kinds: allKinds,
      caCertificate: cluster.caCertificatePem,
      kubernetesService: {
        serviceIp: firstServiceIp(cluster.serviceCidr),
        apiPort: config.apiPort,
      },
      nodeIpam: { clusterCidr: cluster.clusterCidr },
      nodeLifecycle: { defaultTolerationSeconds: config.defaultTolerationSeconds },
    },
  );
  for (const { name, singleton } of agents) host.register(name, singleton);
  // Standbys keep every cache warm, so that taking over costs no listing.
  for (const { kind } of allKinds) client.informer(kind as KindName);
  return host;
}
