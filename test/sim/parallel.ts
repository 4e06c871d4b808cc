/** Runs seeds side by side, each thread one at a time. The order in which they end is of no consequence to anybody. */

import { Worker } from 'node:worker_threads';
import type { Outcome } from './simulation.ts';

export type SeedRange = { readonly from: number; readonly seeds: number };

export type ParallelOptions = {
  readonly seconds: number;
  /** What is simulated: a group, or a cluster on top of one. Default: a group. */
  readonly world?: 'cluster';
  /** Threads. Default 2. */
  readonly jobs?: number;
  /** Told of each run; false ends it all. */
  readonly onOutcome: (outcome: Outcome) => boolean;
};

/** Runs the range; resolves when every run has ended, or `onOutcome` had enough. Rejects if a thread dies. */
export async function runSeeds(range: SeedRange, options: ParallelOptions): Promise<void> {
  let next = range.from;
  const end = range.from + range.seeds;
  const jobs = Math.min(options.jobs ?? 2, range.seeds);
  const workers = Array.from(
    { length: jobs },
    () => new Worker(new URL('worker.ts', import.meta.url)),
  );
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            const go = () => {
              if (next >= end) return resolve();
              worker.postMessage({ seed: next++, seconds: options.seconds, world: options.world });
            };
            worker.on('error', reject);
            worker.on('message', (outcome: Outcome) => {
              if (!options.onOutcome(outcome)) next = end;
              go();
            });
            go();
          }),
      ),
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
