/**
 * The leader's care for the group: watches how its peers keep up, and turns the decisions of membership.ts into
 * configuration changes, one at a time.
 */

import type { ConfChangeStep, NodeId, RaftStatus } from '../../raft/types.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import {
  decideMembership,
  type MembershipLimits,
  type MembershipOptions,
  type MembershipView,
  type MemberView,
  PRESENT_MS,
} from './membership.ts';

type Watched = { healthySinceMs: number | undefined; heardMs: number; heard: boolean };

/** Observes one term of leadership. */
export class Autopilot {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #limits: MembershipLimits;
  readonly #promotionLagMax: number;
  readonly #directory: NonNullable<MembershipOptions['directory']>;
  readonly #watched = new Map<NodeId, Watched>();

  constructor(clock: Clock, logger: Logger, options: MembershipOptions = {}) {
    const { votersMax = 5, promotionStableMs = 1_000, voterGoneMs = 60_000 } = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#limits = { votersMax, promotionStableMs, voterGoneMs };
    this.#promotionLagMax = options.promotionLagMax ?? 500;
    this.#directory = options.directory ?? (() => new Map());
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
      // The core gives everybody an election timeout's credit; only what somebody matches shows that they answered us.
      if (peer.match > 0) watched.heard = true;
      if (peer.recentlyActive && watched.heard) watched.heardMs = nowMs;
      const caughtUp =
        peer.state === 'replicate' && peer.match + this.#promotionLagMax >= status.commit;
      if (!caughtUp) watched.healthySinceMs = undefined;
      else if (peer.recentlyActive) watched.healthySinceMs ??= nowMs;
    }
    const decision = decideMembership(this.#view(status), this.#limits);
    if (decision === undefined) return [];
    this.#logger.info(decision, 'changing who votes');
    return decision.steps;
  }

  #view({ id: self, confState, progress }: RaftStatus): MembershipView {
    const directory = this.#directory();
    const others = progress.filter(({ node }) => node !== self).map(({ node }) => node);
    const members = [self, ...others].map((node) => this.#memberView(node, directory));
    return { self, confState, members };
  }

  #memberView(
    node: NodeId,
    directory: ReturnType<NonNullable<MembershipOptions['directory']>>,
  ): MemberView {
    const nowMs = this.#clock.monotonicMs();
    const { heardMs, heard, healthySinceMs } = this.#watched.get(node) ?? unheard(nowMs);
    const facts = directory.get(node);
    return {
      node,
      zone: facts?.zone,
      stale: facts === undefined && directory.size > 0,
      // 1. a leader dies; 2. the next one counts the dead as present, and demotes a voter that lives; 3. no majority is left.
      silentMs: nowMs - heardMs + (heard ? 0 : PRESENT_MS),
      healthyMs: healthySinceMs === undefined ? 0 : nowMs - healthySinceMs,
    };
  }
}

function unheard(nowMs: number): Watched {
  return { healthySinceMs: undefined, heardMs: nowMs, heard: false };
}
