/** The space quota: how large the state may grow before only what shrinks it, or keeps it manageable, is let in. */

import { SkeinError } from '../lib/errors.ts';
import type { StoreUsage } from './types.ts';
import type { Growth, WriteGate } from './write-gate.ts';

export type SpaceQuotaOptions = {
  /** Most bytes of all objects, keys included. Default 2 GiB. */
  readonly quotaBytes?: number;
};

const QUOTA_BYTES = 2 * 1024 ** 3;
/** Of the quota, beyond it, for what keeps a full cluster manageable. */
const RESERVE_SHARE = 0.05;

/** The quota of one node. */
export class SpaceQuota implements WriteGate {
  readonly quotaBytes: number;
  readonly #state: { usage(): StoreUsage };

  constructor(state: { usage(): StoreUsage }, options: SpaceQuotaOptions = {}) {
    this.#state = state;
    this.quotaBytes = options.quotaBytes ?? QUOTA_BYTES;
  }

  /** Why nothing new can be stored, or undefined while there is room. */
  problem(): string | undefined {
    const { bytes } = this.#state.usage();
    return bytes < this.quotaBytes ? undefined : this.#explain(bytes);
  }

  refuse({ bytes: growth, essential }: Growth): SkeinError | undefined {
    if (growth <= 0) return undefined;
    const { bytes } = this.#state.usage();
    const limit = essential ? this.quotaBytes * (1 + RESERVE_SHARE) : this.quotaBytes;
    // The revision's digits are spliced in later: a few bytes, within what writes under way may add anyway.
    if (bytes + growth <= limit) return undefined;
    return new SkeinError('store-full', this.#explain(bytes), { retryable: true });
  }

  #explain(bytes: number): string {
    const { quotaBytes } = this;
    return `the cluster's store is full: its objects take ${mib(bytes)} of ${mib(quotaBytes)} MiB; delete objects, or raise the setting storeQuotaMib on every node; until then only deletions and updates that do not grow are accepted`;
  }
}

function mib(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
