/**
 * The upper half of one process, put together as a node puts it together: client and informers, actors, the singletons of the
 * leader, the pod agent and the service proxy, heartbeats. It lives as long as the process does.
 */

import type { MemoryNftables } from '../../../agents/node/proxy/memory-nftables.ts';
import type { ServiceProxy } from '../../../agents/node/proxy/proxy.ts';
import type { LocalClient } from '../../../src/client/local-client.ts';
import type { Client, KindName } from '../../../src/client/types.ts';
import { sleep } from '../../../src/lib/async.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import type { Random } from '../../../src/lib/random.ts';
import { type Process, traceLogger } from '../machine/process.ts';
import type { World } from '../world/world.ts';
import type { AgentDoors } from './doors.ts';
import { withGossip } from './gossip.ts';
import type { Machine } from './machine.ts';
import { portTo } from './port.ts';

export type NodeComponents = {
  readonly world: World;
  readonly random: Random;
  readonly doors: AgentDoors;
  readonly machine: Machine;
  readonly process: Process;
};

export const TOLERATION_SECONDS = 5;
const CLUSTER_CIDR = '10.244.0.0/16';
/** Few addresses, so that two who do not look get the same. */
const SERVICE_CIDR = '10.96.0.0/28';
/** Mean time of a call to the container runtime, each way. */
const RUNTIME_MS = 5;
const QUARANTINE_MS = 8_000;
const ANNOUNCE_AGAIN_MS = 500;

export class SimNode {
  readonly process: Process;
  /** Acts as an administrator. */
  readonly users: Client;
  readonly client: LocalClient;
  readonly #components: NodeComponents;
  readonly #store;
  readonly #consensus;
  readonly #shared;

  constructor(components: NodeComponents) {
    const { world, process, random, doors } = components;
    const services = process.services;
    if (services === undefined) throw new Error(`${process.id} offers nothing yet`);
    this.#components = components;
    this.process = process;
    this.#store = services.store;
    this.#consensus = services.consensus;
    const logger = world.tracing ? traceLogger(world, process.id) : silentLogger;
    this.#shared = { clock: process.clock, random: random.fork(), logger, log: logger };
    const common = { ...this.#shared, store: services.store, kinds: doors.allKinds };
    const verbs = doors.createVerbs(common, {
      serviceCidr: SERVICE_CIDR,
      evictionTolerationSeconds: TOLERATION_SECONDS,
    });
    const groups = ['system:skein', 'system:authenticated'];
    this.client = doors.createLocalClient({ ...common, verbs }, { user: 'system:skein', groups });
    this.users = this.client.as('admin', ['system:masters']);
  }

  /** Starts everything, in the order of a node. Rejects with what a part cannot start with. */
  async start(): Promise<void> {
    const { doors, process, machine } = this.#components;
    const { clock, random, logger } = this.#shared;
    const mesh = process.mesh;
    const actors = doors.createActorSystem({ clock, random, logger, remote: mesh });
    void this.#announce();
    this.#startProxy();
    await this.#startPods(actors);
    const host = doors.createSingletonHost({
      ...{ system: actors, clock, random, logger, fence: doors.CLUSTER_FENCE },
      onLeadership: (listener) => this.#consensus.onLeadership(listener),
      claimFence: (fence, term) => this.#store.claimFence(fence, term),
    });
    const agents = doors.clusterAgents(
      { client: this.client, clock, random, logger },
      {
        kinds: doors.allKinds,
        caCertificate: 'none',
        kubernetesService: { serviceIp: '10.96.0.1', apiPort: 6443 },
        nodeIpam: { clusterCidr: CLUSTER_CIDR },
        nodeLifecycle: { defaultTolerationSeconds: TOLERATION_SECONDS },
        podGc: { quarantineMs: QUARANTINE_MS },
      },
    );
    for (const { name, singleton } of agents) host.register(name, singleton);
    for (const { kind } of doors.allKinds) this.client.informer(kind as KindName);
    const replicated = { store: this.#store, consensus: this.#consensus };
    doors.startHeartbeats(
      { ...replicated, mesh: withGossip(mesh), clock, actors, readiness: () => undefined },
      machine.node,
    );
  }

  /** A second proxy, on a filter of its own: what the rules have to be by what this node knows. */
  secondProxy(nftables: MemoryNftables): ServiceProxy {
    return this.#proxy(nftables);
  }

  #startProxy(): void {
    const { machine } = this.#components;
    const proxy = this.#proxy(this.#port(machine.nftables));
    // Rejects only when it is stopped, which nobody does.
    void proxy.start();
  }

  #proxy(nftables: Pick<MemoryNftables, 'run' | 'list'>): ServiceProxy {
    const { doors, machine } = this.#components;
    return doors.createProxy(
      { ...this.#shared, client: this.client, nftables, flows: { flushUdp: async () => {} } },
      {
        nodeName: machine.node,
        clusterCidr: CLUSTER_CIDR,
        serviceCidr: SERVICE_CIDR,
        verifyMs: 5_000,
        retryMaxMs: 2_000,
      },
    );
  }

  async #startPods(actors: ReturnType<AgentDoors['createActorSystem']>): Promise<void> {
    const { doors, machine } = this.#components;
    const { clock, log } = this.#shared;
    const { node } = machine;
    const client = this.client.as(`system:node:${node}`, ['system:nodes', 'system:authenticated']);
    const subnet = () => client.informer('Node').get({ name: node })?.spec.podCIDR;
    const refuse = (text: string) => new doors.SkeinError('network-failed', text);
    const agent = doors.createPodsAgent(
      {
        ...{ client, actors, clock, log },
        runtime: this.#port(machine.runtime, ['logs', 'exec', 'attach']),
        network: this.#port(machine.addresses.port(subnet, refuse)),
        vault: { seal: (_, value) => value, open: (_, sealed) => sealed },
        tokens: { create: () => Promise.reject(refuse('no pod has a token here')) },
        mounter: { mountTmpfs: async () => {}, unmountBelow: async () => {} },
      },
      {
        nodeName: node,
        hostIPs: [`192.168.0.${Number(node.slice(1))}`],
        root: `/sim/${node}/agent`,
        version: 'v1.32.0-skein.sim',
        restartBackoff: { initialMs: 500, maxMs: 2_000 },
      },
    );
    await agent.start();
  }

  /** Says who it is, until it is written down. */
  async #announce(): Promise<void> {
    const { doors, machine } = this.#components;
    const { node } = machine;
    const record = { peer: this.process.id, node, addresses: [], api: `${node}:6443` };
    for (;;) {
      try {
        await doors.putMember(this.#store, record);
        return;
      } catch {
        await sleep(ANNOUNCE_AGAIN_MS, this.#shared.clock, new AbortController().signal);
      }
    }
  }

  #port<T extends object>(target: T, atOnce: readonly (keyof T)[] = []): T {
    const { world, random, process } = this.#components;
    return portTo(target, { world, random, process, meanMs: RUNTIME_MS }, atOnce);
  }
}
