/** A thread of mutations.ts: takes the name of a fault, answers whether it was seen. */

import { parentPort } from 'node:worker_threads';
import { mutants } from './mutants.ts';
import { tryMutant } from './mutation-run.ts';

type Order = {
  readonly name: string;
  readonly range: { readonly from: number; readonly seeds: number };
};

parentPort?.on('message', async ({ name, range }: Order) => {
  const mutant = mutants.find((candidate) => candidate.name === name);
  if (mutant === undefined) throw new Error(`there is no fault ${name}`);
  // An edit that does not fit any more is the fault of whoever changed the text, and counts as not seen.
  const misfit = (error: unknown) => ({
    name,
    caught: undefined,
    seeds: 0,
    ms: 0,
    misfit: String(error),
  });
  parentPort?.postMessage(await tryMutant(mutant, range).catch(misfit));
});
