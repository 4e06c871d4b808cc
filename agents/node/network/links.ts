/**
 * Makes the kernel's links, routes, neighbours and forwarding entries equal to a NetworkPlan, through
 * `ip -batch` and `bridge -batch`. What is in place is read first; only the difference is written. Routes of
 * ours carry a protocol number of their own, so that nobody else's are ever touched.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { runCommand } from '../../../src/lib/command.ts';
import { messageOf, SkeinError } from '../../../src/lib/errors.ts';
import type { NetworkPlan, RemotePlan } from './plan.ts';

export const VXLAN_DEVICE = 'skein.vxlan';
/** Marks our routes; unassigned in iproute2's rt_protos. */
const ROUTE_PROTOCOL = '119';
const VXLAN_OVERHEAD_BYTES = 50;

export type LinkOptions = {
  /** The node's address: source of the tunnel. */
  readonly nodeAddress: string;
  /** VXLAN network identifier. Default 119. */
  readonly vni?: number;
  /** UDP port of the tunnel. Default 4789 (RFC 7348). */
  readonly port?: number;
  /**
   * Leave routes that the plan does not know: it was made from a view of the cluster that may lack nodes. Default false.
   */
  readonly keepUnknown?: boolean;
};

type Route = { dst: string; gateway?: string; dev: string };
type Interface = {
  ifname: string;
  mtu: number;
  addr_info?: { local: string; prefixlen: number }[];
};

/** Interfaces of this node with IPv4 addresses. */
export async function readInterfaces(): Promise<readonly Interface[]> {
  return JSON.parse(await runCommand('ip', ['-j', '-4', 'addr', 'show'])) as Interface[];
}

/** MTU for pods: the smallest of the node's uplink less the tunnel's overhead. */
export async function podMtu(nodeAddress: string): Promise<number> {
  const interfaces = await readInterfaces();
  const uplink = interfaces.find((link) =>
    link.addr_info?.some(({ local }) => local === nodeAddress),
  );
  return (uplink?.mtu ?? 1500) - VXLAN_OVERHEAD_BYTES;
}

async function batch(program: 'ip' | 'bridge', lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  await runCommand(program, ['-batch', '-'], { input: `${lines.join('\n')}\n` });
}

const SYSCTLS = {
  'net/ipv4/ip_forward': '1',
  // Replies may come back another way than the request left (tunnel out, direct back).
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/default/rp_filter': '0',
};

/** Lets the kernel forward between pods and nodes. Rejects with network-failed where it may not be told so. */
export async function enableForwarding(): Promise<void> {
  for (const [name, value] of Object.entries(SYSCTLS)) {
    const path = `/proc/sys/${name}`;
    // Where /proc/sys is read-only (containers), somebody else may have set it.
    if ((await readFile(path, 'utf8')).trim() === value) continue;
    try {
      await writeFile(path, value);
    } catch (cause) {
      const text = `${path} cannot be set to ${value}, and pods need it: ${messageOf(cause)}`;
      throw new SkeinError('network-failed', text, { cause });
    }
  }
}

/** Removes the tunnel and every route of ours; pods and addresses are the CNI plugins'. */
export async function removeNetwork(): Promise<void> {
  const links = JSON.parse(await runCommand('ip', ['-j', 'link', 'show'])) as { ifname: string }[];
  const ours = links.some(({ ifname }) => ifname === VXLAN_DEVICE);
  await batch('ip', [
    `route flush proto ${ROUTE_PROTOCOL}`,
    ...(ours ? [`link del ${VXLAN_DEVICE}`] : []),
  ]);
}

/** Makes the VXLAN device if it is not there, with the plan's address. */
async function ensureDevice(plan: NetworkPlan, options: LinkOptions): Promise<void> {
  const { nodeAddress, vni = 119, port = 4789 } = options;
  const shown = await runCommand('ip', ['-j', '-d', 'link', 'show', 'dev', VXLAN_DEVICE]).then(
    (text) => JSON.parse(text) as [{ address: string; linkinfo: { info_data: { local: string } } }],
    () => undefined,
  );
  const [device] = shown ?? [];
  const same = device?.address === plan.link.mac && device.linkinfo.info_data.local === nodeAddress;
  const lines: string[] = [];
  if (!same) {
    const mtu = await podMtu(nodeAddress);
    const vxlan = `type vxlan id ${vni} local ${nodeAddress} dstport ${port} nolearning`;
    if (device) lines.push(`link del ${VXLAN_DEVICE}`);
    lines.push(`link add ${VXLAN_DEVICE} address ${plan.link.mac} mtu ${mtu} ${vxlan}`);
  }
  await batch('ip', [
    ...lines,
    `addr replace ${plan.link.address}/32 dev ${VXLAN_DEVICE}`,
    `link set ${VXLAN_DEVICE} up`,
  ]);
}

function routeLine(remote: RemotePlan): string {
  const way =
    remote.via === 'vxlan'
      ? `via ${remote.gateway} dev ${VXLAN_DEVICE} onlink`
      : `via ${remote.gateway}`;
  return `route replace ${remote.podCidr} ${way} proto ${ROUTE_PROTOCOL}`;
}

const isInPlace = (remote: RemotePlan, route: Route | undefined): boolean =>
  route !== undefined &&
  route.gateway === remote.gateway &&
  (route.dev === VXLAN_DEVICE) === (remote.via === 'vxlan');

/** Makes the plan true. Safe to call again at any time. Rejects with command-failed. */
export async function applyNetwork(plan: NetworkPlan, options: LinkOptions): Promise<void> {
  await ensureDevice(plan, options);
  const routes = JSON.parse(
    (await runCommand('ip', ['-j', 'route', 'show', 'proto', ROUTE_PROTOCOL])) || '[]',
  ) as Route[];
  const wanted = new Set(plan.remotes.map(({ podCidr }) => podCidr));
  const changed = plan.remotes.filter(
    (remote) =>
      !isInPlace(
        remote,
        routes.find(({ dst }) => dst === remote.podCidr),
      ),
  );
  const tunnelled = plan.remotes.filter(({ via }) => via === 'vxlan');
  const forwarding = await readForwarding();
  // Neighbour and forwarding entries before routes: the first packet must find its way.
  // A known node at another address is stale in any case; an unknown one may only be unknown yet.
  const { keepUnknown = false } = options;
  const stale = forwarding.filter(({ mac, dst }) =>
    keepUnknown
      ? tunnelled.some((t) => t.mac === mac && t.nodeAddress !== dst)
      : !tunnelled.some((t) => t.mac === mac && t.nodeAddress === dst),
  );
  const missing = tunnelled.filter(
    (t) => !forwarding.some(({ mac, dst }) => t.mac === mac && t.nodeAddress === dst),
  );
  await batch('bridge', [
    ...stale.map(({ mac, dst }) => `fdb del ${mac} dev ${VXLAN_DEVICE} dst ${dst}`),
    ...missing.map((t) => `fdb append ${t.mac} dev ${VXLAN_DEVICE} dst ${t.nodeAddress}`),
  ]);
  await batch('ip', [
    ...tunnelled.map(
      (t) => `neigh replace ${t.gateway} lladdr ${t.mac} dev ${VXLAN_DEVICE} nud permanent`,
    ),
    ...changed.map(routeLine),
    ...(keepUnknown ? [] : routes)
      .filter(({ dst }) => !wanted.has(dst))
      .map(({ dst }) => `route del ${dst} proto ${ROUTE_PROTOCOL}`),
  ]);
}

async function readForwarding(): Promise<{ mac: string; dst: string }[]> {
  const text = await runCommand('bridge', ['-j', 'fdb', 'show', 'dev', VXLAN_DEVICE]);
  const entries = JSON.parse(text || '[]') as { mac: string; dst?: string }[];
  return entries.flatMap(({ mac, dst }) => (dst === undefined ? [] : [{ mac, dst }]));
}
