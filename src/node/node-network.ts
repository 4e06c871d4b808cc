/** The node's network: routes and tunnel to other nodes, CNI for pods, the service proxy. */

import { createCniRunner } from '../../agents/node/network/cni.ts';
import { createNetworkAgent, type NetworkAgent } from '../../agents/node/network/network.ts';
import { createPodNetwork, type PodNetworkAgent } from '../../agents/node/network/pod-network.ts';
import { conntrackFlowTable } from '../../agents/node/proxy/flow-table.ts';
import { openNftables } from '../../agents/node/proxy/libnftables.ts';
import { createProxy, type ServiceProxy } from '../../agents/node/proxy/proxy.ts';
import type { Client } from '../client/types.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { NodeConfig } from './config.ts';
import type { ClusterSettings } from './data-dir.ts';

export type NodeNetworkComponents = {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Our directory for CNI results and addresses. */
  readonly stateDir: string;
};

export type NodeNetwork = {
  readonly pods: PodNetworkAgent;
  start(): Promise<void>;
  /** Stops following the cluster. Routes, addresses and rules stay, so that pods go on. */
  stop(): void;
};

/** Builds the network of this node. */
export function createNodeNetwork(
  components: NodeNetworkComponents,
  config: NodeConfig,
  cluster: ClusterSettings,
): NodeNetwork {
  const { client, clock, log, stateDir } = components;
  const network: NetworkAgent = createNetworkAgent(
    { client, clock, log: log.child({ agent: 'network' }) },
    {
      nodeName: config.nodeName,
      nodeAddress: config.advertiseAddress,
      mode: config.podNetwork,
      confDir: config.cniConfDir,
      stateDir,
    },
  );
  const proxyLog = log.child({ agent: 'proxy' });
  const proxy: ServiceProxy = createProxy(
    {
      client,
      nftables: openNftables(),
      flows: conntrackFlowTable(proxyLog),
      clock,
      log: proxyLog,
    },
    {
      nodeName: config.nodeName,
      clusterCidr: cluster.clusterCidr,
      serviceCidr: cluster.serviceCidr,
    },
  );
  const pods = createPodNetwork({
    cni: createCniRunner(config.cniBinDirs),
    config: () => network.cniConfig(),
    publish: (owner, podIp, ports) => proxy.setHostPorts(owner, podIp, ports),
    stateDir,
    log: log.child({ agent: 'pod-network' }),
  });
  return {
    pods,
    async start() {
      await network.start();
      await pods.restore();
      // Not awaited: the first ruleset needs the cluster, which may be out of reach.
      proxy.start().catch((error: unknown) => {
        proxyLog.error({ error: messageOf(error) }, 'the service proxy could not start');
      });
    },
    stop() {
      network.stop();
      proxy.stop();
    },
  };
}
