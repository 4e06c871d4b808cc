/** What a seed draws for a cluster: the troubles of the group's own simulation, in the measure that work on top of it can bear. */

import type { Random } from '../../../src/lib/random.ts';
import { drawSwarm, type SwarmOptions } from '../world/swarm.ts';

export type ClusterOptions = SwarmOptions & {
  readonly users: {
    /** Mean time between two deeds of users. */
    readonly everyMs: number;
    /** Apps of each kind they know. */
    readonly apps: number;
    readonly replicasMax: number;
  };
  /** Mean time between containers that end by themselves; Infinity: never. */
  readonly containerEndsMs: number;
};

/** Evictions go by wall time: how wrong that may be on machines whose clocks somebody keeps in step. */
export const CLOCK_ERROR_MS = 1_000;

/** Draws the options of one run; `seconds` bounds its faulty phase. */
export function drawCluster(random: Random, seconds: number): ClusterOptions {
  const drawn = drawSwarm(random, seconds);
  const founders = random.pick([3, 3, 3, 4, 5]);
  const never = Number.POSITIVE_INFINITY;
  const often = <T extends { readonly everyMs: number }>(spell: T, leastMs: number): T => ({
    ...spell,
    everyMs: Math.max(spell.everyMs, leastMs),
  });
  return {
    ...drawn,
    ...{ founders, foundedAlone: false, membersMax: founders },
    raft: {},
    drift: Math.min(drawn.drift, 0.01),
    network: {
      ...drawn.network,
      bytesPerMs: Math.max(1_000, drawn.network.bytesPerMs),
      loss: Math.min(0.1, drawn.network.loss),
      linkCapacity: Math.max(32, drawn.network.linkCapacity),
    },
    disk: { ...drawn.disk, meanMs: Math.min(10, drawn.disk.meanMs) },
    partition: often(drawn.partition, 4_000),
    crash: { ...often(drawn.crash, 3_000), orderly: 0, all: Math.min(0.05, drawn.crash.all) },
    pause: often(drawn.pause, 4_000),
    slowLoop: { ...drawn.slowLoop, turnMs: Math.min(5, drawn.slowLoop.turnMs) },
    clockJump: { ...drawn.clockJump, mostMs: CLOCK_ERROR_MS },
    strikes: { ...drawn.strikes, odds: Math.min(0.01, drawn.strikes.odds) },
    loseDisk: { ...drawn.loseDisk, everyMs: never },
    snapshotEntries: Math.max(100, drawn.snapshotEntries),
    // Who belongs to the group is not what is tried here.
    autopilot: { votersMax: 5, promotionStableMs: 1_000, voterGoneMs: 3_600_000 },
    clients: { ...drawn.clients, singletonMs: never, floodEveryMs: never, watchers: 0 },
    ...{ changeEveryMs: never, transferEveryMs: never, hintEveryMs: never },
    users: {
      everyMs: random.pick([200, 500, 1_500]),
      apps: random.int(1, 3),
      replicasMax: random.pick([2, 4, 8]),
    },
    containerEndsMs: random.pick([1_000, 5_000, never]),
  };
}
