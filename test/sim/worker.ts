/** A thread of parallel.ts: takes the number of a seed, answers what became of it. */

import { parentPort } from 'node:worker_threads';
import { runCluster } from './agents/agent-run.ts';
import { runSeed } from './simulation.ts';

type Order = { readonly seed: number; readonly seconds: number; readonly world?: 'cluster' };

parentPort?.on('message', async ({ seed, seconds, world }: Order) => {
  const outcome = await (world === 'cluster' ? runCluster : runSeed)(seed, { seconds });
  const { failure } = outcome;
  // What cannot be cloned is told in words.
  const facts = Object.entries(failure?.facts ?? {}).map(([name, value]) => [name, String(value)]);
  const told = failure && { ...failure, facts: Object.fromEntries(facts) };
  parentPort?.postMessage({ ...outcome, failure: told });
});
