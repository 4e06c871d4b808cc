/**
 * The leader's care for the group: watches how its peers keep up, and turns the decisions of membership.ts into
 * configuration changes, one at a time.
 */

import type { ConfChangeStep, NodeId, RaftStatus } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { decideMembership, type MembershipOptions, type MembershipView } from './membership.ts';

type Watched = {
  /** When it was first looked for. */
  readonly sinceMs: number;
  heardMs: number | undefined;
  healthySinceMs: number | undefined;
};

/** Observes one term of leadership. */
export class Autopilot {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: Required<MembershipOptions>;
  readonly #watched = new Map<NodeId, Watched>();

  constructor(clock: Clock, logger: Logger, options: MembershipOptions = {}) {
    this.#clock = clock;
    this.#logger = logger;
    this.#options = {
      votersMax: 5,
      promotionLagMax: 500,
      promotionStableMs: 1_000,
      voterGoneMs: 60_000,
      ...options,
    };
  }

  /** A new leader knows nothing of its peers yet. */
  reset(): void {
    this.#watched.clear();
  }

  /** Takes note of the peers' progress; returns the change to propose, if any. */
  observe(status: RaftStatus): readonly ConfChangeStep[] {
    const nowMs = this.#clock.monotonicMs();
    for (const peer of status.progress) {
      if (peer.node === status.id) continue;
      const watched = this.#watched.get(peer.node) ?? unheard(nowMs);
      this.#watched.set(peer.node, watched);
      if (!peer.recentlyActive) continue;
      watched.heardMs = nowMs;
      const caughtUp =
        peer.state === 'replicate' && peer.match + this.#options.promotionLagMax >= status.commit;
      watched.healthySinceMs = caughtUp ? (watched.healthySinceMs ?? nowMs) : undefined;
    }
    const steps = decideMembership(this.#view(status), this.#options);
    if (steps.length > 0) this.#logger.info({ steps }, 'changing who votes');
    return steps;
  }

  #view(status: RaftStatus): MembershipView {
    const nowMs = this.#clock.monotonicMs();
    const others = status.progress
      .filter(({ node }) => node !== status.id)
      .map(({ node }) => {
        const watched = this.#watched.get(node);
        const silentMs = nowMs - (watched?.heardMs ?? watched?.sinceMs ?? nowMs);
        const heard = watched?.heardMs !== undefined;
        const healthySinceMs = watched?.healthySinceMs;
        const healthyMs = healthySinceMs === undefined ? 0 : nowMs - healthySinceMs;
        return { node, silentMs, healthyMs, heard };
      });
    return { self: status.id, confState: status.confState, others };
  }
}

function unheard(sinceMs: number): Watched {
  return { sinceMs, heardMs: undefined, healthySinceMs: undefined };
}
