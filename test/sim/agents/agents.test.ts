/** A short simulation of whole clusters as part of the gate, and the proof that its laws bite. */

import { createHash } from 'node:crypto';
import t from 'tap';
import { tryMutant } from '../mutation-run.ts';
import { describeFailure, Sum } from '../report.ts';
import type { Outcome } from '../simulation.ts';
import { runCluster } from './agent-run.ts';
import { clusterMutants } from './mutants.ts';

/** More seeds are for `scripts/sim agents`. */
const SEEDS = Number(process.env['SKEIN_SIM_CLUSTERS'] ?? 5);
const SECONDS = 8;

/** What has to have occurred: a cluster that is left alone proves nothing. */
const EXPECTED = [
  'connection broken',
  'leadership of agents',
  'pods written',
  'container started',
  'rulesets compared',
  'user create Deployment done',
];

/** Faults that are quick to see; `scripts/sim mutations` tries them all. */
const QUICK = [
  'agents write without their fence',
  'a pod subnet is chosen without looking at others',
];

t.test(`sim: clusters become what was asked for under ${SEEDS} seeds`, async (t) => {
  const sum = new Sum();
  const failed: Outcome[] = [];
  // In this thread: another one would take as long to load the product as it saves.
  for (let seed = 1; seed <= SEEDS && failed.length < 3; seed++) {
    const outcome = await runCluster(seed, { seconds: SECONDS });
    sum.add(outcome);
    if (outcome.failure !== undefined) failed.push(outcome);
  }
  for (const outcome of failed) {
    const replay = `scripts/sim agents --seeds 1 --from ${outcome.seed} --seconds ${SECONDS} --trace`;
    const how = { events: 40, replay, run: runCluster };
    t.fail(await describeFailure(outcome, { seconds: SECONDS }, how));
  }
  const missing = EXPECTED.filter((what) => sum.count(what) === 0);
  t.same(missing, [], 'users, agents and faults were at work');
  t.comment(sum.line());
});

t.test('sim: a seed is one story of a cluster, whoever listens', async (t) => {
  const story = async () => {
    const hash = createHash('sha256');
    await runCluster(4, { seconds: 4, trace: (line) => void hash.update(`${line}\n`) });
    return hash.digest('hex');
  };
  t.equal(await story(), await story());
});

t.test('sim: faults that are put into agents are seen', async (t) => {
  for (const name of QUICK) {
    const mutant = clusterMutants.find((candidate) => candidate.name === name);
    if (mutant === undefined) {
      t.fail(`there is no fault ${name}`);
      continue;
    }
    const { caught } = await tryMutant(mutant, { from: 1, seeds: 8 });
    t.ok(caught !== undefined, `${name}: ${caught?.checker} at seed ${caught?.seed}`);
  }
});
