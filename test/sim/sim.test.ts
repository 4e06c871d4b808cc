/** A short simulation as part of the gate: many small worlds, each from its seed. */

import { createHash } from 'node:crypto';
import t from 'tap';
import { runSeeds } from './parallel.ts';
import { describeFailure, Sum } from './report.ts';
import { replayCommand, whole } from './shrink.ts';
import type { Outcome, RunOptions } from './simulation.ts';
import { runSeed } from './simulation.ts';

/** The first seeds, short; more of them are for the long test, and longer ones for scripts/sim. */
const SEEDS = Number(process.env['SKEIN_SIM_SEEDS'] ?? 150);
const short: RunOptions = { seconds: 5 };

/** What has to have occurred somewhere: a simulation without faults proves nothing. */
const EXPECTED = [
  'loss',
  'replay',
  'reorder',
  'link full',
  'cut parcel',
  'clogged parcel',
  'swizzle clog',
  'partition size',
  'partition coin',
  'partition single',
  'partition symmetric',
  'partition one-way',
  'connection broken',
  'disk stall',
  'slow write',
  'process ended by itself',
  'crash',
  'crash of all',
  'power failure',
  'process killed',
  'orderly end',
  'crash with unsynced writes',
  'torn file',
  'pause',
  'slow loop',
  'clock jump',
  'upgrade',
  'level reached',
  'blackout',
  'join',
  'order add',
  'order remove',
  'add-learner',
  'add-voter',
  'remove',
  'joint change',
  'change dropped',
  'transfer',
  'hint forget',
  'hint campaign',
  'snapshot taken',
  'snapshot installed',
  'compaction',
  'flood',
  'write committed',
  'write conflict',
  'write unanswered',
  'transact outcome-unknown',
  'singleton claimed',
  'singleton committed',
  'watch batch',
  'watch too old',
  'history linearizable',
];

/** What a few hundred seeds are needed for. */
const RARE = [
  'disk lost',
  'release refused',
  'singleton fenced',
  'singleton deaf',
  'watch jumped',
  'disk trouble unreadable',
  'disk trouble full',
  'disk trouble failing',
  'hint unreachable',
  'new address',
  'rollback',
  'partition leader',
];
const RARE_SEEDS = 600;

const title = `sim: the product keeps its laws and comes back to life under ${SEEDS} seeds`;

t.test(title, { timeout: 300_000 }, async (t) => {
  const sum = new Sum();
  const failed: Outcome[] = [];
  const onOutcome = (outcome: Outcome) => {
    sum.add(outcome);
    if (outcome.failure !== undefined) failed.push(outcome);
    return failed.length < 3;
  };
  await runSeeds({ from: 1, seeds: SEEDS }, { seconds: 5, onOutcome });
  for (const outcome of failed) {
    const how = { events: 40, replay: replayCommand(outcome.seed, 5, whole) };
    t.fail(await describeFailure(outcome, short, how));
  }
  const expected = SEEDS >= RARE_SEEDS ? [...EXPECTED, ...RARE] : EXPECTED;
  const missing = expected.filter((what) => sum.count(what) === 0);
  t.same(missing, [], 'faults of every kind occurred');
  t.ok(sum.elections > SEEDS, 'there was more than one election per run');
  t.ok(sum.count('write committed') > 10 * SEEDS, 'writes were acknowledged');
  t.ok(sum.count('read answered') > 5 * SEEDS, 'reads were answered');
  for (const kind of ['crash', 'pause', 'cut']) {
    t.ok(
      sum.counts().some((what) => what.startsWith(`strike ${kind}`)),
      `strikes of kind ${kind}`,
    );
  }
  t.ok(sum.count('history undecided') <= SEEDS / 30, 'nearly every history was judged');
  t.comment(sum.line());
});

/** The whole story of a seed as one number. */
async function storyOf(seed: number): Promise<{ readonly lines: number; readonly hash: string }> {
  const hash = createHash('sha256');
  let lines = 0;
  const trace = (line: string) => {
    lines++;
    hash.update(`${line}\n`);
  };
  await runSeed(seed, { ...short, trace });
  return { lines, hash: hash.digest('hex') };
}

t.test('sim: a seed is one story, whoever listens', async (t) => {
  for (const seed of [3, 14, 59]) {
    const [first, second] = [await storyOf(seed), await storyOf(seed)];
    t.ok(first.lines > 100, 'the trace tells what happens');
    t.same(first, second, 'the same seed prints the same trace twice');
    const silent = await runSeed(seed, short);
    const heard = await runSeed(seed, { ...short, trace: () => {} });
    t.same(silent, heard, 'the trace changes nothing');
  }
});

t.test('sim: another seed is another story', async (t) => {
  t.not((await storyOf(1)).hash, (await storyOf(2)).hash);
});
