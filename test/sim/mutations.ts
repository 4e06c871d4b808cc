/**
 * The proof that the checkers bite: faults on purpose, each of which has to be seen.
 * `scripts/sim mutations [--seeds n] [word...]`; exit code 1 if one escapes.
 */

import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { mutants } from './mutants.ts';
import { runSeed } from './simulation.ts';

/** Seeds that the product has to hold under before anything is put into it. */
const SOUND_SEEDS = 10;

import type { Verdict } from './mutation-run.ts';

/** Tries what the command line names; everything, if it names nothing. */
export async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '1000' },
      from: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '2' },
    },
    allowPositionals: true,
  });
  const range = { from: Number(values.from), seeds: Number(values.seeds) };
  if (!(await holds())) return;
  const waiting = mutants
    .map(({ name }) => name)
    .filter((name) => positionals.length === 0 || positionals.some((word) => name.includes(word)));
  const chosen = waiting.length;
  let escaped = 0;
  const tell = ({ name, caught, seeds, ms, misfit }: Verdict) => {
    if (caught === undefined) escaped++;
    const how = caught === undefined ? (misfit ?? 'ESCAPED') : `${caught.checker}: ${caught.law}`;
    const where = caught === undefined ? `${seeds} seeds` : `seed ${caught.seed}`;
    console.log(`${name.padEnd(66)} ${where.padEnd(10)} ${(ms / 1000).toFixed(1)} s  ${how}`);
  };
  const run = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL('mutation-worker.ts', import.meta.url));
      const next = () => {
        const name = waiting.shift();
        if (name !== undefined) worker.postMessage({ name, range });
        else void worker.terminate().then(() => resolve());
      };
      worker.on('error', reject);
      worker.on('message', (verdict: Verdict) => {
        tell(verdict);
        next();
      });
      next();
    });
  await Promise.all(Array.from({ length: Number(values.jobs) }, run));
  console.log(`${chosen - escaped} of ${chosen} faults seen`);
  process.exitCode = escaped === 0 ? 0 : 1;
}

/** A product that fails by itself would let every fault pass for seen. */
async function holds(): Promise<boolean> {
  for (let seed = 1; seed <= SOUND_SEEDS; seed++) {
    const { failure } = await runSeed(seed, { seconds: 5 });
    if (failure === undefined) continue;
    console.log(`the product itself fails at seed ${seed}: ${failure.checker}: ${failure.law}`);
    process.exitCode = 1;
    return false;
  }
  return true;
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
