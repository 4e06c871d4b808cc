/** Many small worlds, each from its seed: no law is broken, and faults of every kind have occurred. */

import type { Test } from 'tap';
import { runSeeds } from './parallel.ts';
import { describeFailure, Sum } from './report.ts';
import { replayCommand, whole } from './shrink.ts';
import type { Outcome, RunOptions } from './simulation.ts';

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
const RARE_FROM = 600;

/** Runs the seeds from 1 on; every broken law is a failure of `t`, with the command that replays it. */
export async function keepsItsLaws(t: Test, seeds: number): Promise<void> {
  const sum = new Sum();
  const failed: Outcome[] = [];
  const onOutcome = (outcome: Outcome) => {
    sum.add(outcome);
    if (outcome.failure !== undefined) failed.push(outcome);
    return failed.length < 3;
  };
  await runSeeds({ from: 1, seeds }, { seconds: 5, onOutcome });
  for (const outcome of failed) {
    const how = { events: 40, replay: replayCommand(outcome.seed, 5, whole) };
    t.fail(await describeFailure(outcome, short, how));
  }
  const expected = seeds >= RARE_FROM ? [...EXPECTED, ...RARE] : EXPECTED;
  const missing = expected.filter((what) => sum.count(what) === 0);
  t.same(missing, [], 'faults of every kind occurred');
  t.ok(sum.elections > seeds, 'there was more than one election per run');
  t.ok(sum.count('write committed') > 10 * seeds, 'writes were acknowledged');
  t.ok(sum.count('read answered') > 5 * seeds, 'reads were answered');
  for (const kind of ['crash', 'pause', 'cut']) {
    t.ok(
      sum.counts().some((what) => what.startsWith(`strike ${kind}`)),
      `strikes of kind ${kind}`,
    );
  }
  t.ok(sum.count('history undecided') <= seeds / 30, 'nearly every history was judged');
  t.comment(sum.line());
}
