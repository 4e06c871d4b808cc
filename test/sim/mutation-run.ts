/** Runs seeds against a product with a fault in it, until the fault is seen. */

import type { Mutant } from './mutants.ts';
import { runSeed } from './simulation.ts';
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

/** Tries the seeds one after another. Throws Error if an edit does not fit the product any more. */
export async function tryMutant(
  mutant: Mutant,
  range: { readonly from: number; readonly seeds: number },
): Promise<Verdict> {
  const { name, edits, skip = [], adjust } = mutant;
  const product = await loadProduct(edits);
  const startMs = performance.now();
  for (let at = 0; at < range.seeds; at++) {
    const seed = range.from + at;
    const how = { product, skip, seconds: SECONDS, ...(adjust === undefined ? {} : { adjust }) };
    const { failure } = await runSeed(seed, how);
    if (failure === undefined) continue;
    const { checker, law } = failure;
    const ms = performance.now() - startMs;
    return { name, caught: { seed, checker, law }, seeds: at + 1, ms };
  }
  return { name, caught: undefined, seeds: range.seeds, ms: performance.now() - startMs };
}
