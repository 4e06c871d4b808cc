/**
 * Simulates whole clusters: `scripts/sim agents --seeds 200 --from 1`. See README.md for what is real and which laws are checked.
 * Exit code 1 if one was broken.
 */

import { parseArgs } from 'node:util';
import { runSeeds } from '../parallel.ts';
import { describeFailure, Sum } from '../report.ts';
import type { Outcome } from '../simulation.ts';
import { runCluster } from './agent-run.ts';

const HELP = `scripts/sim agents [--seeds n] [--from seed] [--seconds n] [--jobs n] [--keep-going] [--trace] [--quiet]
  --seeds n      how many seeds to run; default 100
  --from seed    the first one; default 1
  --seconds n    longest faulty phase of a run, in simulated seconds; default 30
  --jobs n       threads; default 2
  --keep-going   go on after a failing seed
  --events n     events to print of a failing seed; default 80
  --trace        one after another in this thread, every event printed; for one seed, mostly
  --quiet        no tally of what occurred`;

const settings = {
  seeds: { type: 'string', default: '100' },
  from: { type: 'string', default: '1' },
  seconds: { type: 'string', default: '30' },
  jobs: { type: 'string', default: '2' },
  events: { type: 'string', default: '80' },
  trace: { type: 'boolean', default: false },
  'keep-going': { type: 'boolean', default: false },
  quiet: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** Runs what the command line asks for. */
export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: settings });
  const numbers = [values.seeds, values.from, values.seconds, values.jobs, values.events];
  const [seeds = 0, from = 0, seconds = 0, jobs = 0, events = 0] = numbers.map(Number);
  if (values.help || !numbers.every((text) => Number(text) > 0)) {
    console.log(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const sum = new Sum();
  const failed: Outcome[] = [];
  const onOutcome = (outcome: Outcome): boolean => {
    sum.add(outcome);
    if (outcome.failure === undefined) return true;
    failed.push(outcome);
    console.log(`seed ${outcome.seed} BREAKS ${outcome.failure.checker}: ${outcome.failure.law}`);
    return values['keep-going'];
  };
  if (values.trace) {
    for (let seed = from; seed < from + seeds; seed++) {
      if (!onOutcome(await runCluster(seed, { seconds, trace: console.log }))) break;
    }
  } else {
    await runSeeds({ from, seeds }, { seconds, jobs, onOutcome, world: 'cluster' });
  }
  for (const outcome of failed) {
    const replay = `scripts/sim agents --seeds 1 --from ${outcome.seed} --seconds ${seconds} --trace`;
    console.log(await describeFailure(outcome, { seconds }, { events, replay, run: runCluster }));
  }
  if (!values.quiet) console.log(sum.tally());
  console.log(sum.line());
  process.exitCode = failed.length === 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
