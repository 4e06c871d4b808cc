/**
 * Something that must run once in the cluster, as the cluster's agents do: it lives where the leader is, claims its fence, and
 * writes under its term. Some do not notice that their leadership has ended, and go on; nothing of that may take effect.
 */

import type { LeadershipEvent } from '../../../src/consensus/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import { put } from '../../support/store-values.ts';
import type { Process } from '../machine/process.ts';
import type { SwarmOptions } from '../world/swarm.ts';
import { exponential } from '../world/swarm.ts';
import type { World } from '../world/world.ts';

export type SingletonComponents = {
  readonly world: World;
  readonly random: Random;
  readonly options: SwarmOptions['clients'];
};

const FENCE = 'sim';
const KEY = '/sim/singleton//state';
const DEADLINE_MS = 2_000;

/** Lets the singleton live in `process` whenever that leads. */
export function hostSingleton(process: Process, components: SingletonComponents): void {
  const { world, random, options } = components;
  const services = process.services;
  if (services === undefined || options.singletonMs === Number.POSITIVE_INFINITY) return;
  const { consensus, store } = services;
  let current: number | undefined;
  let written = 0;

  const live = async (term: number): Promise<void> => {
    try {
      await store.claimFence(FENCE, term);
      world.count('singleton claimed');
      next(term);
    } catch {
      world.count('singleton not claimed');
    }
  };
  const next = (term: number) => {
    world.after(exponential(random, options.singletonMs), () => {
      process.turn(() => {
        if (current === term) void write(term);
      });
    });
  };
  const write = async (term: number): Promise<void> => {
    try {
      const operations = [put(KEY, { term, written: ++written })];
      const fence = { name: FENCE, term };
      const transaction = { checks: [], operations, fence };
      const result = await store.transact(transaction, { deadlineMs: DEADLINE_MS });
      world.count(`singleton ${result.kind}`);
      if (result.kind === 'fenced') return;
    } catch {
      world.count('singleton refused');
    }
    next(term);
  };
  consensus.onLeadership((event: LeadershipEvent) => {
    if (event.kind === 'gained') {
      current = event.term;
      void live(event.term);
    } else if (random.chance(options.singletonDeaf)) {
      world.count('singleton deaf');
    } else {
      current = undefined;
    }
  });
}
