/** A short simulation as part of the gate: many small worlds, each from its seed. */

import t from 'tap';
import type { RunOptions } from './raft-sim.ts';
import { describeFailure, runSeed } from './raft-sim.ts';

/** The first seeds, short; longer runs are for scripts/sim. */
const SEEDS = 800;
const short: RunOptions = { seconds: 5 };

/** What has to have occurred somewhere: a simulation without faults proves nothing. */
const EXPECTED = [
  'loss',
  'replay',
  'reorder',
  'link full',
  'cut message',
  'clogged message',
  'swizzle clog',
  'partition size',
  'partition coin',
  'partition single',
  'partition leader',
  'partition symmetric',
  'partition one-way',
  'unreachable reported',
  'disk stall',
  'slow write',
  'crash',
  'crash of all',
  'crash with unsynced writes',
  'torn tail',
  'log void behind a snapshot',
  'pause',
  'strike crash at vote',
  'strike pause at elected',
  'strike cut at commit',
  'blackout',
  'join',
  'add-learner',
  'add-voter',
  'remove',
  'joint change',
  'change dropped',
  'transfer',
  'hint forget',
  'hint campaign',
  'hint unreachable',
  'snapshot taken',
  'snapshot sent',
  'snapshot installed',
  'compaction',
  'flood',
  'proposals in one go',
  'proposal dropped',
  'write retried',
  'read retried',
];

t.test(`sim: the core keeps its laws and comes back to life under ${SEEDS} seeds`, async (t) => {
  const counts = new Map<string, number>();
  let elections = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = runSeed(seed, short);
    elections += outcome.elections;
    for (const [what, times] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + times);
    if (outcome.failure !== undefined) t.fail(describeFailure(outcome, short, 40));
  }
  const missing = EXPECTED.filter((what) => (counts.get(what) ?? 0) === 0);
  t.same(missing, [], 'faults of every kind occurred');
  t.ok(elections > SEEDS, 'there was more than one election per run');
  t.ok((counts.get('write acknowledged') ?? 0) > 10 * SEEDS, 'writes were acknowledged');
  t.ok((counts.get('read answered') ?? 0) > 5 * SEEDS, 'reads were answered');
});

t.test('sim: a seed is one story, whoever listens', async (t) => {
  for (const seed of [3, 14, 159]) {
    const told = [1, 2].map(() => {
      const lines: string[] = [];
      runSeed(seed, { ...short, trace: (line) => lines.push(line) });
      return lines;
    });
    const [first = [], second = []] = told;
    t.ok(first.length > 100, 'the trace tells what happens');
    t.same(first.length, second.length);
    t.ok(
      first.every((line, at) => line === second[at]),
      'the same seed prints the same trace twice',
    );
    const silent = runSeed(seed, short);
    const heard = runSeed(seed, { ...short, trace: () => {} });
    t.same(silent, heard, 'the trace changes nothing');
  }
});

t.test('sim: another seed is another story', async (t) => {
  const tell = (seed: number) => {
    const lines: string[] = [];
    runSeed(seed, { ...short, trace: (line) => lines.push(line) });
    return lines.slice(1).join('\n');
  };
  t.not(tell(1), tell(2));
});
