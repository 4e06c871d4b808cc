/** The node's network: routes and tunnel to other nodes, CNI for pods, the service proxy. */

import { createCniRunner } from '../../agents/node/network/cni-runner.ts';
import { createNetworkAgent, type NetworkAgent } from '../../agents/node/network/network.ts';
import { createPodNetwork, type PodNetworkAgent } from '../../agents/node/network/pod-network.ts';
import { conntrackFlowTable } from '../../agents/node/proxy/flow-table.ts';
import { legacyFirewall } from '../../agents/node/proxy/legacy-firewall.ts';
import { openNftables } from '../../agents/node/proxy/libnftables.ts';
import { createProxy, type ServiceProxy } from '../../agents/node/proxy/proxy.ts';
import { createEventRecorder } from '../client/events.ts';
import type { Client } from '../client/types.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { ClusterSettings } from './data-dir.ts';
import type { NodeConfig } from './settings.ts';

const NODE_KIND = { apiVersion: 'v1', kind: 'Node' } as const;

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
  const { nodeName } = config;
  const network: NetworkAgent = createNetworkAgent(
    { client, clock, log: log.child({ agent: 'network' }) },
    {
      nodeName,
      nodeAddress: config.advertiseAddress,
      mode: config.podNetwork,
      confDir: config.cniConfDir,
      stateDir,
    },
  );
  const proxyLog = log.child({ agent: 'proxy' });
  const events = createEventRecorder({
    client,
    clock,
    logger: proxyLog,
    component: 'skein-proxy',
    host: nodeName,
  });
  const proxy: ServiceProxy = createProxy(
    {
      client,
      nftables: openNftables(),
      legacy: legacyFirewall(),
      flows: conntrackFlowTable(proxyLog),
      clock,
      log: proxyLog,
      report: (message) => {
        const node = client.informer('Node').get({ name: nodeName });
        if (node) events.event({ ...node, ...NODE_KIND }, 'Warning', 'ForeignFirewall', message);
      },
    },
    {
      nodeName,
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
        if (hasCode(error, 'aborted')) return; // Stopped before the cluster was found.
        proxyLog.error({ error: messageOf(error) }, 'the service proxy could not start');
      });
    },
    stop() {
      network.stop();
      proxy.stop();
      events.stop();
    },
  };
}
