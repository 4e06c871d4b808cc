/** The two products as the benchmark runs them, behind one face: a group of members on hosts, killed and started at will. */

import { readFile } from 'node:fs/promises';
import type { HostPlan } from '../../src/lab/plan.ts';
import { loadIdentity } from '../../src/mesh/identity.ts';
import type { BenchHosts, Running } from './bench-hosts.ts';
import { type Endpoint, KvClient, type KvStatus } from './bench-kv-client.ts';
import type { MemberConfig } from './bench-member.ts';

export type Product = 'etcd' | 'Skein';

export type GroupOptions = {
  /** Hosts that take part, in order. Default: all. */
  readonly members?: number;
  /** Takes no snapshots, so that the log grows. Default false. */
  readonly keepLog?: boolean;
  /** Path of the etcd server. */
  readonly etcd: string;
};

/** Start-up of a member, or an election, takes no longer. */
const READY_MS = 60_000;
const POLL_MS = 20;
const PORTS = { client: 7101, peer: 7102 } as const;
const MEMBER = new URL('bench-member.ts', import.meta.url).pathname;

/** A running group. */
export class Group {
  readonly product: Product;
  readonly hosts: readonly HostPlan[];
  readonly #options: GroupOptions;
  readonly #lab: BenchHosts;
  readonly #running = new Map<HostPlan, Running>();

  private constructor(product: Product, lab: BenchHosts, options: GroupOptions) {
    this.product = product;
    this.#lab = lab;
    this.#options = options;
    this.hosts = lab.hosts.slice(0, options.members ?? lab.hosts.length);
  }

  /** Starts a group; on directories that have its data, the group that was there before. */
  static async start(product: Product, lab: BenchHosts, options: GroupOptions): Promise<Group> {
    const group = new Group(product, lab, options);
    for (const host of group.hosts) await group.startMember(host);
    await group.leader();
    return group;
  }

  get endpoints(): Endpoint[] {
    return this.hosts.map(endpointOf);
  }

  get pids(): number[] {
    return [...this.#running.values()].map(({ pid }) => pid);
  }

  async startMember(host: HostPlan): Promise<void> {
    const command =
      this.product === 'etcd' ? this.#etcdCommand(host) : await this.#skeinCommand(host);
    const env = this.product === 'etcd' ? {} : await launcherEnvironment();
    this.#running.set(host, await this.#lab.start(host, this.product, command, env));
  }

  /** SIGKILL. Resolves when the process is gone. */
  async killMember(host: HostPlan): Promise<void> {
    await this.#running.get(host)?.kill();
    this.#running.delete(host);
  }

  /** Host of the leader that all members follow. Waits for it. */
  async leader(): Promise<HostPlan> {
    const endMs = performance.now() + READY_MS;
    for (;;) {
      const seen = await Promise.all(this.hosts.map(statusOf));
      const leaders = new Set(seen.map((status) => status?.leader ?? 0));
      const at = seen.findIndex(
        (status) => status !== undefined && status.member === status.leader,
      );
      const host = this.hosts[at];
      if (leaders.size === 1 && !leaders.has(0) && host !== undefined) return host;
      if (performance.now() > endMs) {
        const logs = this.hosts.map(({ dir }) => `${dir}/${this.product}.log`).join(', ');
        throw new Error(`${this.product} has no leader after ${READY_MS / 1000} s; see ${logs}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.killMember(host)));
  }

  /** Clients talk in plain text, as with Skein; members among themselves are encrypted, as Skein's are. */
  #etcdCommand(host: HostPlan): string[] {
    const client = `http://${host.address}:${PORTS.client}`;
    const peerOf = ({ address }: HostPlan) => `https://${address}:${PORTS.peer}`;
    const cluster = this.hosts.map((member) => `${member.name}=${peerOf(member)}`).join(',');
    const endless = ['--snapshot-count=1000000000', '--max-wals=0', '--max-snapshots=0'];
    return [
      this.#options.etcd,
      `--name=${host.name}`,
      `--data-dir=${host.dir}/etcd`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peerOf(host)}`,
      `--initial-advertise-peer-urls=${peerOf(host)}`,
      `--initial-cluster=${cluster}`,
      '--peer-auto-tls',
      '--log-level=error',
      '--logger=zap',
      `--quota-backend-bytes=${8 * 2 ** 30}`,
      ...(this.#options.keepLog ? endless : []),
    ];
  }

  async #skeinCommand(host: HostPlan): Promise<string[]> {
    const members = await Promise.all(
      this.hosts.map(async ({ dir, address }): Promise<[string, string]> => {
        const { id } = await loadIdentity(`${dir}/skein/node.key`);
        return [id, `/ip4/${address}/tcp/${PORTS.peer}`];
      }),
    );
    const config: MemberConfig = {
      host: host.address,
      meshPort: PORTS.peer,
      kvPort: PORTS.client,
      identity: `${host.dir}/skein/node.key`,
      members,
      directory: `${host.dir}/skein/consensus`,
      founder: host === this.hosts[0],
      keepLog: this.#options.keepLog ?? false,
    };
    return [process.execPath, ...(await launcherFlags()), MEMBER, JSON.stringify(config)];
  }
}

/** Where clients reach a member. */
export function endpointOf({ address }: HostPlan): Endpoint {
  return { host: address, port: PORTS.client };
}

/** Undefined if it does not answer. */
async function statusOf(host: HostPlan): Promise<KvStatus | undefined> {
  const client = await KvClient.open(endpointOf(host)).catch(() => undefined);
  const status = await client?.status().catch(() => undefined);
  client?.close();
  return status;
}

/** The runtime's flags and environment are the product's: read from its launcher. */
async function launcherFlags(): Promise<string[]> {
  return /^exec "\$node" (.*?) ?"\$root/m.exec(await launcher())?.[1]?.split(' ') ?? [];
}

async function launcherEnvironment(): Promise<NodeJS.ProcessEnv> {
  const arenas = /MALLOC_ARENA_MAX:-(\d+)/.exec(await launcher())?.[1];
  return arenas === undefined ? {} : { MALLOC_ARENA_MAX: arenas };
}

function launcher(): Promise<string> {
  return readFile(new URL('../skein', import.meta.url), 'utf8');
}
