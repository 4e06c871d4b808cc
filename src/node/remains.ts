/**
 * What a node leaves on its machine besides its data directory: containers, routes, the tunnel, firewall rules. A node that only
 * stops leaves them on purpose; one that is no member any more takes them away.
 */

import { createCniRunner } from '../../agents/node/network/cni-runner.ts';
import { removeNetwork } from '../../agents/node/network/links.ts';
import { createPodNetwork } from '../../agents/node/network/pod-network.ts';
import { nodeFilter, ownedBy } from '../../agents/node/pods/labels.ts';
import type { ContainerRuntime } from '../../agents/node/pods/ports.ts';
import { createDockerRuntime } from '../../agents/node/pods/runtime/docker-runtime.ts';
import { forwardAdmission } from '../../agents/node/proxy/foreign-rules.ts';
import { legacyFirewall } from '../../agents/node/proxy/legacy-firewall.ts';
import { openNftables } from '../../agents/node/proxy/libnftables.ts';
import { TABLE } from '../../agents/node/proxy/ruleset.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { dataPaths } from './data-dir.ts';
import type { NodeConfig } from './settings.ts';

const CALL_DEADLINE_MS = 30_000;
/** Between SIGTERM and SIGKILL. */
const GRACE_SECONDS = 10;

/** Ends the node's containers and removes its network. What cannot be removed is logged; never rejects. */
export async function clearRemains(config: NodeConfig, log: Logger): Promise<void> {
  const { dockerSocket, cniBinDirs, dataDir, nodeName, clusterCidr } = config;
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      log.warn({ error: messageOf(error) }, `${what} could not be removed`);
    }
  };
  const runtime = createDockerRuntime({ socketPath: dockerSocket });
  await attempt('the containers', () => removeContainers(runtime, nodeName));
  const pods = createPodNetwork({
    cni: createCniRunner(cniBinDirs),
    config: () => Promise.reject(new Error('nothing is attached any more')),
    publish: async () => {},
    stateDir: dataPaths(dataDir).network,
    log,
  });
  await attempt('the addresses of pods', () => pods.collect(new Set(), deadline()));
  await attempt('routes and tunnel', () => removeNetwork());
  const nftables = openNftables();
  await attempt('the service rules', () =>
    nftables.run(`add table ip ${TABLE}\ndelete table ip ${TABLE}`),
  );
  await attempt('the rules for Docker', () =>
    forwardAdmission({ nftables, legacy: legacyFirewall(), log }, clusterCidr).withdraw(),
  );
}

const deadline = (): AbortSignal => AbortSignal.timeout(CALL_DEADLINE_MS);

/** Containers first, then the sandboxes that hold their namespaces. */
async function removeContainers(runtime: ContainerRuntime, nodeName: string): Promise<void> {
  const all = await runtime.list(nodeFilter(nodeName), deadline());
  const isSandbox = ({ labels }: (typeof all)[number]) => ownedBy(labels)?.container === undefined;
  await Promise.allSettled(
    all
      .filter((container) => !isSandbox(container))
      .map(({ id }) => runtime.stop(id, GRACE_SECONDS, deadline())),
  );
  const removed = await Promise.allSettled(all.map(({ id }) => runtime.remove(id, deadline())));
  for (const outcome of removed) if (outcome.status === 'rejected') throw outcome.reason;
}
