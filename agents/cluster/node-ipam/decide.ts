/** Pod subnets: which one each node has, which one the next node gets. IPv4. Pure. */

import { invariant } from '../../../src/lib/invariant.ts';
import type { Node } from '../kinds.ts';

/** The range of pod addresses and how it is cut up. */
export type ClusterRange = {
  /** First address, as a number. */
  readonly base: number;
  readonly prefix: number;
  readonly nodePrefix: number;
};

export type Allocation =
  | { readonly kind: 'kept' }
  | { readonly kind: 'allocated'; readonly cidr: string }
  | { readonly kind: 'exhausted'; readonly subnets: number };

/** Parses `10.244.0.0/16`; throws InvariantError if it is no IPv4 range that can be cut into node subnets. */
export function clusterRange(cidr: string, nodePrefix: number): ClusterRange {
  const parsed = parseCidr(cidr);
  invariant(parsed !== undefined, 'the cluster range is an IPv4 CIDR', { cidr });
  const { base, prefix } = parsed;
  const fits = nodePrefix >= prefix && nodePrefix <= 30 && nodePrefix - prefix <= 16;
  invariant(fits, 'a node subnet is a part of the cluster range', { cidr, nodePrefix });
  return { base, prefix, nodePrefix };
}

/**
 * The subnet for `node`: the one it has, or the first that overlaps nobody's. Subnets of nodes that are being deleted
 * count, as do subnets set by hand.
 */
export function decideSubnet(node: Node, nodes: readonly Node[], range: ClusterRange): Allocation {
  if (node.spec.podCIDR) return { kind: 'kept' };
  const taken = nodes.flatMap((other) => subnetsOf(other));
  const count = 2 ** (range.nodePrefix - range.prefix);
  const size = 2 ** (32 - range.nodePrefix);
  for (let index = 0; index < count; index++) {
    const start = range.base + index * size;
    const end = start + size;
    if (taken.some((subnet) => start < subnet.end && subnet.start < end)) continue;
    return { kind: 'allocated', cidr: `${formatAddress(start)}/${range.nodePrefix}` };
  }
  return { kind: 'exhausted', subnets: count };
}

function subnetsOf(node: Node): { start: number; end: number }[] {
  const listed = [...(node.spec.podCIDRs ?? []), node.spec.podCIDR ?? ''];
  return listed.flatMap((cidr) => {
    const parsed = parseCidr(cidr);
    if (!parsed) return [];
    return [{ start: parsed.base, end: parsed.base + 2 ** (32 - parsed.prefix) }];
  });
}

function parseCidr(cidr: string): { base: number; prefix: number } | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  if (!match) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, prefix = 0] = match.slice(1).map(Number);
  if ([a, b, c, d].some((octet) => octet > 255) || prefix > 32) return undefined;
  const address = ((a * 256 + b) * 256 + c) * 256 + d;
  const size = 2 ** (32 - prefix);
  return { base: Math.floor(address / size) * size, prefix };
}

function formatAddress(address: number): string {
  const octets = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
  return octets.join('.');
}
