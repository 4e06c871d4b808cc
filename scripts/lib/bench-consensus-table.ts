/** The figures of bench-consensus.ts as text: a table with ratios and goals, and what has to be said with it. Pure. */

import { type ConsensusFigures, describeHardware, type LoadFigures } from './bench-consensus.ts';
import { tableOf } from './bench-report.ts';

/** What is to be reached, by case: puts per second and their p99, and reads, as a multiple of etcd's. */
const PUT_GOAL_CLIENTS = [16, 128];
const GET_GOAL = 1.5;
const FAILOVER_GOAL = 0.5;

/** The section of docs/benchmarks.md. */
export function consensusSection(figures: ConsensusFigures): string {
  const { hardware, etcdVersion, logBytes } = figures;
  return [
    `Three members each on hosts of their own (network namespaces on one bridge), one product at a time and in turns, the better of
two rounds; data on the same disk; values of 256 bytes. ${describeHardware(hardware)}.`,
    tableOf(['what', `etcd ${etcdVersion}`, 'Skein', 'Skein / etcd', 'goal'], rowsOf(figures)),
    `Both are driven by the same client over etcd's own gRPC messages in plain text, each client on a connection of its own with one
request in flight, spread evenly over the three members, the first one at the leader; members talk to each other encrypted (etcd with \`--peer-auto-tls\`).
On Skein's side these messages are served by the benchmark, straight from mesh, consensus and store: what Kubernetes' API, JSON and
TLS cost on top is in the other section. Settings are the products' defaults. Members and client share the machine's cores. The
restart is that of a lone member with ${sizeOf(logBytes)} of log and no snapshot, until its first linearizable read.`,
  ].join('\n\n');
}

function rowsOf({ products: { etcd, Skein }, logBytes }: ConsensusFigures): string[][] {
  const rows: string[][] = [];
  const cases = Object.keys(Skein.loads).sort(byCase);
  for (const name of cases) {
    const [ours, theirs] = [Skein.loads[name], etcd.loads[name]];
    if (ours === undefined || theirs === undefined) continue;
    const [call = '', clients = ''] = name.split(' ');
    const ratio = times(ours.perSecond / theirs.perSecond);
    const p99Ratio = times(ours.p99Ms / theirs.p99Ms);
    rows.push([
      `${call === 'get' ? 'linearizable get' : call}, ${clients} client${clients === '1' ? '' : 's'}`,
      rateOf(theirs),
      rateOf(ours),
      `${ratio} (p99 ${p99Ratio})`,
      goalOf(call, Number(clients)),
    ]);
  }
  rows.push(diskRow(etcd.loads, Skein.loads));
  const median = (times: readonly number[]) => times[Math.floor(times.length / 2)] ?? 0;
  const worst = (times: readonly number[]) => times.at(-1) ?? 0;
  const failover = (ms: readonly number[]) =>
    `median ${median(ms).toFixed(0)} ms, worst ${worst(ms).toFixed(0)} ms`;
  rows.push([
    `SIGKILL of the leader to the next acknowledged put, ${Skein.failoverMs.length} times`,
    failover(etcd.failoverMs),
    failover(Skein.failoverMs),
    times(median(Skein.failoverMs) / median(etcd.failoverMs)),
    times(FAILOVER_GOAL),
  ]);
  rows.push([
    `restart with ${sizeOf(logBytes)} of log`,
    `${etcd.restartSeconds.toFixed(1)} s`,
    `${Skein.restartSeconds.toFixed(1)} s`,
    times(Skein.restartSeconds / etcd.restartSeconds),
    'none',
  ]);
  return rows;
}

/** At the highest load, where a sync carries many writes, and at the lowest, where each has its own. */
function diskRow(
  etcd: Readonly<Record<string, LoadFigures>>,
  ours: Readonly<Record<string, LoadFigures>>,
): string[] {
  const puts = Object.keys(ours)
    .filter((name) => name.startsWith('put'))
    .sort(byCase);
  const bytes = (loads: Readonly<Record<string, LoadFigures>>) =>
    puts.map((name) => ((loads[name]?.diskBytes ?? Number.NaN) / 1024).toFixed(1));
  const last = puts.at(-1) ?? '';
  return [
    `KiB sent to the disk per put, ${puts.map((name) => name.slice(4)).join(', ')} clients`,
    bytes(etcd).join(', '),
    bytes(ours).join(', '),
    times((ours[last]?.diskBytes ?? 0) / (etcd[last]?.diskBytes ?? 1)),
    'none',
  ];
}

function goalOf(call: string, clients: number): string {
  if (call === 'get') return times(GET_GOAL);
  return PUT_GOAL_CLIENTS.includes(clients) ? `${times(1)}, p99 no worse` : 'none';
}

function rateOf({ perSecond, p50Ms, p99Ms, memberCores, clientCores }: LoadFigures): string {
  const cores = `cores ${memberCores.toFixed(1)} + ${clientCores.toFixed(1)}`;
  return `${perSecond.toFixed(0)}/s (p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms; ${cores})`;
}

/** Puts before gets, few clients before many. */
function byCase(left: string, right: string): number {
  const [leftCall = '', leftClients] = left.split(' ');
  const [rightCall = '', rightClients] = right.split(' ');
  if (leftCall !== rightCall) return leftCall < rightCall ? 1 : -1;
  return Number(leftClients) - Number(rightClients);
}

function sizeOf(bytes: number): string {
  return bytes >= 2 ** 30 ? `${bytes / 2 ** 30} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

const times = (ratio: number): string => `${ratio.toFixed(2)} x`;
