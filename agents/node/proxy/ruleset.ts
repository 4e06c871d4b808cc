/**
 * The rules, as data. One table of our own; per service port a fragment: its chains, its sets and its
 * elements in the shared verdict maps. A packet costs two map look-ups however many services there
 * are. Pure.
 */

import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { Backend, ServicePortModel } from './service-model.ts';

export const TABLE = 'skein';
/** Marks packets whose source must be hidden behind this node. */
const MASQUERADE_MARK = '0x00004000';
const NAME_CHARACTERS_MAX = 100;

/** The shared maps that fragments put elements into. */
export type MapName = 'service_ips' | 'node_ports' | 'host_ports' | 'host_ports_any' | 'hairpin';

export type NftSet = { readonly name: string; readonly definition: string };
export type NftChain = { readonly name: string; readonly rules: readonly string[] };
export type NftElement = { readonly map: MapName; readonly key: string; readonly value?: string };

/** What one owner (a service port, a pod's host ports) contributes to the table. */
export type Fragment = {
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
  readonly elements: readonly NftElement[];
};

export type BaseOptions = {
  /** Addresses of all pods: `10.244.0.0/16`. */
  readonly clusterCidr: string;
  /** Addresses of all services: `10.96.0.0/16`. */
  readonly serviceCidr: string;
};

/**
 * The table without services, as one script for an empty table. Chain priorities are explicit: NAT where
 * everybody does it; the verdict on undelivered service traffic in a filter chain, after NAT had its
 * chance, so that whatever is still addressed to a service address has no backend and is refused at once.
 */
export function baseScript({ clusterCidr, serviceCidr }: BaseOptions): string {
  return `
add map ip ${TABLE} service_ips { type ipv4_addr . inet_proto . inet_service : verdict; }
add map ip ${TABLE} node_ports { type inet_proto . inet_service : verdict; }
add map ip ${TABLE} host_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add map ip ${TABLE} host_ports_any { type inet_proto . inet_service : ipv4_addr . inet_service; }
add set ip ${TABLE} hairpin { type ipv4_addr . ipv4_addr; }
add chain ip ${TABLE} local_ports
add chain ip ${TABLE} services
add rule ip ${TABLE} services ip daddr . meta l4proto . th dport vmap @service_ips
add rule ip ${TABLE} services fib daddr type local ip daddr != 127.0.0.0/8 jump local_ports
add rule ip ${TABLE} local_ports meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @host_ports
add rule ip ${TABLE} local_ports meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @host_ports_any
add rule ip ${TABLE} local_ports meta l4proto . th dport vmap @node_ports
add chain ip ${TABLE} prerouting { type nat hook prerouting priority dstnat; policy accept; }
add rule ip ${TABLE} prerouting jump services
add chain ip ${TABLE} output { type nat hook output priority -100; policy accept; }
add rule ip ${TABLE} output jump services
add chain ip ${TABLE} masquerading
add rule ip ${TABLE} masquerading meta mark set meta mark xor ${MASQUERADE_MARK}
add rule ip ${TABLE} masquerading masquerade fully-random
add chain ip ${TABLE} postrouting { type nat hook postrouting priority srcnat; policy accept; }
add rule ip ${TABLE} postrouting meta mark and ${MASQUERADE_MARK} == ${MASQUERADE_MARK} goto masquerading
add rule ip ${TABLE} postrouting ct status dnat ip saddr . ip daddr @hairpin masquerade
add rule ip ${TABLE} postrouting ip saddr ${clusterCidr} ip daddr != ${clusterCidr} fib daddr type != local masquerade fully-random
add chain ip ${TABLE} refuse
add rule ip ${TABLE} refuse ip daddr ${serviceCidr} meta l4proto tcp reject with tcp reset
add rule ip ${TABLE} refuse ip daddr ${serviceCidr} reject
add chain ip ${TABLE} refuse_forward { type filter hook forward priority filter; policy accept; }
add rule ip ${TABLE} refuse_forward ct state new jump refuse
add chain ip ${TABLE} refuse_output { type filter hook output priority filter; policy accept; }
add rule ip ${TABLE} refuse_output ct state new jump refuse
`.trim();
}

/** What a service port contributes. Without backends: nothing; the base refuses its traffic. */
export function serviceFragment(model: ServicePortModel): Fragment {
  const sets: NftSet[] = [];
  const chains: NftChain[] = [];
  const elements: NftElement[] = [];
  const name = chainName(model.id);
  const key = `${model.protocol} . ${model.port}`;
  if (model.backends.length > 0) {
    addBalancer(`svc-${name}`, model, model.backends, { sets, chains });
    for (const ip of model.clusterIps) {
      elements.push({ map: 'service_ips', key: `${ip} . ${key}`, value: `goto svc-${name}` });
    }
  }
  const outside = model.externalIps.length > 0 || model.nodePort !== undefined;
  if (outside && model.externalBackends.length > 0) {
    addExternal(name, model, { sets, chains });
    for (const ip of model.externalIps) {
      elements.push({ map: 'service_ips', key: `${ip} . ${key}`, value: `goto ext-${name}` });
    }
    if (model.nodePort !== undefined) {
      const port = `${model.protocol} . ${model.nodePort}`;
      elements.push({ map: 'node_ports', key: port, value: `goto ext-${name}` });
    }
  }
  // A pod that reaches itself through a service must see the node as its client, or its own
  // answer would never leave it.
  const ips = new Set([...model.backends, ...model.externalBackends].map(({ ip }) => ip));
  for (const ip of ips) elements.push({ map: 'hairpin', key: `${ip} . ${ip}` });
  return { sets, chains, elements };
}

type Parts = { readonly sets: NftSet[]; readonly chains: NftChain[] };

function addExternal(name: string, model: ServicePortModel, parts: Parts): void {
  if (model.externalLocal) {
    addBalancer(`ext-${name}`, model, model.externalBackends, parts);
    return;
  }
  // Answers must come back through this node, which alone knows the translation.
  const rules = [`meta mark set meta mark or ${MASQUERADE_MARK}`, `goto svc-${name}`];
  if (model.backends.length === 0) addBalancer(`svc-${name}`, model, model.externalBackends, parts);
  parts.chains.push({ name: `ext-${name}`, rules });
}

/** A chain that picks a backend at random, or the one the client had before. */
function addBalancer(
  chain: string,
  model: ServicePortModel,
  backends: readonly Backend[],
  parts: Parts,
): void {
  const protocol = `meta l4proto ${model.protocol}`;
  const count = backends.length;
  if (model.affinitySeconds === undefined) {
    const targets = backends.map(({ ip, port }, slot) => `${slot} : ${ip} . ${port}`);
    const rule =
      count === 1
        ? `${protocol} dnat to ${backends[0]?.ip}:${backends[0]?.port}`
        : `${protocol} dnat ip to numgen random mod ${count} map { ${targets.join(', ')} }`;
    parts.chains.push({ name: chain, rules: [rule] });
    return;
  }
  const sticky: string[] = [];
  const slots: string[] = [];
  for (const [slot, { ip, port }] of backends.entries()) {
    const target = `${chain}/${ip}/${port}`;
    // The timeout is part of the name: another one is another set.
    const clients = `${target}/${model.affinitySeconds}s`;
    parts.sets.push({
      name: clients,
      definition: `{ type ipv4_addr; flags dynamic,timeout; timeout ${model.affinitySeconds}s; size 65535; }`,
    });
    parts.chains.push({
      name: target,
      rules: [`update @${clients} { ip saddr }`, `${protocol} dnat to ${ip}:${port}`],
    });
    sticky.push(`ip saddr @${clients} goto ${target}`);
    slots.push(`${slot} : goto ${target}`);
  }
  parts.chains.push({
    name: chain,
    rules: [...sticky, `numgen random mod ${count} vmap { ${slots.join(', ')} }`],
  });
}

export type HostPortRule = {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly hostPort: number;
  readonly containerPort: number;
  readonly hostIP?: string | undefined;
};

/** What a pod's host ports contribute. */
export function hostPortFragment(podIp: string, ports: readonly HostPortRule[]): Fragment {
  const elements: NftElement[] = [];
  for (const { protocol, hostPort, containerPort, hostIP } of ports) {
    if (protocol === 'SCTP') continue; // Needs a kernel module; the API still stores it.
    const port = `${protocol.toLowerCase()} . ${hostPort}`;
    const value = `${podIp} . ${containerPort}`;
    // Two maps instead of one with ranges: an address and "any" for the same port would overlap there.
    const any = hostIP === undefined || hostIP === '' || hostIP === '0.0.0.0';
    if (any) elements.push({ map: 'host_ports_any', key: port, value });
    else if (isIPv4(hostIP))
      elements.push({ map: 'host_ports', key: `${hostIP} . ${port}`, value });
  }
  if (elements.length > 0) elements.push({ map: 'hairpin', key: `${podIp} . ${podIp}` });
  return { sets: [], chains: [], elements };
}

/** A chain name for an id: readable, and unique even where it must be cut short. */
function chainName(id: string): string {
  if (id.length <= NAME_CHARACTERS_MAX) return id;
  const digest = createHash('sha256').update(id).digest('hex').slice(0, 12);
  return `${id.slice(0, NAME_CHARACTERS_MAX - 13)}-${digest}`;
}
