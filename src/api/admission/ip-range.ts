/** A range of IPv4 addresses to give out, as numbers. */

import { SkeinError } from '../../lib/errors.ts';

export type IpRange = {
  readonly cidr: string;
  /** First and last address to give out: neither the network's nor the broadcast address. */
  readonly first: number;
  readonly last: number;
  /** First address of those given out unasked; those below are for the ones that people choose. */
  readonly dynamicFirst: number;
};

const STATIC_MIN = 16;
const STATIC_MAX = 256;

/** Parses `10.96.0.0/16`. Throws config-invalid if it is none, or has no room. */
export function parseIpRange(cidr: string): IpRange {
  const [address = '', bitsText = ''] = cidr.split('/');
  const base = parseIpv4(address);
  const bits = /^\d{1,2}$/.test(bitsText) ? Number(bitsText) : Number.NaN;
  if (base === undefined || !(bits >= 8 && bits <= 30)) {
    throw new SkeinError('config-invalid', `a service range is IPv4/8 to /30, got ${cidr}`);
  }
  const size = 2 ** (32 - bits);
  const network = base - (base % size);
  const reserved = Math.min(Math.max(STATIC_MIN, Math.floor(size / 16)), STATIC_MAX);
  const first = network + 1;
  const last = network + size - 2;
  return { cidr, first, last, dynamicFirst: Math.min(network + reserved, last) };
}

/** An address as a number; undefined if the text is none. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

/** A number as an address. */
export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}
