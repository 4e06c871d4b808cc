/**
 * Connects pods to the network: one CNI ADD per sandbox, remembered on disk so that a restarted process
 * answers the same addresses and can still release them.
 */

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { SkeinError } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import type { CniConfig, CniContainer, CniRunner } from './cni.ts';

/** A port that a pod publishes on its node. */
export type PublishedPort = {
  readonly containerPort: number;
  readonly hostPort: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly hostIP?: string;
};

export type NetworkTarget = {
  readonly podUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly containerId: string;
  readonly netnsPath: string;
  readonly hostPorts: readonly PublishedPort[];
  readonly bandwidth?: { readonly ingressBits?: number; readonly egressBits?: number };
};

export type PodNetworkDeps = {
  readonly cni: CniRunner;
  /** The configuration in force; rejects while the node has no pod subnet yet. */
  readonly config: () => Promise<CniConfig>;
  /** Where host ports are published (the service proxy). */
  readonly publish: (
    owner: string,
    podIp: string,
    ports: readonly PublishedPort[],
  ) => Promise<void>;
  /** Directory of our own for results and addresses. */
  readonly stateDir: string;
  readonly log: Logger;
};

export interface PodNetworkAgent {
  attach(target: NetworkTarget, signal: AbortSignal): Promise<{ readonly ips: readonly string[] }>;
  detach(target: NetworkTarget, signal: AbortSignal): Promise<void>;
  /** Publishes the host ports of pods that were attached before a restart. */
  restore(): Promise<void>;
}

type Attachment = {
  readonly config: CniConfig;
  readonly ips: readonly string[];
  readonly hostPorts: readonly PublishedPort[];
  readonly args: Readonly<Record<string, string>>;
};

/** Pod network operations over CNI. All are idempotent per container id. */
export function createPodNetwork(deps: PodNetworkDeps): PodNetworkAgent {
  const { cni, stateDir, log } = deps;
  const directory = `${stateDir}/attachments`;
  const fileOf = (containerId: string): string => `${directory}/${containerId}.json`;

  const read = async (containerId: string): Promise<Attachment | undefined> => {
    const text = await readFile(fileOf(containerId), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as Attachment);
  };
  const write = async (containerId: string, attachment: Attachment): Promise<void> => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const temporary = `${fileOf(containerId)}.new`;
    await writeFile(temporary, JSON.stringify(attachment), { mode: 0o600 });
    await rename(temporary, fileOf(containerId));
  };

  return {
    async attach(target, signal) {
      const known = await read(target.containerId);
      if (known && known.ips.length > 0) return { ips: known.ips };
      const config = withBandwidth(await deps.config(), target.bandwidth);
      const args = argsOf(target);
      // Before ADD: whatever happens next, DEL will find what to release.
      await write(target.containerId, { config, args, ips: [], hostPorts: [] });
      const result = await cni.add(config, containerOf(target, args), signal);
      const ips = (result.ips ?? []).map(({ address }) => address.split('/')[0] ?? address);
      const [ip] = ips;
      if (ip === undefined) {
        throw new SkeinError(
          'network-failed',
          `CNI network "${config.name}" gave the pod no address`,
        );
      }
      const { hostPorts } = target;
      await write(target.containerId, { config, args, ips, hostPorts });
      if (hostPorts.length > 0) await deps.publish(target.containerId, ip, hostPorts);
      return { ips };
    },

    async detach(target, signal) {
      const known = await read(target.containerId);
      if (!known) return;
      if (known.hostPorts.length > 0) await deps.publish(target.containerId, '', []);
      await cni.del(known.config, containerOf(target, known.args), signal);
      await rm(fileOf(target.containerId), { force: true });
    },

    async restore() {
      for (const name of await readdir(directory).catch(() => [])) {
        if (!name.endsWith('.json')) continue;
        const containerId = name.slice(0, -'.json'.length);
        const known = await read(containerId);
        const ip = known?.ips[0];
        if (!known || ip === undefined || known.hostPorts.length === 0) continue;
        await deps.publish(containerId, ip, known.hostPorts);
        log.debug({ containerId }, 'host ports of an earlier pod are published again');
      }
    },
  };
}

const containerOf = (
  target: NetworkTarget,
  args: Readonly<Record<string, string>>,
): CniContainer => ({
  containerId: target.containerId,
  netnsPath: target.netnsPath,
  args,
});

const argsOf = (target: NetworkTarget): Record<string, string> => ({
  K8S_POD_NAMESPACE: target.namespace,
  K8S_POD_NAME: target.name,
  K8S_POD_UID: target.podUid,
  K8S_POD_INFRA_CONTAINER_ID: target.containerId,
});

/** Chains the CNI bandwidth plugin behind the others when the pod asks for limits. */
function withBandwidth(config: CniConfig, limits: NetworkTarget['bandwidth']): CniConfig {
  if (!limits) return config;
  const { ingressBits, egressBits } = limits;
  const plugin = {
    type: 'bandwidth',
    ...(ingressBits ? { ingressRate: ingressBits, ingressBurst: ingressBits } : {}),
    ...(egressBits ? { egressRate: egressBits, egressBurst: egressBits } : {}),
  };
  return { ...config, plugins: [...config.plugins, plugin] };
}
