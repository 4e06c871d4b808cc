/**
 * The proof that the checkers bite: faults on purpose, each of which has to be seen.
 * `node test/sim/mutations.ts [--seeds n] [word...]`; exit code 1 if one escapes.
 */

import { parseArgs } from 'node:util';
import { mutants } from './raft/mutants.ts';
import { tryMutant } from './raft/mutation-run.ts';

const { values, positionals } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
  },
  allowPositionals: true,
});
const range = { from: Number(values.from), seeds: Number(values.seeds) };
const chosen = mutants.filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
);
let escaped = 0;
for (const mutant of chosen) {
  const { name, caught, seeds, ms } = await tryMutant(mutant, range);
  if (caught === undefined) escaped++;
  const how = caught === undefined ? 'ESCAPED' : `${caught.checker}: ${caught.law}`;
  const where = caught === undefined ? `${seeds} seeds` : `seed ${caught.seed}`;
  console.log(`${name.padEnd(62)} ${where.padEnd(10)} ${(ms / 1000).toFixed(1)} s  ${how}`);
}
console.log(`${chosen.length - escaped} of ${chosen.length} faults seen`);
process.exitCode = escaped === 0 ? 0 : 1;
