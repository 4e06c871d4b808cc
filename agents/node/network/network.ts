/**
 * The network agent: follows the cluster's nodes and keeps routes and tunnel equal to them; knows the
 * CNI configuration for this node's pods once the node has a subnet.
 */

import { isIPv4 } from 'node:net';
import type { Client } from '../../../src/client/types.ts';
import { sleep } from '../../../src/lib/async.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { messageOf, SkeinError } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { Node } from '../../../src/resources/generated/kinds.ts';
import { type CniConfig, defaultConfig, readConfig } from './cni.ts';
import { applyNetwork, enableForwarding, podMtu, readInterfaces, VXLAN_DEVICE } from './links.ts';
import { isSubnet, type NodeNetwork, type PodNetworkMode, planNetwork } from './plan.ts';

export type NetworkDeps = { readonly client: Client; readonly clock: Clock; readonly log: Logger };

export type NetworkOptions = {
  readonly nodeName: string;
  readonly nodeAddress: string;
  readonly mode: PodNetworkMode;
  /** Administrator's CNI configurations. Default /etc/cni/net.d. */
  readonly confDir: string;
  readonly stateDir: string;
  /** Wait before failed changes are tried again, and between repairs of a healthy network. Default 1 s and 60 s. */
  readonly retryMs?: number;
  readonly repairMs?: number;
};

export interface NetworkAgent {
  start(): Promise<void>;
  stop(): void;
  /** The configuration in force. Rejects with network-failed, retryable, while there is none. */
  cniConfig(): Promise<CniConfig>;
}

/** What a Node object says of the network, or undefined while it says too little. */
export function nodeNetwork(node: Node): NodeNetwork | undefined {
  const address = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
  const podCidr = node.spec?.podCIDR;
  // Both end up in commands: a Node object may hold any text.
  if (!address || !isIPv4(address) || !podCidr || !isSubnet(podCidr)) return undefined;
  return { name: node.metadata.name, address, podCidr };
}

/** The network agent of this node. */
export function createNetworkAgent(deps: NetworkDeps, options: NetworkOptions): NetworkAgent {
  const { client, clock, log } = deps;
  const { nodeName, nodeAddress, mode, confDir, stateDir } = options;
  const { retryMs = 1000, repairMs = 60_000 } = options;
  const stop = new AbortController();
  const nodes = client.informer('Node');
  let wake = () => {};
  let changed = true;

  const reconcile = async (): Promise<void> => {
    const all = nodes.list().flatMap((node) => nodeNetwork(node) ?? []);
    const self = all.find(({ name }) => name === nodeName);
    if (!self) return;
    const linkCidrs = (await readInterfaces())
      .filter(({ ifname }) => ifname !== VXLAN_DEVICE)
      .flatMap(({ addr_info = [] }) => addr_info)
      .filter(({ prefixlen }) => prefixlen < 32)
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
    // Until the view is complete, what an earlier process knew of the others stays.
    const keepUnknown = !nodes.synced;
    await applyNetwork(planNetwork(self, all, { mode, linkCidrs }), { nodeAddress, keepUnknown });
  };

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      changed = false;
      let waitMs = repairMs;
      try {
        await reconcile();
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'pod routes could not be set up; trying again');
        waitMs = retryMs;
      }
      if (changed) continue;
      const nap = new AbortController();
      wake = () => nap.abort();
      await sleep(waitMs, clock, AbortSignal.any([nap.signal, stop.signal])).catch(() => {});
    }
  };

  const networkShape = (node: Node): string => JSON.stringify(nodeNetwork(node));
  return {
    async start() {
      await enableForwarding();
      const look = () => {
        changed = true;
        wake();
      };
      const unsubscribe = nodes.subscribe((event) => {
        // Nodes report status often; only address and subnet matter here.
        const same =
          event.type === 'modified' && networkShape(event.object) === networkShape(event.previous);
        if (!same) look();
      });
      stop.signal.addEventListener('abort', unsubscribe, { once: true });
      nodes.whenSynced(stop.signal).then(look, () => {}); // Rejects when the agent stops.
      void loop();
    },
    stop: () => stop.abort(),
    async cniConfig() {
      const given = await readConfig(confDir);
      if (given) return given;
      const node = nodes.get({ name: nodeName });
      const podCidr = node?.spec?.podCIDR;
      if (!podCidr) {
        throw new SkeinError('network-failed', `node ${nodeName} has no pod subnet yet`, {
          retryable: true,
        });
      }
      return defaultConfig(podCidr, await podMtu(nodeAddress), stateDir);
    },
  };
}
