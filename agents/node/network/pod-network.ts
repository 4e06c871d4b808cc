/**
 * Connects pods to the network: one CNI ADD per sandbox, remembered on disk so that a restarted process
 * answers the same addresses and can still release them.
 */

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hasCode, messageOf, SkeinError } from '../../../src/lib/errors.ts';
import type { Logger } from '../../../src/lib/logger.ts';
import { AddressBook } from './address-book.ts';
import type { CniConfig } from './cni.ts';
import type { CniContainer, CniResult, CniRunner } from './cni-runner.ts';

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

/** What `attach` answers, and the arguments that DEL must be given. */
type Added = { readonly ips: readonly string[]; readonly args: Readonly<Record<string, string>> };

const SUFFIX = '.json';
/** The argument by which host-local is asked for an address; other plugins ignore what they do not know. */
const ADDRESS_ARGUMENT = 'IP';
/** For taking back an ADD that failed. */
const RELEASE_DEADLINE_MS = 20_000;

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
  /** Releases what belongs to containers that are not among `alive`. Rejects with the first failure, after trying all. */
  collect(alive: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
}

type Attachment = {
  readonly config: CniConfig;
  readonly ips: readonly string[];
  readonly hostPorts: readonly PublishedPort[];
  readonly args: Readonly<Record<string, string>>;
};

/** Pod network operations over CNI. All are idempotent per container id. */
export function createPodNetwork(deps: PodNetworkDeps): PodNetworkAgent {
  return new CniPodNetwork(deps);
}

class CniPodNetwork implements PodNetworkAgent {
  readonly #deps: PodNetworkDeps;
  readonly #files: AttachmentFiles;
  readonly #addresses: AddressBook;

  constructor(deps: PodNetworkDeps) {
    this.#deps = deps;
    this.#files = new AttachmentFiles(`${deps.stateDir}/attachments`, deps.log);
    this.#addresses = new AddressBook(`${deps.stateDir}/addresses.json`);
  }

  async attach(
    target: NetworkTarget,
    signal: AbortSignal,
  ): Promise<{ readonly ips: readonly string[] }> {
    const { publish } = this.#deps;
    const { containerId, hostPorts } = target;
    const known = await this.#files.read(containerId);
    if (known && known.ips.length > 0) return { ips: known.ips };
    // An ADD that was interrupted: plugins refuse a second one until the first is taken back.
    if (known) await this.#release(target, known, signal);
    const config = withBandwidth(await this.#deps.config(), target.bandwidth);
    const { ips, args } = await this.#addWithFormerAddress(target, config, signal);
    await this.#files.write(containerId, { config, args, ips, hostPorts });
    await this.#addresses.remember(target.podUid, ips[0] ?? '').catch((error: unknown) => {
      this.#deps.log.warn({ error: messageOf(error) }, 'the address of a pod was not noted');
    });
    if (hostPorts.length > 0) await publish(containerId, ips[0] ?? '', hostPorts);
    return { ips };
  }

  async detach(target: NetworkTarget, signal: AbortSignal): Promise<void> {
    const known = await this.#files.read(target.containerId);
    if (known) await this.#release(target, known, signal);
  }

  async restore(): Promise<void> {
    for (const containerId of await this.#files.list()) {
      const known = await this.#files.read(containerId);
      const ip = known?.ips[0];
      if (!known || ip === undefined || known.hostPorts.length === 0) continue;
      await this.#deps.publish(containerId, ip, known.hostPorts);
      this.#deps.log.debug({ containerId }, 'host ports of an earlier pod are published again');
    }
  }

  async collect(alive: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    let failure: unknown;
    for (const containerId of await this.#files.list()) {
      if (alive.has(containerId)) continue;
      const known = await this.#files.read(containerId);
      if (!known) continue;
      await this.#release({ containerId, netnsPath: '' }, known, signal).catch((error: unknown) => {
        failure ??= error;
      });
    }
    if (failure !== undefined) throw failure;
  }

  /** The pod's former address if it had one here and it is still free, otherwise any. */
  async #addWithFormerAddress(
    target: NetworkTarget,
    config: CniConfig,
    signal: AbortSignal,
  ): Promise<Added> {
    const former = await this.#addresses.of(target.podUid);
    if (former === undefined) return this.#add(target, { config, args: argsOf(target) }, signal);
    try {
      const args = { ...argsOf(target), [ADDRESS_ARGUMENT]: former };
      return await this.#add(target, { config, args }, signal);
    } catch (error) {
      if (!hasCode(error, 'network-failed')) throw error;
      const facts = { pod: `${target.namespace}/${target.name}`, former, error: messageOf(error) };
      this.#deps.log.info(facts, 'a pod cannot have its former address');
      return this.#add(target, { config, args: argsOf(target) }, signal);
    }
  }

  async #add(
    target: NetworkTarget,
    { config, args }: Pick<Attachment, 'config' | 'args'>,
    signal: AbortSignal,
  ): Promise<Added> {
    const begun: Attachment = { config, args, ips: [], hostPorts: [] };
    // Before ADD: whatever happens next, DEL will find what to release.
    await this.#files.write(target.containerId, begun);
    try {
      const result = await this.#deps.cni.add(config, containerOf(target, args), signal);
      return { ips: addressesOf(config, result), args };
    } catch (error) {
      // Not with the caller's signal: its end may be the very reason.
      const late = AbortSignal.timeout(RELEASE_DEADLINE_MS);
      await this.#release(target, begun, late).catch(() => {});
      throw error;
    }
  }

  async #release(
    target: Pick<NetworkTarget, 'containerId' | 'netnsPath'>,
    known: Attachment,
    signal: AbortSignal,
  ): Promise<void> {
    const { cni, publish } = this.#deps;
    if (known.hostPorts.length > 0) await publish(target.containerId, '', []);
    await cni.del(known.config, containerOf(target, known.args), signal);
    await this.#files.remove(target.containerId);
  }
}

/** What was attached, one file per container. */
class AttachmentFiles {
  readonly #directory: string;
  readonly #log: Logger;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  async read(containerId: string): Promise<Attachment | undefined> {
    const text = await readFile(this.#path(containerId), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as Attachment;
    } catch (error) {
      // One file must not keep the node down; at worst an address stays taken.
      const facts = { containerId, error: messageOf(error) };
      this.#log.warn(facts, 'what was attached for a container cannot be read');
      return undefined;
    }
  }

  async write(containerId: string, attachment: Attachment): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const temporary = `${this.#path(containerId)}.new`;
    await writeFile(temporary, JSON.stringify(attachment), { mode: 0o600, flush: true });
    await rename(temporary, this.#path(containerId));
  }

  remove(containerId: string): Promise<void> {
    return rm(this.#path(containerId), { force: true });
  }

  /** Ids of all containers that something was attached for. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length));
  }

  #path(containerId: string): string {
    return `${this.#directory}/${containerId}${SUFFIX}`;
  }
}

function addressesOf(config: CniConfig, result: CniResult): readonly string[] {
  const ips = (result.ips ?? []).map(({ address }) => address.split('/')[0] ?? address);
  if (ips.length > 0) return ips;
  throw new SkeinError('network-failed', `CNI network "${config.name}" gave the pod no address`);
}

const containerOf = (
  target: Pick<NetworkTarget, 'containerId' | 'netnsPath'>,
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
