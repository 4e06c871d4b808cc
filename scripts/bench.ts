/**
 * Measures what users wait for and prints a table: API throughput on one node and on three, thirty replicas beside raw
 * Docker, fail-over, resident memory. The last table is kept in docs/benchmarks.md with `--save`.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { benchApi } from './lib/bench-api.ts';
import { benchFailover } from './lib/bench-failover.ts';
import { startBenchLab } from './lib/bench-lab.ts';
import { benchReplicas } from './lib/bench-replicas.ts';

const HELP = `scripts/bench [--save] [api] [replicas] [failover]
  all parts without a name; --save writes the table to docs/benchmarks.md`;

export type Row = {
  readonly what: string;
  readonly measured: string;
  /** What is to be reached, or the peer in the same run. */
  readonly goal: string;
};

const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(HELP);
  process.exit(0);
}
const parts = args.filter((arg) => !arg.startsWith('--'));
const wants = (part: string) => parts.length === 0 || parts.includes(part);
const rows: Row[] = [];
const add = (...more: readonly Row[]) => {
  rows.push(...more);
  for (const { what, measured, goal } of more) console.log(`${what}: ${measured} (${goal})`);
};

/** Resident memory of a process in MiB. */
async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

const IDLE_MS = 10_000;

{
  const lab = await startBenchLab('bench1', 1);
  try {
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const mib = await residentMib(await lab.skeinPid('node1'));
    add({ what: 'resident memory, idle node', measured: `${mib.toFixed(0)} MiB`, goal: '150 MiB' });
    if (wants('api')) {
      add(...(await benchApi(lab, 'one node', { create: 2500, get: 5000, list: 300 })));
    }
    if (wants('replicas')) add(...(await benchReplicas(lab)));
  } finally {
    await lab.end();
  }
}
if (wants('api') || wants('failover')) {
  const lab = await startBenchLab('bench3', 3);
  try {
    if (wants('api')) add(...(await benchApi(lab, 'three nodes', { create: 1000 })));
    if (wants('failover')) add(...(await benchFailover(lab)));
  } finally {
    await lab.end();
  }
}

const table = [
  '| what | measured | goal or peer |',
  '| --- | --- | --- |',
  ...rows.map(({ what, measured, goal }) => `| ${what} | ${measured} | ${goal} |`),
].join('\n');
console.log(`\n${table}`);
if (args.includes('--save')) {
  const path = new URL('../docs/benchmarks.md', import.meta.url).pathname;
  const intro = `# Benchmarks

The last run of \`scripts/bench --save\`: two cores, client and hosts on the same machine.`;
  await writeFile(path, `${intro}\n\n${table}\n`);
}
