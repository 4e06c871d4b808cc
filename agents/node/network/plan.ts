/**
 * How this node reaches the pods of every other node, as data. One VXLAN device; each remote subnet is
 * routed over it to an on-link gateway whose hardware address follows from the subnet, so that nothing but
 * the node's own address and subnet must be known (the scheme of flannel's vxlan backend). Pure.
 */

import { isIPv4 } from 'node:net';

export type PodNetworkMode = 'vxlan' | 'auto';

export type NodeNetwork = {
  readonly name: string;
  /** The node's own address. */
  readonly address: string;
  /** Its pods' subnet: `10.244.3.0/24`. */
  readonly podCidr: string;
};

export type LinkPlan = {
  /** The VXLAN device's address: the subnet's own, /32. */
  readonly address: string;
  readonly mac: string;
};

/** One remote node. */
export type RemotePlan = {
  readonly podCidr: string;
  readonly nodeAddress: string;
  /** Where the route leads: over the tunnel, or straight to the node on a shared link. */
  readonly via: 'vxlan' | 'direct';
  readonly gateway: string;
  readonly mac: string;
};

export type NetworkPlan = { readonly link: LinkPlan; readonly remotes: readonly RemotePlan[] };

/** The first address of a subnet in text. */
export function subnetAddress(cidr: string): string {
  return cidr.split('/')[0] ?? cidr;
}

/** True for an IPv4 subnet as `10.244.3.0/24`. */
export function isSubnet(cidr: string): boolean {
  const [, address = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(cidr) ?? [];
  return isIPv4(address) && Number(bits) <= 32;
}

/** A locally administered hardware address made from an IPv4 address. */
export function macOf(address: string): string {
  const bytes = address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return `0a:58:${bytes.join(':')}`;
}

/** True if `address` lies in `cidr` (IPv4). */
export function contains(cidr: string, address: string): boolean {
  const [base = '', bits = '32'] = cidr.split('/');
  const mask = bits === '0' ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0;
  return (toNumber(base) & mask) >>> 0 === (toNumber(address) & mask) >>> 0;
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

/**
 * What node `self` needs. `linkCidrs` are the subnets of its own interfaces: in mode `auto` nodes on
 * them are reached without a tunnel. The default mode `vxlan` tunnels always, which works on networks that
 * drop packets with unknown sources (most clouds).
 */
export function planNetwork(
  self: NodeNetwork,
  others: readonly NodeNetwork[],
  options: { readonly mode: PodNetworkMode; readonly linkCidrs: readonly string[] },
): NetworkPlan {
  const own = subnetAddress(self.podCidr);
  const remotes = others
    .filter((node) => node.name !== self.name && node.podCidr !== self.podCidr)
    .map((node): RemotePlan => {
      const shared = options.linkCidrs.some((cidr) => contains(cidr, node.address));
      const direct = options.mode === 'auto' && shared;
      const gateway = subnetAddress(node.podCidr);
      return {
        podCidr: node.podCidr,
        nodeAddress: node.address,
        via: direct ? 'direct' : 'vxlan',
        gateway: direct ? node.address : gateway,
        mac: macOf(gateway),
      };
    })
    .sort((a, b) => (a.podCidr < b.podCidr ? -1 : 1));
  return { link: { address: own, mac: macOf(own) }, remotes };
}
