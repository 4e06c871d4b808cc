/** The address that a machine most likely has for others: that of the interface its default route uses. */

import { readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** What other programs on the machine make for themselves; nobody outside reaches their addresses. */
const INTERNAL = /^(docker|br-|veth|skein|cni|virbr|flannel)/;

/** Chosen from what the kernel shows now; 127.0.0.1 on a machine without a network. */
export function defaultAddress(): string {
  let routes = '';
  try {
    routes = readFileSync('/proc/net/route', 'latin1');
  } catch {
    // Without the table, the order of the interfaces decides.
  }
  return chooseAddress(routes, networkInterfaces());
}

/** The choice itself. `routes` is the text of /proc/net/route. Pure. */
export function chooseAddress(routes: string, interfaces: Interfaces): string {
  const byMetric = routes
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
    .sort((one, other) => Number(one[6]) - Number(other[6]));
  const names = [
    ...byMetric.map(([name = '']) => name),
    ...Object.keys(interfaces).filter((name) => !INTERNAL.test(name)),
  ];
  for (const name of names) {
    const found = interfaces[name]?.find(({ family, internal }) => family === 'IPv4' && !internal);
    if (found) return found.address;
  }
  return '127.0.0.1';
}
