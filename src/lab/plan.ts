/**
 * What a lab consists of, as plain data: names, addresses and directories follow from the lab's name,
 * its index and the number of nodes. Pure.
 */

import { SkeinError } from '../lib/errors.ts';

export type HostPlan = {
  /** node1, node2, ...: host name and node name. */
  readonly name: string;
  /** IPv4 address on the lab's bridge. */
  readonly address: string;
  /** Network namespace of the host. */
  readonly netns: string;
  /** The switch's port to which this host is plugged (an interface of the switch's namespace). */
  readonly port: string;
  readonly mac: string;
  /** Everything the host keeps on disk. */
  readonly dir: string;
};

export type LabPlan = {
  readonly name: string;
  /** Distinguishes the subnets and devices of labs that coexist, 0 to 255. */
  readonly index: number;
  readonly dir: string;
  /** Namespace that holds the bridge, away from the machine's own firewall. */
  readonly switchNetns: string;
  /** The machine's own interface into the lab. */
  readonly uplink: string;
  readonly uplinkAddress: string;
  /** The bridge's own address: the hosts' default gateway. It forwards nothing. */
  readonly gateway: string;
  readonly prefixLength: 24;
  readonly hosts: readonly HostPlan[];
};

export const LAB_NODES_MAX = 50;
const NAME = /^[a-z][a-z0-9-]{0,11}$/;

/** Throws config-invalid when `name` cannot name a lab. */
export function checkLabName(name: string): void {
  if (NAME.test(name)) return;
  throw new SkeinError(
    'config-invalid',
    `--name: "${name}" is no lab name: use 1 to 12 lower-case letters, digits and dashes, a letter first`,
  );
}

export type PlanOptions = {
  /** Directory that holds one directory per lab. */
  readonly root: string;
  readonly name: string;
  readonly index: number;
  /** Hosts node1 to node<nodes>. */
  readonly nodes: number;
  /** Hosts that do not have the address that follows from their number. */
  readonly addresses?: Readonly<Record<string, string>>;
};

const FIRST_HOST_BYTE = 11;

/** The plan of a lab. Throws config-invalid for a name or a number of nodes that cannot be. */
export function planLab(options: PlanOptions): LabPlan {
  const { root, name, index, nodes, addresses = {} } = options;
  checkLabName(name);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > LAB_NODES_MAX) {
    throw new SkeinError(
      'config-invalid',
      `--nodes: must be a whole number from 1 to ${LAB_NODES_MAX}, got ${nodes}`,
    );
  }
  const dir = `${root}/${name}`;
  const subnet = `10.77.${index}`;
  return {
    name,
    index,
    dir,
    switchNetns: `skein-${name}-switch`,
    uplink: `skein${index}`,
    uplinkAddress: `${subnet}.254`,
    gateway: `${subnet}.1`,
    prefixLength: 24,
    hosts: Array.from({ length: nodes }, (_, position) => {
      const host = `node${position + 1}`;
      const last = FIRST_HOST_BYTE + position;
      return {
        name: host,
        address: addresses[host] ?? `${subnet}.${last}`,
        netns: `skein-${name}-${host}`,
        port: `p-${host}`,
        mac: `02:77:00:00:${hex(index)}:${hex(last)}`,
        dir: `${dir}/${host}`,
      };
    }),
  };
}

/** Throws config-invalid unless `address` may become the address of `host` in this lab. */
export function checkNewAddress(plan: LabPlan, host: HostPlan, address: string): void {
  const subnet = `10.77.${plan.index}.`;
  const last = Number(address.startsWith(subnet) ? address.slice(subnet.length) : Number.NaN);
  const taken = [plan.gateway, plan.uplinkAddress];
  for (const other of plan.hosts) if (other !== host) taken.push(other.address);
  const fits = Number.isInteger(last) && last > 0 && last < 255 && !taken.includes(address);
  if (fits) return;
  throw new SkeinError(
    'config-invalid',
    `"${address}" cannot be an address of lab ${plan.name}: it must lie in ${subnet}0/24 and be free`,
  );
}

/** The host called `name`; throws config-invalid that lists the hosts there are. */
export function hostOf(plan: LabPlan, name: string): HostPlan {
  const host = plan.hosts.find((candidate) => candidate.name === name);
  if (host) return host;
  const names = plan.hosts.map((candidate) => candidate.name).join(', ');
  throw new SkeinError(
    'config-invalid',
    `lab ${plan.name} has no host "${name}"; its hosts are ${names}`,
  );
}

/** The lowest index no lab has yet; throws when all 256 are taken. */
export function freeIndex(taken: ReadonlySet<number>): number {
  for (let index = 0; index < 256; index++) if (!taken.has(index)) return index;
  throw new SkeinError('config-invalid', 'there are 256 labs already; take one down first');
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
