/** A thread of parallel.ts: takes the number of a seed, answers what became of it. */

import { parentPort } from 'node:worker_threads';
import { runSeed } from './simulation.ts';

parentPort?.on('message', async ({ seed, seconds }: { seed: number; seconds: number }) => {
  const outcome = await runSeed(seed, { seconds });
  const { failure } = outcome;
  // What cannot be cloned is told in words.
  const facts = Object.entries(failure?.facts ?? {}).map(([name, value]) => [name, String(value)]);
  const told = failure && { ...failure, facts: Object.fromEntries(facts) };
  parentPort?.postMessage({ ...outcome, failure: told });
});
