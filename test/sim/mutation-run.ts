/** Runs seeds against a product with a fault in it, until the fault is seen. */

import { runCluster } from './agents/agent-run.ts';
import type { Mutant } from './mutants.ts';
import { type Outcome, type RunOptions, runSeed } from './simulation.ts';
import { loadProduct } from './world/product.ts';

export type Verdict = {
  readonly name: string;
  /** Undefined: nobody noticed. */
  readonly caught:
    | { readonly seed: number; readonly checker: string; readonly law: string }
    | undefined;
  readonly seeds: number;
  readonly ms: number;
  /** Why it could not be tried. */
  readonly misfit?: string;
};

/** Longest faulty phase, in simulated seconds. */
const SECONDS = 8;
const CLUSTER_SECONDS = 20;

type Run = (seed: number, options: RunOptions) => Promise<Outcome>;

/** Tries the seeds one after another. Throws Error if an edit does not fit the product any more. */
export async function tryMutant(
  mutant: Mutant,
  range: { readonly from: number; readonly seeds: number },
): Promise<Verdict> {
  const { name, edits, skip = [], adjust } = mutant;
  const product = await loadProduct(edits);
  const run: Run = mutant.world === 'cluster' ? runCluster : runSeed;
  const startMs = performance.now();
  for (let at = 0; at < range.seeds; at++) {
    const seed = range.from + at;
    const seconds = mutant.world === 'cluster' ? CLUSTER_SECONDS : SECONDS;
    const how = { product, skip, seconds, ...(adjust === undefined ? {} : { adjust }) };
    const { failure } = await run(seed, how);
    if (failure === undefined) continue;
    const { checker, law } = failure;
    const ms = performance.now() - startMs;
    return { name, caught: { seed, checker, law }, seeds: at + 1, ms };
  }
  return { name, caught: undefined, seeds: range.seeds, ms: performance.now() - startMs };
}
