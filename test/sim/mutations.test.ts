/** The quick part of the proof that the checkers bite; `node test/sim/mutations.ts` is the whole. */

import t from 'tap';
import { mutants } from './raft/mutants.ts';
import { tryMutant } from './raft/mutation-run.ts';

/** Each fault with the seeds that are enough to see it. */
const QUICK: Readonly<Record<string, number>> = {
  'acknowledge before the disk has it': 20,
  'a retried write takes effect again': 20,
  'a read asks nobody': 20,
  'a member votes for everybody who asks': 20,
  'a vote does not look at the log': 60,
  'entries of older terms are committed by counting': 20,
  'the leader counts what its disk does not have, by its consequences': 20,
  'half of the voters are a quorum, by its consequences': 20,
  'membership changes may overlap': 20,
  'a snapshot does not bring its configuration': 20,
  'a new leader answers reads at once': 20,
  'a lost append is not noticed': 20,
};

t.test('sim: faults that are put in on purpose are seen', async (t) => {
  for (const [name, seeds] of Object.entries(QUICK)) {
    const mutant = mutants.find((candidate) => candidate.name === name);
    if (mutant === undefined) {
      t.fail(`there is no mutant named ${name}`);
      continue;
    }
    const { caught } = await tryMutant(mutant, { from: 1, seeds });
    t.ok(caught !== undefined, `${name}: ${caught?.checker} at seed ${caught?.seed}`);
  }
});

t.test('sim: an edit that does not fit the core is refused, not passed over', async (t) => {
  const edits = [{ file: 'quorum.ts', find: 'there is no such text', replace: '' }];
  await t.rejects(tryMutant({ name: 'misfit', edits }, { from: 1, seeds: 1 }), /places to change/);
});

t.test('sim: every fault has a name of its own', async (t) => {
  const names = mutants.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
});
