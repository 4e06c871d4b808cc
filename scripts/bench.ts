/**
 * Measures what users wait for and prints tables: API throughput on one node and on three, thirty replicas beside raw Docker,
 * fail-over, resident memory; and consensus and store beside etcd. `--save` keeps them in docs/benchmarks.md.
 */

import { readFile } from 'node:fs/promises';
import { benchApi } from './lib/bench-api.ts';
import { measureConsensus } from './lib/bench-consensus.ts';
import { consensusSection } from './lib/bench-consensus-table.ts';
import { benchFailover } from './lib/bench-failover.ts';
import { startBenchLab } from './lib/bench-lab.ts';
import { benchMemory } from './lib/bench-memory.ts';
import { benchReplicas } from './lib/bench-replicas.ts';
import { saveSection, tableOf } from './lib/bench-report.ts';
import { benchWatches } from './lib/bench-watches.ts';

const HELP = `scripts/bench [--save] [--quick] [api] [replicas] [failover] [consensus] [memory]
  all parts without a name
  --save   writes the tables to docs/benchmarks.md
  --quick  consensus: a short run that shows that it works; never saved`;

export type Row = {
  readonly what: string;
  readonly measured: string;
  /** What is to be reached, or the peer in the same run. */
  readonly goal: string;
};

const IDLE_MS = 10_000;
const PARTS = ['api', 'replicas', 'failover', 'consensus', 'memory'];

const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(HELP);
  process.exit(0);
}
const parts = args.filter((arg) => !arg.startsWith('--'));
const unknown = args.filter((arg) => !['--save', '--quick', ...PARTS].includes(arg));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(' ')}\n${HELP}`);
  process.exit(1);
}
const quick = args.includes('--quick');
const save = args.includes('--save') && !quick;
const wants = (part: string) => parts.length === 0 || parts.includes(part);

if (['api', 'replicas', 'failover'].some(wants)) await benchProduct();
if (wants('consensus')) {
  const figures = await measureConsensus({ quick, report: (line) => console.log(line) });
  const section = consensusSection(figures);
  console.log(`\n${section}`);
  if (save) await saveSection('Consensus and store beside etcd', section);
}

if (wants('memory')) await benchMany();

/** Many objects, many watches. */
async function benchMany(): Promise<void> {
  const rows: Row[] = [];
  // A fresh node for each: memory that ten thousand connections leave behind must not count for pods.
  for (const part of [benchWatches, benchMemory]) {
    await onLab('bench1', 1, async (lab) => {
      rows.push(...(await part(lab)));
    });
  }
  const table = tableOf(
    ['what', 'measured', 'goal'],
    rows.map(({ what, measured, goal }) => [what, measured, goal]),
  );
  console.log(`\n${table}`);
  if (save) await saveSection('Many objects, many watches', table);
}

/** The product as users meet it, through its API. */
async function benchProduct(): Promise<void> {
  const rows: Row[] = [];
  const add = (...more: readonly Row[]) => {
    rows.push(...more);
    for (const { what, measured, goal } of more) console.log(`${what}: ${measured} (${goal})`);
  };
  await onLab('bench1', 1, async (lab) => {
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const mib = await residentMib(await lab.skeinPid('node1'));
    add({ what: 'resident memory, idle node', measured: `${mib.toFixed(0)} MiB`, goal: '150 MiB' });
    if (wants('api')) {
      add(...(await benchApi(lab, 'one node', { create: 2500, get: 5000, list: 300 })));
    }
    if (wants('replicas')) add(...(await benchReplicas(lab)));
  });
  if (wants('api') || wants('failover')) {
    await onLab('bench3', 3, async (lab) => {
      if (wants('api')) add(...(await benchApi(lab, 'three nodes', { create: 1000 })));
      if (wants('failover')) add(...(await benchFailover(lab)));
    });
  }
  const table = tableOf(
    ['what', 'measured', 'goal or peer'],
    rows.map(({ what, measured, goal }) => [what, measured, goal]),
  );
  console.log(`\n${table}`);
  if (!save) return;
  const intro = 'Two cores; client and hosts on the same machine; HTTPS with client certificates.';
  await saveSection('The product', `${intro}\n\n${table}`);
}

async function onLab(
  name: string,
  nodes: number,
  work: (lab: Awaited<ReturnType<typeof startBenchLab>>) => Promise<void>,
): Promise<void> {
  const lab = await startBenchLab(name, nodes);
  try {
    await work(lab);
  } finally {
    await lab.end();
  }
}

/** Resident memory of a process in MiB. */
async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
