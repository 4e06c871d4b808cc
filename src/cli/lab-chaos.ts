/** `skein lab chaos`: breaks a lab at random, from a seed, and judges whether the cluster kept its promises. */

import { type Command, InvalidArgumentError } from 'commander';
import type { FaultKind } from '../chaos/fault-kinds.ts';
import type { Step } from '../chaos/schedule.ts';
import { SkeinError } from '../lib/errors.ts';
import { oneOf, wholeNumber } from './arguments.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

type Options = {
  minutes: number;
  seed?: number;
  nodes: '3' | '5';
  hosts: string;
  only?: string[];
  keep: string;
  plan?: boolean;
};

const SEEDS = 1_000_000;
/** What one step of a schedule takes on average, recovery included: for --plan alone. */
const STEP_SECONDS = 6;

const HELP = `
A run has a lab of its own. Clients write, read and watch through every host without a pause, and keep books; a deployment is
scaled, rolled out and loses pods; and one fault after the other is done to hosts, processes, disks, clocks and links. In the end
everything is mended, and the cluster is held against the books.

It fails (exit code 1) when an acknowledged write is missing, a read was stale, a history fits no order, a term had two leaders, hosts
differ, a container was made anew without need, writes paused for longer than 15 s although a majority was well, a fault was not
recovered from, or the lab left anything behind. Then logs, data directories, the history of all operations and the journal are kept.

The same seed gives the same faults in the same order on the same number of hosts; the timing of what runs beside them is its own.
Ctrl-C ends the faults early, and the audit is made all the same; a second one only takes the lab down.

Examples:
  skein lab chaos --minutes 30                      half an hour, from a random seed
  skein lab chaos --seed 42 --nodes 5               again what seed 42 did, on five hosts
  skein lab chaos --only hang-disk-leader,clock     only these faults
  skein lab chaos --plan --seed 42 --minutes 2      show what would be done, and do nothing

With --plan the kinds of faults are shown in brackets, as --only takes them.`;

/** Adds `chaos` to the lab's commands. */
export function addChaosCommand(lab: Command): void {
  lab
    .command('chaos')
    .description('break a lab of its own at random, from a seed, and judge the outcome')
    .option('--minutes <n>', 'how long to break things', minutes, 2)
    .option('--seed <n>', 'repeats the faults of a run (default: random, and told)', wholeNumber)
    .option('--nodes <n>', 'number of hosts, 3 or 5', oneOf('3', '5'), '3')
    .option('--hosts <prefix>', 'names the lab, and thereby its hosts', 'chaos')
    .option('--only <faults>', 'these kinds of faults alone, comma-separated', (text) =>
      text.split(','),
    )
    .option('--keep <directory>', 'where to keep what a failed run leaves', '/var/tmp/skein-chaos')
    .option('--plan', 'show the schedule and do nothing')
    .addHelpText('after', HELP)
    .action(run);
}

function minutes(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value <= 10_000) return value;
  throw new InvalidArgumentError('Expected a number of minutes above 0.');
}

async function run(options: Options): Promise<void> {
  const { FAULTS } = await import('../chaos/fault-kinds.ts');
  const kinds = options.only && checkKinds(options.only, Object.keys(FAULTS) as FaultKind[]);
  const seed = options.seed ?? Math.floor(Math.random() * SEEDS);
  const nodes = Number(options.nodes);
  if (options.plan) {
    await showPlan({ seed, hosts: nodes, ...(kinds ? { kinds } : {}) }, options.minutes);
    return;
  }
  const { runChaos } = await import('../chaos/run.ts');
  const { describeVerdict, passed } = await import('../chaos/verdict.ts');
  const { labDown } = await import('../lab/index.ts');
  const early = new AbortController();
  const giveUp = () => void labDown(options.hosts, () => {}).finally(() => process.exit(1));
  process.once('SIGTERM', giveUp);
  process.once('SIGINT', () => {
    say('ending early; the audit comes next (again: only take the lab down)');
    early.abort();
    process.once('SIGINT', giveUp);
  });
  const { verdict, kept } = await runChaos({
    seed,
    nodes,
    minutes: options.minutes,
    name: options.hosts,
    keepBelow: options.keep,
    report: say,
    signal: early.signal,
    ...(kinds ? { kinds } : {}),
  });
  for (const line of describeVerdict(verdict)) say(line);
  if (kept !== undefined) say(`\nlogs, data, history and journal of this run are in ${kept}`);
  const only = options.only ? ` --only ${options.only.join(',')}` : '';
  say(
    passed(verdict)
      ? `\nPASSED; again with: skein lab chaos --seed ${seed} --nodes ${nodes} --minutes ${options.minutes}${only}`
      : `\nFAILED; again with: skein lab chaos --seed ${seed} --nodes ${nodes} --minutes ${options.minutes}${only}`,
  );
  process.exitCode = passed(verdict) ? 0 : 1;
}

function checkKinds(given: readonly string[], known: readonly FaultKind[]): FaultKind[] {
  return given.map((text) => {
    const kind = known.find((candidate) => candidate === text);
    if (kind !== undefined) return kind;
    throw new SkeinError(
      'config-invalid',
      `--only: there is no fault "${text}"; there are ${known.join(', ')}`,
    );
  });
}

async function showPlan(
  schedule: { seed: number; hosts: number; kinds?: readonly FaultKind[] },
  length: number,
): Promise<void> {
  const { planSteps } = await import('../chaos/schedule.ts');
  say(
    `seed ${schedule.seed}, ${schedule.hosts} hosts; about this much happens in ${length} minutes`,
  );
  let left = Math.ceil((length * 60) / STEP_SECONDS);
  for (const step of planSteps(schedule)) {
    if (left-- <= 0) return;
    say(await describeStep(step));
  }
}

async function describeStep({ number, faults, lastMs }: Step): Promise<string> {
  const { faultOf } = await import('../chaos/fault-kinds.ts');
  const parts = faults.map(({ kind, victim, other, amount }) => {
    const { victim: role, says } = faultOf(kind);
    const who = role === 'leader' ? 'the leader' : `node${victim + 1}`;
    const whom = role === 'leader' ? 'another host' : `node${other + 1}`;
    return `${who}: ${says({ other: whom, amount })} [${kind}]`;
  });
  return `${String(number).padStart(4)}. ${(lastMs / 1000).toFixed(1).padStart(4)} s  ${parts.join('; ')}`;
}
