/**
 * Two minutes of random chaos in a lab: every promise at once. `scripts/chaos` does the same for as long as one likes;
 * SKEIN_SEED repeats the faults of a run.
 */

import t from 'tap';
import { runChaos } from '../../src/chaos/run.ts';
import { describeVerdict, LAWS, type Law } from '../../src/chaos/verdict.ts';
import { labDown } from '../../src/lab/index.ts';
import { secondOpinion } from '../support/second-opinion.ts';
import { claimLab } from './support/claim.ts';

const NAME = 'e2e-chaos';
const MINUTES = 2;
const seed = Number(process.env['SKEIN_SEED'] ?? Date.now() % 1_000_000);

t.setTimeout(0);
await claimLab(NAME);
const end = () => labDown(NAME, () => {});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGALRM'] as const) {
  process.once(signal, () => void end().finally(() => process.exit(1)));
}
t.teardown(end);

t.test('chaos: two minutes of random faults break no promise', async (t) => {
  const { verdict, clients, kept } = await runChaos({
    seed,
    minutes: MINUTES,
    nodes: 3,
    name: NAME,
    keepBelow: '/var/tmp/skein-chaos',
    report: (line) => t.comment(line),
  });
  for (const line of describeVerdict(verdict)) t.comment(line);
  if (kept !== undefined) t.comment(`logs, data, history and journal are in ${kept}`);
  for (const [law, what] of Object.entries(LAWS) as [Law, string][]) {
    t.strictSame(verdict.violations[law], [], `no ${what}; seed ${seed}`);
  }
  const { kind } = secondOpinion(clients.history);
  t.not(kind, 'violation', `a search for an order finds one as well (${kind})`);
  t.ok(verdict.steps.length >= 5, `${verdict.steps.length} steps`);
  t.ok(verdict.operations.writes > 500, 'most of the time the cluster took writes');
  t.ok(verdict.operations.reads > 500, 'and answered reads');
  t.ok(verdict.operations.watches > 5, 'and the watch moved');
});
