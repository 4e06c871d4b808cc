/** The managed /etc/hosts and /etc/resolv.conf of a pod. Pure text builders. */

import type { Pod } from './kinds.ts';
import { hostnameOf } from './requests.ts';

/** The cluster's DNS, for pods with policy ClusterFirst. */
export type ClusterDns = {
  readonly servers: readonly string[];
  /** Default cluster.local. */
  readonly domain?: string;
};

const HEADER = '# Kubernetes-managed hosts file.\n';
const SEARCH_MAX = 32;
const NAMESERVERS_MAX = 3;

/** /etc/hosts of a pod with its own network. */
export function hostsFile(pod: Pod, ips: readonly string[], domain: string): string {
  const name = hostnameOf(pod);
  const { subdomain } = pod.spec;
  const full = subdomain && `${name}.${subdomain}.${pod.metadata.namespace}.svc.${domain}`;
  const own = ips.map((ip) => `${ip}\t${full ? `${full}\t` : ''}${name}\n`).join('');
  const local =
    '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' +
    'fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n';
  return HEADER + local + own + aliases(pod);
}

/** /etc/hosts of a pod on the host's network: the node's, and the pod's aliases. */
export function hostNetworkHostsFile(pod: Pod, nodeHosts: string): string {
  return `# Kubernetes-managed hosts file (host network).\n${nodeHosts}${aliases(pod)}`;
}

/** /etc/resolv.conf by the pod's dnsPolicy and dnsConfig; `nodeText` is the node's own. */
export function resolvConf(pod: Pod, nodeText: string, cluster: ClusterDns | undefined): string {
  const base = baseConfig(pod, nodeText, cluster);
  const { dnsConfig } = pod.spec;
  const servers = unique([...base.servers, ...(dnsConfig?.nameservers ?? [])]);
  const searches = unique([...base.searches, ...(dnsConfig?.searches ?? [])]);
  const options = new Map(base.options.map((text) => [text.split(':')[0] ?? text, text]));
  for (const { name = '', value } of dnsConfig?.options ?? []) {
    options.set(name, value ? `${name}:${value}` : name);
  }
  const lines = [
    ...servers.slice(0, NAMESERVERS_MAX).map((server) => `nameserver ${server}`),
    ...(searches.length > 0 ? [`search ${searches.slice(0, SEARCH_MAX).join(' ')}`] : []),
    ...(options.size > 0 ? [`options ${[...options.values()].join(' ')}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

type Config = { servers: string[]; searches: string[]; options: string[] };

function baseConfig(pod: Pod, nodeText: string, cluster: ClusterDns | undefined): Config {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  const node = parse(nodeText);
  const usesCluster =
    policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && !pod.spec.hostNetwork);
  // Without a cluster DNS the node's own servers are the best there is.
  if (!usesCluster || cluster === undefined || cluster.servers.length === 0) return node;
  const { domain = 'cluster.local' } = cluster;
  const namespace = pod.metadata.namespace ?? 'default';
  return {
    servers: [...cluster.servers],
    searches: [`${namespace}.svc.${domain}`, `svc.${domain}`, domain, ...node.searches],
    options: ['ndots:5'],
  };
}

function parse(text: string): Config {
  const config: Config = { servers: [], searches: [], options: [] };
  for (const line of text.split('\n')) {
    const [key, ...rest] = line.trim().split(/\s+/);
    if (key === 'nameserver') config.servers.push(...rest.slice(0, 1));
    if (key === 'search' || key === 'domain') config.searches = rest;
    if (key === 'options') config.options.push(...rest);
  }
  return config;
}

function aliases(pod: Pod): string {
  const list = pod.spec.hostAliases ?? [];
  if (list.length === 0) return '';
  const lines = list.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join('')}`;
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)];
}
