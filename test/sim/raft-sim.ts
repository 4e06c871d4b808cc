/**
 * Simulates the consensus core: `node test/sim/raft-sim.ts --seeds 200 --from 1`. See README.md for the
 * columns. Exit code 1 if a law was broken.
 */

import { parseArgs } from 'node:util';
import type { Outcome, RunOptions } from './raft/simulation.ts';
import { runSeed } from './raft/simulation.ts';

export type { Failure, Outcome, RunOptions } from './raft/simulation.ts';
export { runSeed } from './raft/simulation.ts';

const HELP = `scripts/sim [mutations] [--seeds n] [--from seed] [--seconds n] [--trace] [--keep-going] [--quiet]
  mutations      try faults on purpose instead; takes --seeds, --from and words of names
  --seeds n      how many seeds to run; default 200
  --from seed    the first one; default 1
  --seconds n    longest faulty phase of a run, in simulated seconds; default 15
  --trace        print every event; for one seed, mostly
  --events n     events to print of a failing seed; default 60
  --keep-going   go on after a failing seed
  --quiet        no tally of what occurred`;

/** Runs what the command line asks for. */
export function main(): void {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      from: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '15' },
      events: { type: 'string', default: '60' },
      trace: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const [seeds, from, seconds] = [values.seeds, values.from, values.seconds].map(Number);
  if (
    seeds === undefined ||
    from === undefined ||
    seconds === undefined ||
    !(seeds * seconds > 0)
  ) {
    console.log(HELP);
    process.exitCode = 2;
    return;
  }
  const sum = new Sum();
  for (let seed = from; seed < from + seeds; seed++) {
    const options = { seconds, ...(values.trace ? { trace: console.log } : {}) };
    const outcome = runSeed(seed, options);
    sum.add(outcome);
    if (outcome.failure === undefined) continue;
    process.exitCode = 1;
    console.log(describeFailure(outcome, { seconds }, Number(values.events)));
    if (!values['keep-going']) break;
  }
  if (!values.quiet) console.log(sum.tally());
  console.log(sum.line());
}

/** What is known of a failing seed, its last events and how to see it again. */
export function describeFailure(
  { seed, failure }: Outcome,
  options: RunOptions,
  events: number,
): string {
  if (failure === undefined) return `seed ${seed} holds`;
  const last: string[] = [];
  // The same seed does the same again; this time it is written down.
  runSeed(seed, {
    ...options,
    trace: (line) => {
      last.push(line);
      if (last.length > events * 2) last.splice(0, events);
    },
  });
  const facts = Object.entries(failure.facts).map(([name, value]) => `    ${name}: ${value}`);
  return [
    `seed ${seed} BREAKS ${failure.checker}: ${failure.law} (at ${failure.atMs.toFixed(3)} ms)`,
    ...facts,
    ...(facts.length === 0 ? failure.stack.split('\n').slice(1, 9) : []),
    '  last events:',
    ...last.slice(-events).map((line) => (line.length > 300 ? `${line.slice(0, 300)}...` : line)),
    `  replay: scripts/sim --seeds 1 --from ${seed} --seconds ${options.seconds ?? 15} --trace`,
  ].join('\n');
}

/** Adds up what the runs did. */
class Sum {
  readonly #startMs = performance.now();
  readonly #counts = new Map<string, number>();
  #runs = 0;
  #failed = 0;
  #simulatedMs = 0;
  #steps = 0;
  #committed = 0;
  #elections = 0;

  add(outcome: Outcome): void {
    this.#runs++;
    if (outcome.failure !== undefined) this.#failed++;
    this.#simulatedMs += outcome.simulatedMs;
    this.#steps += outcome.steps;
    this.#committed += outcome.committed;
    this.#elections += outcome.elections;
    for (const [what, times] of outcome.counts) {
      this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
    }
  }

  tally(): string {
    const names = [...this.#counts.keys()].sort();
    return names.map((name) => `  ${name.padEnd(28)} ${this.#counts.get(name)}`).join('\n');
  }

  line(): string {
    const minutes = (performance.now() - this.#startMs) / 60_000;
    const perMinute = (count: number) => Math.round(count / minutes);
    const hours = this.#simulatedMs / 3_600_000 / minutes;
    return [
      `${this.#runs} seeds, ${this.#failed} failed`,
      `${perMinute(this.#runs)} schedules/min`,
      `${hours.toFixed(2)} simulated h/min`,
      `${perMinute(this.#steps)} steps/min`,
      `${this.#elections} elections, ${this.#committed} entries committed`,
    ].join('; ');
  }
}

if (process.argv[1] === import.meta.filename) main();
