/**
 * The store without a cluster: the same state machine, commands and writer, on a log that exists only as a
 * counter. For tests of everything that needs a Store, and for tools that work on a snapshot.
 */

import { asIndex, asTerm } from '../../raft/types.ts';
import type { Consensus } from '../consensus/types.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { createReplicatedStore } from './replicated-store.ts';
import { StoreState, type StoreStateOptions } from './state.ts';
import type { Store } from './types.ts';

export type LocalStoreOptions = StoreStateOptions & {
  /** For the deadlines of waits. Default: the machine's clock. */
  readonly clock?: Clock;
};

/** An empty store; a transaction is applied before `transact` returns its promise. */
export function createLocalStore(options: LocalStoreOptions = {}): Store {
  const state = new StoreState(options);
  const { clock = systemClock } = options;
  return createReplicatedStore({ state, consensus: applyAtOnce(state), clock });
}

/** Consensus of one, without durability. */
export function applyAtOnce(state: StoreState): Pick<Consensus, 'propose' | 'readBarrier'> {
  return {
    propose(data) {
      const index = asIndex(state.appliedIndex + 1);
      const [result] = state.apply([{ index, term: asTerm(1), data }]);
      return Promise.resolve({ kind: 'applied', index, result });
    },
    readBarrier: () => Promise.resolve(),
  };
}
