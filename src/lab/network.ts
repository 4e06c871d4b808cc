/**
 * The lab's wires: a bridge in a namespace of its own (so that no firewall of the machine filters it), one
 * link per host, one to the machine. Cuts are nftables rules on the bridge: frames between two ports
 * vanish, as when a cable breaks, without the hosts noticing an interface go down.
 */

import { runCommand } from '../lib/command.ts';
import type { HostPlan, LabPlan } from './plan.ts';

const BRIDGE = 'br0';
const UPLINK_PORT = 'p-machine';

async function namespaces(): Promise<Set<string>> {
  const text = await runCommand('ip', ['netns', 'list']);
  return new Set(text.split('\n').map((line) => line.split(' ')[0] ?? ''));
}

/** Runs `ip` commands in one go, in namespace `netns` or in the machine's own. */
async function ipBatch(lines: readonly string[], netns?: string): Promise<void> {
  const args = [...(netns ? ['-netns', netns] : []), '-batch', '-'];
  await runCommand('ip', args, { input: `${lines.join('\n')}\n` });
}

async function linkExists(link: string, netns?: string): Promise<boolean> {
  const args = [...(netns ? ['-netns', netns] : []), 'link', 'show', 'dev', link];
  return runCommand('ip', args).then(
    () => true,
    () => false,
  );
}

/** Interfaces of the switch: the ports of plugged hosts among them. */
export async function portsOf(plan: LabPlan): Promise<ReadonlySet<string>> {
  const text = await runCommand('ip', ['-netns', plan.switchNetns, '-j', 'link', 'show']);
  const links = JSON.parse(text || '[]') as { ifname: string }[];
  return new Set(links.map(({ ifname }) => ifname));
}

/** Makes the switch and the machine's link to it; completes what an interrupted command left. */
export async function ensureSwitch(plan: LabPlan): Promise<void> {
  const { switchNetns: netns, prefixLength } = plan;
  if (!(await namespaces()).has(netns)) await ipBatch([`netns add ${netns}`]);
  if (!(await linkExists(BRIDGE, netns))) {
    await ipBatch([`link add ${BRIDGE} type bridge stp_state 0 forward_delay 0`], netns);
  }
  await ipBatch(
    [
      'link set lo up',
      `addr replace ${plan.gateway}/${prefixLength} dev ${BRIDGE}`,
      `link set ${BRIDGE} up`,
    ],
    netns,
  );
  if (!(await linkExists(plan.uplink))) {
    const veth = `link add ${plan.uplink} type veth peer name ${UPLINK_PORT}`;
    await ipBatch([`${veth} netns ${netns}`]);
  }
  await ipBatch([
    `addr replace ${plan.uplinkAddress}/${prefixLength} dev ${plan.uplink}`,
    `link set ${plan.uplink} up`,
  ]);
  await ipBatch([`link set ${UPLINK_PORT} master ${BRIDGE}`, `link set ${UPLINK_PORT} up`], netns);
}

/** Makes the host's namespace and plugs it in; completes what an interrupted command left. */
export async function ensureHostLink(plan: LabPlan, host: HostPlan): Promise<void> {
  const existing = await namespaces();
  if (!existing.has(host.netns)) await ipBatch([`netns add ${host.netns}`]);
  if (!(await linkExists('eth0', host.netns))) {
    const veth = `link add ${host.port} type veth peer name eth0 address ${host.mac}`;
    await ipBatch([`${veth} netns ${host.netns}`], plan.switchNetns);
  }
  await ipBatch(
    [
      'link set lo up',
      `addr replace ${host.address}/${plan.prefixLength} dev eth0`,
      'link set eth0 up',
      `route replace default via ${plan.gateway}`,
    ],
    host.netns,
  );
  await ipBatch(
    [`link set ${host.port} master ${BRIDGE}`, `link set ${host.port} up`],
    plan.switchNetns,
  );
}

/** Gives the host `address` in place of its own. Does nothing to a host that is unplugged: it will get it when it returns. */
export async function changeAddress(plan: LabPlan, host: HostPlan, address: string): Promise<void> {
  if (host.address === address || !(await namespaces()).has(host.netns)) return;
  // The old one first: a second address of one subnet goes when the first one does. The routes go with it.
  await ipBatch(
    [
      `addr flush dev eth0 scope global`,
      `addr add ${address}/${plan.prefixLength} dev eth0`,
      `route replace default via ${plan.gateway}`,
    ],
    host.netns,
  );
}

/** Unplugs a host and removes its namespace: its peers hear nothing of it any more, not even a refusal. */
export async function removeHostLink(plan: LabPlan, host: HostPlan): Promise<void> {
  const existing = await namespaces();
  if (existing.has(plan.switchNetns) && (await linkExists(host.port, plan.switchNetns))) {
    await ipBatch([`link del ${host.port}`], plan.switchNetns);
  }
  if (existing.has(host.netns)) await ipBatch([`netns del ${host.netns}`]);
}

/** Unplugs a host without touching its namespace, as a power cut does at its first instant. */
export async function unplug(plan: LabPlan, host: HostPlan): Promise<void> {
  if (await linkExists(host.port, plan.switchNetns)) {
    await ipBatch([`link set ${host.port} down`], plan.switchNetns);
  }
}

export async function removeSwitch(plan: LabPlan): Promise<void> {
  if (await linkExists(plan.uplink)) await ipBatch([`link del ${plan.uplink}`]);
  if ((await namespaces()).has(plan.switchNetns)) await ipBatch([`netns del ${plan.switchNetns}`]);
}

/** The bridge's ruleset that drops frames from one port to another, for pairs of them. Pure. */
export function cutRuleset(directions: readonly (readonly [string, string])[]): string {
  const elements = directions.map(([from, to]) => `"${from}" . "${to}"`);
  const listed = elements.length === 0 ? '' : `elements = { ${elements.join(', ')} }`;
  return `table bridge skein_lab
delete table bridge skein_lab
table bridge skein_lab {
  set cut { type ifname . ifname; ${listed} }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname . oifname @cut drop
  }
}
`;
}

/** Makes exactly these directions (sender, receiver) between hosts dead, in one transaction. */
export async function applyCuts(
  plan: LabPlan,
  directions: readonly (readonly [string, string])[],
): Promise<void> {
  const portOf = (name: string) => plan.hosts.find((host) => host.name === name)?.port ?? name;
  const pairs = directions.map(([from, to]) => [portOf(from), portOf(to)] as const);
  await runCommand('ip', ['netns', 'exec', plan.switchNetns, 'nft', '-f', '-'], {
    input: cutRuleset(pairs),
  });
}
