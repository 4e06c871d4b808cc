/**
 * Simulates whole groups of the product's own consensus and store: `scripts/sim --seeds 200 --from 1`. See README.md for the
 * columns. Exit code 1 if a law was broken.
 */

import { parseArgs } from 'node:util';
import { runSeeds } from './parallel.ts';
import { describeFailure, Sum } from './report.ts';
import { type Cut, cutOptions, replayCommand, shrink } from './shrink.ts';
import { type Outcome, runSeed } from './simulation.ts';
import { switches } from './switches.ts';

const HELP = `scripts/sim [mutations] [--seeds n] [--from seed] [--seconds n] [--jobs n] [--keep-going] [--shrink] [--trace]
  mutations      try faults on purpose instead; takes --seeds, --from, --jobs and words of names
  --seeds n      how many seeds to run; default 200
  --from seed    the first one; default 1
  --seconds n    longest faulty phase of a run, in simulated seconds; default 15
  --jobs n       threads; default 2
  --keep-going   go on after a failing seed
  --shrink       cut a failing story down to what it takes
  --events n     events to print of a failing seed; default 60
  --trace        one after another in this thread, every event printed; for one seed, mostly
  --quiet        no tally of what occurred
What shrinking prints, to tell a story in part:
  --off a,b      without these kinds of trouble: ${Object.keys(switches).join(', ')}
  --spare n,m    without these blows, by number
  --faulty-ms n  a faulty phase of this length
  --clients n    so many clients`;

const settings = {
  seeds: { type: 'string', default: '200' },
  from: { type: 'string', default: '1' },
  seconds: { type: 'string', default: '15' },
  jobs: { type: 'string', default: '2' },
  events: { type: 'string', default: '60' },
  off: { type: 'string', default: '' },
  spare: { type: 'string', default: '' },
  'faulty-ms': { type: 'string' },
  clients: { type: 'string' },
  trace: { type: 'boolean', default: false },
  'keep-going': { type: 'boolean', default: false },
  shrink: { type: 'boolean', default: false },
  quiet: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof settings }>>['values'];

/** Runs what the command line asks for. */
export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: settings });
  const numbers = [values.seeds, values.from, values.seconds, values.jobs, values.events];
  const [seeds = 0, from = 0, seconds = 0, jobs = 0] = numbers.map(Number);
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
  const cut = cutOf(values);
  const whole = cut.off.length + cut.spare.length === 0 && cut.faultyMs === cut.clients;
  if (values.trace || !whole) {
    const options = {
      ...cutOptions(cut, { seconds }),
      ...(values.trace && { trace: console.log }),
    };
    for (let seed = from; seed < from + seeds; seed++) {
      if (!onOutcome(await runSeed(seed, options))) break;
    }
  } else {
    await runSeeds({ from, seeds }, { seconds, jobs, onOutcome });
  }
  for (const outcome of failed) await tell(outcome, { seconds, cut, values });
  if (!values.quiet) console.log(sum.tally());
  console.log(sum.line());
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function cutOf(values: Values): Cut {
  const list = (text: string) => text.split(',').filter((part) => part !== '');
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  return {
    off: list(values.off),
    spare: list(values.spare).map(Number),
    faultyMs: number(values['faulty-ms']),
    clients: number(values.clients),
  };
}

async function tell(
  outcome: Outcome,
  {
    seconds,
    cut,
    values,
  }: { readonly seconds: number; readonly cut: Cut; readonly values: Values },
): Promise<void> {
  const { seed } = outcome;
  const shrunk = values.shrink ? await shrink(seed, cutOptions(cut, { seconds })) : undefined;
  const left = shrunk === undefined ? cut : { ...shrunk.cut, off: [...cut.off, ...shrunk.cut.off] };
  const failure = shrunk?.failure ?? outcome.failure;
  const how = { events: Number(values.events), replay: replayCommand(seed, seconds, left) };
  console.log(await describeFailure({ seed, failure }, cutOptions(left, { seconds }), how));
  if (shrunk === undefined) return;
  console.log(`  shrunk in ${shrunk.runs} runs, to ${shrunk.blows} blows`);
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
