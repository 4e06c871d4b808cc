/** The node's pods: the pod agent over Docker, with the network and the API of this node. */

import { createPodsAgent, type PodsAgent } from '../../agents/node/pods/agent.ts';
import type { PodNetwork } from '../../agents/node/pods/ports.ts';
import { createDockerRuntime } from '../../agents/node/pods/runtime/docker-runtime.ts';
import type { ActorSystem } from '../actors/types.ts';
import { gitVersion } from '../api/discovery/version.ts';
import type { TokenIssuer } from '../api/types.ts';
import { VERSION } from '../cli/version.ts';
import type { Client } from '../client/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import type { ClusterKey } from '../sealing/cluster-key.ts';
import type { DataPaths } from './data-dir.ts';
import { ZONE_LABEL } from './members.ts';
import { podTokens } from './pod-tokens.ts';
import type { NodeConfig } from './settings.ts';
import type { StopList } from './stop-list.ts';

export type NodePodsComponents = {
  readonly client: Client;
  readonly actors: ActorSystem;
  readonly network: PodNetwork;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly paths: DataPaths;
  readonly tokens: TokenIssuer;
  readonly clusterKey: ClusterKey;
  readonly stops: StopList;
};

/** Starts the pod agent as the user that kubelets are: system:node:<name>. */
export async function startNodePods(
  components: NodePodsComponents,
  config: NodeConfig,
): Promise<PodsAgent> {
  const { actors, network, clock, random, paths, stops, tokens, clusterKey } = components;
  const podsLog = components.log.child({ agent: 'pods' });
  const client = components.client.as(`system:node:${config.nodeName}`, [
    'system:nodes',
    'system:authenticated',
  ]);
  const agent = createPodsAgent(
    {
      client,
      actors,
      runtime: createDockerRuntime({ socketPath: config.dockerSocket, clock, random }),
      network,
      vault: clusterKey.localSealer('pods on disk'),
      tokens: podTokens({ client, issuer: tokens, log: podsLog }),
      clock,
      log: podsLog,
    },
    {
      nodeName: config.nodeName,
      hostIPs: [config.advertiseAddress],
      root: paths.pods,
      version: gitVersion(VERSION),
      imagePullFallback: config.imagePullFallback,
      ...(config.zone === '' ? {} : { nodeLabels: { [ZONE_LABEL]: config.zone } }),
    },
  );
  // Before it has started: a start that fails half-way has begun actors already.
  stops.add('pods', () => agent.stop());
  await agent.start();
  return agent;
}
