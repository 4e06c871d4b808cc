/** What a machine keeps when the process on it ends: its containers, its addresses, its packet filter. */

import type { PodNetwork, PodNetworkTarget } from '../../../agents/node/pods/ports.ts';
import type { MemoryRuntime } from '../../../agents/node/pods/runtime/memory-runtime.ts';
import type { MemoryNftables } from '../../../agents/node/proxy/memory-nftables.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import type { World } from '../world/world.ts';
import type { AgentDoors } from './doors.ts';

/** A container that exists, as its runtime tells. */
export type SimContainer = {
  readonly id: string;
  readonly podUid: string;
  readonly isSandbox: boolean;
  running: boolean;
};

export const IMAGE = 'sim/app:1';
const LABEL_NODE = 'dev.skein.node';
const LABEL_UID = 'io.kubernetes.pod.uid';
const LABEL_TYPE = 'io.kubernetes.docker.type';

export type MachineComponents = {
  readonly world: World;
  readonly doors: AgentDoors;
  /** A container of the pod begins to run on this machine. */
  readonly onStart: (machine: Machine, podUid: string) => void;
};

export class Machine {
  readonly node: string;
  readonly runtime: MemoryRuntime;
  readonly addresses = new Addresses();
  readonly containers = new Map<string, SimContainer>();
  nftables: MemoryNftables;
  readonly #components: MachineComponents;

  constructor(node: string, components: MachineComponents) {
    const { doors, world } = components;
    this.node = node;
    this.#components = components;
    this.runtime = new doors.MemoryRuntime(machineClock(world));
    this.runtime.addImage(IMAGE);
    this.nftables = new doors.MemoryNftables();
    void this.runtime.watch(
      `${LABEL_NODE}=${node}`,
      {
        onConnected: () => {},
        onEvent: ({ kind, id, labels }) => this.#hear(kind, id, labels),
      },
      new AbortController().signal,
    );
  }

  /** The machine boots anew: no process lives on, and rules were never on a disk. */
  powerFails(): void {
    this.runtime.crashAll();
    this.nftables = new this.#components.doors.MemoryNftables();
  }

  #hear(
    kind: 'started' | 'exited' | 'removed',
    id: string,
    labels: Readonly<Record<string, string>>,
  ): void {
    const { world, onStart } = this.#components;
    const podUid = labels[LABEL_UID] ?? '';
    world.trace(this.node, 'container', `${kind} ${id.slice(-4)} pod=${podUid}`);
    if (kind === 'removed') {
      this.containers.delete(id);
      return;
    }
    const isSandbox = labels[LABEL_TYPE] === 'podsandbox';
    this.containers.set(id, { id, podUid, isSandbox, running: kind === 'started' });
    world.count(`container ${kind}`);
    if (kind === 'started') onStart(this, podUid);
  }
}

/** The pod network in memory: addresses out of the node's subnet, one per sandbox. */
export class Addresses {
  readonly #taken = new Map<string, string>();
  #last = 1;

  /** The network as a process sees it that knows the node's subnet, if it has one. */
  port(subnet: () => string | undefined, refuse: (text: string) => Error): PodNetwork {
    return {
      attach: async ({ containerId }: PodNetworkTarget) => {
        const known = this.#taken.get(containerId);
        if (known !== undefined) return { ips: [known] };
        const cidr = subnet();
        if (cidr === undefined) throw refuse('the node has no pod subnet yet');
        const ip = this.#next(cidr.slice(0, cidr.lastIndexOf('.')));
        if (ip === undefined) throw refuse(`${cidr} is used up`);
        this.#taken.set(containerId, ip);
        return { ips: [ip] };
      },
      detach: async ({ containerId }: PodNetworkTarget) => void this.#taken.delete(containerId),
    };
  }

  #next(network: string): string | undefined {
    const taken = new Set(this.#taken.values());
    for (let tries = 0; tries < 253; tries++) {
      this.#last = this.#last >= 254 ? 2 : this.#last + 1;
      const ip = `${network}.${this.#last}`;
      if (!taken.has(ip)) return ip;
    }
    return undefined;
  }
}

/** The time of what is not of any process. */
function machineClock(world: World): Clock {
  return {
    nowMs: () => 1_893_456_000_000 + world.nowMs,
    monotonicMs: () => world.nowMs,
    after(delayMs, action) {
      let cancelled = false;
      world.after(delayMs, () => {
        if (!cancelled) action();
      });
      return {
        cancel: () => {
          cancelled = true;
        },
      };
    },
    soon: (action) => world.after(0, action),
  };
}
