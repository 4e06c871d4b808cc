/**
 * Runs inside a test host's network namespace, as the node's process does: reads one JSON action a line, does
 * it with the real agents, answers with one JSON line.
 */

import { createInterface } from 'node:readline';
import { defaultConfig } from '../../../../agents/node/network/cni.ts';
import { createCniRunner } from '../../../../agents/node/network/cni-runner.ts';
import { applyNetwork, enableForwarding } from '../../../../agents/node/network/links.ts';
import type { NodeNetwork, PodNetworkMode } from '../../../../agents/node/network/plan.ts';
import { planNetwork } from '../../../../agents/node/network/plan.ts';
import { createPodNetwork } from '../../../../agents/node/network/pod-network.ts';
import { conntrackFlowTable } from '../../../../agents/node/proxy/flow-table.ts';
import { openNftables } from '../../../../agents/node/proxy/libnftables.ts';
import { createProxy, type ServiceProxy } from '../../../../agents/node/proxy/proxy.ts';
import type { HostPortRule } from '../../../../agents/node/proxy/ruleset.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { messageOf } from '../../../../src/lib/errors.ts';
import { silentLogger } from '../../../../src/lib/logger.ts';
import type { EndpointSlice, Service } from '../../../../src/resources/generated/kinds.ts';
import { FakeInformers } from '../../../support/fake-informers.ts';

export type HostAction =
  | {
      readonly do: 'network';
      readonly self: NodeNetwork;
      readonly others: readonly NodeNetwork[];
      readonly mode: PodNetworkMode;
      readonly linkCidrs: readonly string[];
      readonly keepUnknown?: boolean;
    }
  | {
      readonly do: 'attach' | 'detach';
      readonly containerId: string;
      /** Default: one that follows from the container's. */
      readonly podUid?: string;
      readonly netnsPath: string;
      readonly hostPorts: readonly HostPortRule[];
    }
  | { readonly do: 'proxy'; readonly nodeName: string; readonly verifyMs?: number }
  | {
      readonly do: 'cluster';
      readonly services?: readonly Service[];
      readonly slices?: readonly EndpointSlice[];
      readonly removed?: readonly (Service | EndpointSlice)[];
    };

const [podCidr = '', stateDir = ''] = process.argv.slice(2);
const informers = new FakeInformers();
let proxy: ServiceProxy | undefined;
const pods = createPodNetwork({
  cni: createCniRunner(['/opt/cni/bin', '/usr/lib/cni']),
  config: async () => defaultConfig(podCidr, 1450, stateDir),
  publish: async (owner, ip, ports) => proxy?.setHostPorts(owner, ip, ports),
  stateDir,
  log: silentLogger,
});

async function perform(action: HostAction): Promise<unknown> {
  const { signal } = new AbortController();
  switch (action.do) {
    case 'network':
      await enableForwarding();
      return applyNetwork(planNetwork(action.self, action.others, action), {
        nodeAddress: action.self.address,
        keepUnknown: action.keepUnknown ?? false,
      });
    case 'attach':
    case 'detach': {
      const { containerId, netnsPath } = action;
      const hostPorts = action.hostPorts.map(({ hostIP, ...port }) => ({
        ...port,
        ...(hostIP === undefined ? {} : { hostIP }),
      }));
      const target = {
        podUid: action.podUid ?? `uid of ${containerId}`,
        namespace: 'default',
        name: 'p',
        containerId,
        netnsPath,
        hostPorts,
      };
      return action.do === 'attach' ? pods.attach(target, signal) : pods.detach(target, signal);
    }
    case 'proxy':
      proxy = createProxy(
        {
          client: informers.client,
          nftables: openNftables(),
          flows: conntrackFlowTable(silentLogger),
          clock: systemClock,
          log: silentLogger,
        },
        {
          nodeName: action.nodeName,
          clusterCidr: '10.244.0.0/16',
          serviceCidr: '10.96.0.0/16',
          verifyMs: action.verifyMs ?? 30_000,
        },
      );
      return proxy.start();
    case 'cluster':
      for (const service of action.services ?? []) informers.put('Service', service);
      for (const slice of action.slices ?? []) informers.put('EndpointSlice', slice);
      for (const object of action.removed ?? []) informers.remove(object);
      // The proxy gathers changes; a call that queues behind them returns when they are in place.
      await new Promise((resolve) => setTimeout(resolve, 10));
      return proxy?.setHostPorts('barrier', '', []);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await perform(JSON.parse(line) as HostAction).then(
    (value) => ({ value: value ?? null }),
    (error: unknown) => ({ error: messageOf(error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
