/**
 * Consensus and store beside etcd, in one run: the same hosts, the same disk, the same client, one product at a time, in
 * turns. What is compared is a replicated write and a linearizable read; both products are reached by the same bytes.
 */

import { readFile, rm, stat } from 'node:fs/promises';
import { etcdVersion, findEtcd } from './bench-etcd.ts';
import { type Hardware, measureHardware } from './bench-hardware.ts';
import { type BenchHosts, startBenchHosts } from './bench-hosts.ts';
import {
  type Endpoint,
  KvClient,
  type KvLoadResult,
  keyOf,
  payloadOf,
  runKvLoad,
} from './bench-kv-client.ts';
import { endpointOf, Group, type Product } from './bench-peers.ts';

export type ConsensusBenchOptions = {
  /** A fraction of the time and of the log: shows that it works, and no figure worth keeping. */
  readonly quick: boolean;
  readonly report: (line: string) => void;
};

/** One case of one product. */
export type LoadFigures = KvLoadResult & {
  /** Bytes that the disk was sent per acknowledged request: by all members together, and by whatever else runs on the machine. */
  readonly diskBytes: number;
  /** Cores that all members together kept busy. */
  readonly memberCores: number;
};

export type ProductFigures = {
  /** By `put 16`, `get 128`, ... */
  readonly loads: Record<string, LoadFigures>;
  /** Milliseconds from SIGKILL of the leader to the next acknowledged write, ascending. */
  failoverMs: number[];
  restartSeconds: number;
};

export type ConsensusFigures = {
  readonly etcdVersion: string;
  readonly hardware: Hardware;
  readonly logBytes: number;
  readonly products: Readonly<Record<Product, ProductFigures>>;
};

type Plan = {
  readonly clients: readonly number[];
  readonly rounds: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly kills: number;
  readonly logBytes: number;
};

const FULL: Plan = {
  clients: [1, 16, 128],
  rounds: 2,
  warmUpSeconds: 3,
  seconds: 4,
  kills: 7,
  logBytes: 2 ** 30,
};
const QUICK: Plan = {
  clients: [1, 16],
  rounds: 1,
  warmUpSeconds: 0.2,
  seconds: 0.5,
  kills: 1,
  logBytes: 2 ** 22,
};
const PRODUCTS: readonly Product[] = ['etcd', 'Skein'];
/** Settles after a load of another size before it is measured. */
const SETTLE_SECONDS = 0.5;
const WARM_UP_CLIENTS = 16;
const KEYS = 1000;
/** Large, to write the log in a bearable time, and still one frame. */
const LOG_VALUE_BYTES = 12 * 1024;
const LOG_CLIENTS = 32;
const LOG_KEYS = 100;
const RESTART_MS = 60_000;
const FAILOVER_ATTEMPT_MS = 20;
const FAILOVER_MS = 60_000;
const CLOCK_TICKS_PER_SECOND = 100;
/** The unit of /proc/diskstats. */
const SECTOR_BYTES = 512;

/** Runs all cases. Everything it starts ends with it. */
export async function measureConsensus(options: ConsensusBenchOptions): Promise<ConsensusFigures> {
  const plan = options.quick ? QUICK : FULL;
  const { report } = options;
  const etcd = await findEtcd();
  const products: Record<Product, ProductFigures> = {
    etcd: { loads: {}, failoverMs: [], restartSeconds: 0 },
    Skein: { loads: {}, failoverMs: [], restartSeconds: 0 },
  };
  const lab = await startBenchHosts(options.quick ? 'benchquick' : 'benchkv', 3);
  const interrupted = () => void lab.end().finally(() => process.exit(1));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const hardware = await measureHardware(lab);
    report(describeHardware(hardware));
    for (let round = 1; round <= plan.rounds; round++) {
      for (const product of PRODUCTS) {
        const group = await Group.start(product, lab, { etcd });
        await measureLoads(group, plan, products[product], report);
        if (round === plan.rounds) await measureFailover(group, plan, products[product], report);
        await group.end();
      }
    }
    for (const product of PRODUCTS) {
      for (const host of lab.hosts) await clear(host.dir, product);
      products[product].restartSeconds = await measureRestart(product, lab, { etcd, ...plan });
      report(`${product}, restart: ${products[product].restartSeconds.toFixed(2)} s`);
    }
    const { logBytes } = plan;
    return { etcdVersion: await etcdVersion(etcd), hardware, logBytes, products };
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    await lab.end();
  }
}

export function describeHardware({ cores, syncMs, roundTripMs }: Hardware): string {
  const both = ({ p50, p99 }: { p50: number; p99: number }) =>
    `${p50.toFixed(2)} ms (p99 ${p99.toFixed(2)} ms)`;
  return `${cores}; one fdatasync ${both(syncMs)}; one round trip ${both(roundTripMs)}`;
}

/** The better of all rounds stays. */
async function measureLoads(
  group: Group,
  plan: Plan,
  figures: ProductFigures,
  report: (line: string) => void,
): Promise<void> {
  const { warmUpSeconds: seconds } = plan;
  // The first client, which may be the only one, is the leader's.
  const leader = await group.leader();
  const hosts = [leader, ...group.hosts.filter((host) => host !== leader)];
  const at = hosts.map(endpointOf);
  await runKvLoad(at, { call: 'put', clients: WARM_UP_CLIENTS, requests: KEYS });
  for (const call of ['put', 'get'] as const) {
    await runKvLoad(at, { call, clients: WARM_UP_CLIENTS, seconds });
  }
  for (const clients of plan.clients) {
    for (const call of ['put', 'get'] as const) {
      const result = await measureLoad(group, at, { call, clients, seconds: plan.seconds });
      const { perSecond, p50Ms, p99Ms, clientCores, memberCores } = result;
      const name = `${call} ${clients}`;
      const former = figures.loads[name];
      if (former === undefined || former.perSecond < perSecond) figures.loads[name] = result;
      report(
        `${group.product}, ${name}: ${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms` +
          ` (cores: members ${memberCores.toFixed(2)}, client ${clientCores.toFixed(2)})`,
      );
    }
  }
}

async function measureLoad(
  group: Group,
  at: readonly Endpoint[],
  load: { readonly call: 'put' | 'get'; readonly clients: number; readonly seconds: number },
): Promise<LoadFigures> {
  await runKvLoad(at, { ...load, seconds: SETTLE_SECONDS });
  const disk = group.hosts[0]?.dir ?? '/';
  const before = { cpu: await cpuSecondsOf(group.pids), bytes: await writtenBytes(disk) };
  const result = await runKvLoad(at, load);
  const after = { cpu: await cpuSecondsOf(group.pids), bytes: await writtenBytes(disk) };
  return {
    ...result,
    diskBytes: (after.bytes - before.bytes) / result.requests,
    memberCores: (after.cpu - before.cpu) / load.seconds,
  };
}

/** What processes have computed so far, as the kernel counts it. */
async function cpuSecondsOf(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICKS_PER_SECOND;
}

/**
 * Bytes the disk that holds `path` was ever sent. Counted at the device: what the kernel ascribes to a process is rounded up
 * to the pages of its cache, which are large. NaN where the disk is none that is counted.
 */
async function writtenBytes(path: string): Promise<number> {
  const { dev } = await stat(path);
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  const lines = (await readFile('/proc/diskstats', 'utf8')).split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/));
  const device = fields.find(([one, other]) => one === `${major}` && other === `${minor}`);
  return Number(device?.[9]) * SECTOR_BYTES;
}

async function measureFailover(
  group: Group,
  plan: Plan,
  figures: ProductFigures,
  report: (line: string) => void,
): Promise<void> {
  for (let kill = 0; kill < plan.kills; kill++) {
    const leader = await group.leader();
    await runKvLoad(group.endpoints, { call: 'put', clients: 4, requests: 100 });
    const survivors = group.hosts.filter((host) => host !== leader).map(endpointOf);
    const startMs = performance.now();
    const killed = group.killMember(leader);
    await firstPut(survivors);
    figures.failoverMs.push(performance.now() - startMs);
    await killed;
    await group.startMember(leader);
  }
  figures.failoverMs.sort((left, right) => left - right);
  await group.leader();
  const times = figures.failoverMs.map((ms) => ms.toFixed(0)).join(', ');
  report(`${group.product}, fail-over: ${times} ms`);
}

/**
 * A write every few milliseconds, each on its own, to one member after another, until one is acknowledged: a write that waits for a
 * leader that is dead must not hide that the next would have been taken.
 */
async function firstPut(endpoints: readonly Endpoint[]): Promise<void> {
  const clients: KvClient[] = [];
  let done = false;
  await new Promise<void>((resolve, reject) => {
    let attempts = 0;
    const attempt = async (): Promise<void> => {
      const endpoint = endpoints[attempts++ % endpoints.length];
      if (endpoint === undefined) return;
      const client = await KvClient.open(endpoint);
      clients.push(client);
      await client.put(keyOf(attempts % KEYS), payloadOf(attempts, 256));
      done = true;
      clearInterval(timer);
      resolve();
    };
    // Refused, or lost with the leader: another one follows.
    const timer = setInterval(() => void attempt().catch(() => {}), FAILOVER_ATTEMPT_MS);
    setTimeout(() => {
      if (done) return;
      clearInterval(timer);
      reject(new Error(`no write was acknowledged within ${FAILOVER_MS / 1000} s of the kill`));
    }, FAILOVER_MS).unref();
  });
  for (const client of clients) client.close();
}

/** Seconds from the start of a lone member with `logBytes` of log to its first linearizable read. */
async function measureRestart(
  product: Product,
  lab: BenchHosts,
  { etcd, logBytes }: { etcd: string; logBytes: number },
): Promise<number> {
  const group = await Group.start(product, lab, { etcd, members: 1, keepLog: true });
  const requests = Math.ceil(logBytes / LOG_VALUE_BYTES);
  const load = { call: 'put', clients: LOG_CLIENTS, valueBytes: LOG_VALUE_BYTES } as const;
  await runKvLoad(group.endpoints, { ...load, requests, keys: LOG_KEYS });
  const [host] = group.hosts;
  if (host === undefined) throw new Error('there are no hosts');
  await group.killMember(host);
  const startMs = performance.now();
  await group.startMember(host);
  for (;;) {
    const client = await KvClient.open(endpointOf(host)).catch(() => undefined);
    const bytes = await client?.get(keyOf(LOG_KEYS - 1)).catch(() => 0);
    client?.close();
    if ((bytes ?? 0) > LOG_VALUE_BYTES) break;
    if (performance.now() - startMs > RESTART_MS) throw new Error(`${product} does not come back`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const seconds = (performance.now() - startMs) / 1000;
  await group.end();
  await clear(host.dir, product);
  return seconds;
}

async function clear(directory: string, product: Product): Promise<void> {
  await rm(`${directory}/${product.toLowerCase()}`, { recursive: true, force: true });
}
