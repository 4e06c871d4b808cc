/** The quick part of the proof that the checkers bite; `scripts/sim mutations` is the whole. */

import t from 'tap';
import { mutants } from './mutants.ts';
import { tryMutant } from './mutation-run.ts';

/** Faults of every part, each with the seeds that are enough to see it. */
const QUICK: Readonly<Record<string, number>> = {
  'acknowledge before the disk has it': 10,
  'do not write votes and terms down': 10,
  'a retried write takes effect again': 10,
  'a read asks nobody': 10,
  'a read asks nobody, by what clients see': 10,
  'a write is acknowledged when it is proposed': 10,
  'a request whose answer was lost is called refused': 10,
  'the log is cut before its snapshot is durable': 60,
  'a snapshot does not bring its configuration': 10,
  'a new leader answers reads at once': 10,
  'entries of older terms are committed by counting': 20,
  'half of the voters are a quorum': 10,
  'membership changes may overlap': 20,
  'terms are not made durable': 10,
  'a stale singleton is let in': 60,
  'a transaction does not look at what it expects': 10,
};

t.test('sim: faults that are put in on purpose are seen', async (t) => {
  for (const [name, seeds] of Object.entries(QUICK)) {
    const mutant = mutants.find((candidate) => candidate.name === name);
    if (mutant === undefined) {
      t.fail(`there is no fault ${name}`);
      continue;
    }
    const { caught } = await tryMutant(mutant, { from: 1, seeds });
    t.ok(caught !== undefined, `${name}: ${caught?.checker} at seed ${caught?.seed}`);
  }
});

t.test('sim: an edit that does not fit the product is refused, not passed over', async (t) => {
  const edits = [{ file: 'raft/quorum.ts', find: 'there is no such text', replace: '' }];
  await t.rejects(tryMutant({ name: 'misfit', edits }, { from: 1, seeds: 1 }), /places to change/);
});

t.test('sim: every fault has a name of its own', async (t) => {
  const names = mutants.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
});
