/** A short simulation as part of the gate; more seeds are in sim.system.test.ts, longer ones for scripts/sim. */

import { createHash } from 'node:crypto';
import t from 'tap';
import { keepsItsLaws } from './many-seeds.ts';
import type { RunOptions } from './simulation.ts';
import { runSeed } from './simulation.ts';

const SEEDS = 150;
const short: RunOptions = { seconds: 5 };

t.test(`sim: the product keeps its laws and comes back to life under ${SEEDS} seeds`, (t) =>
  keepsItsLaws(t, SEEDS),
);

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
