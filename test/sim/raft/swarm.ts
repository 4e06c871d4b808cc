/**
 * Swarm testing: every seed draws its own options before it draws events, so that some runs are all
 * partitions, others all crashes, and rare combinations come up by themselves.
 */

import type { RaftOptions } from '../../../raft/types.ts';
import type { Random } from '../../../src/lib/random.ts';
import type { Moment } from './moments.ts';
import { moments } from './moments.ts';

export type PartitionMode = 'size' | 'coin' | 'single' | 'leader';

export type StrikeKind = 'crash' | 'pause' | 'cut';

/** An alternation of quiet and trouble; both last for a while, so that each state is visited. */
export type Spell = {
  /** Mean time between two of them; Infinity: never. */
  readonly everyMs: number;
  readonly leastMs: number;
  readonly meanMs: number;
};

export type SwarmOptions = {
  /** Members the group is founded with. */
  readonly founders: number;
  /** True: the first one founds the group alone, the others join it. */
  readonly foundedAlone: boolean;
  readonly tickMs: number;
  /** Each member's clock runs fast or slow by up to this share. */
  readonly drift: number;
  readonly raft: Omit<RaftOptions, 'id' | 'random' | 'trace'>;
  readonly network: {
    readonly delayFloorMs: number;
    readonly delayMeanMs: number;
    readonly loss: number;
    readonly replay: number;
    /** Share of messages that do not keep their place in the stream; 1 is a datagram network. */
    readonly reorder: number;
    /** Messages under way on one link; more are lost. */
    readonly linkCapacity: number;
    /** True: messages pass the wire format of src/consensus. */
    readonly wireFormat: boolean;
    /** Share of messages that a cut holds back until it heals, as retransmission does. */
    readonly heldByCut: number;
  };
  readonly partition: Spell & { readonly modes: readonly PartitionMode[]; readonly oneWay: number };
  readonly clog: Spell & { readonly swizzle: number };
  readonly disk: {
    readonly floorMs: number;
    readonly meanMs: number;
    /** Odds that a crash leaves some of the unsynced writes behind, cut anywhere. */
    readonly tornOdds: number;
  };
  readonly diskStall: Spell;
  readonly crash: Spell & { readonly all: number; readonly leader: number };
  readonly pause: Spell & { readonly leader: number };
  /** Trouble at chosen moments: the odds each time, and what it may be. */
  readonly strikes: {
    readonly moments: readonly Moment[];
    readonly odds: number;
    readonly kinds: readonly StrikeKind[];
    /** Mean time before it strikes, and how long it lasts. */
    readonly delayMs: number;
    readonly meanMs: number;
  };
  /** Mean time until the driver looks at the core again; 0: at once. */
  readonly pumpLagMs: number;
  readonly applyLagMs: number;
  /** Entries the state machine takes at once. */
  readonly applyPage: number;
  readonly snapshotEntries: number;
  readonly trailingEntries: number;
  readonly clients: {
    readonly count: number;
    readonly thinkMeanMs: number;
    readonly reads: number;
    readonly keys: number;
    readonly paddingBytesMax: number;
    readonly timeoutMs: number;
    readonly loss: number;
    /** Share of requests that go to anybody who claims to lead, outdated and paused leaders included. */
    readonly toClaiming: number;
    /** Mean time between floods: writes in numbers that nobody waits for. Infinity: never. */
    readonly floodEveryMs: number;
    readonly floodMax: number;
  };
  readonly membersMax: number;
  /** Mean times between the operator's deeds; Infinity: never. */
  readonly changeEveryMs: number;
  readonly transferEveryMs: number;
  readonly hintEveryMs: number;
  readonly faultyMs: number;
};

/** Draws the options of one run; `seconds` bounds its faulty phase. */
export function drawSwarm(random: Random, seconds: number): SwarmOptions {
  const drawn = drawFreely(random, seconds);
  const theme = random.pick(['none', 'none', 'none', 'snapshots', 'elections'] as const);
  if (theme === 'snapshots') return themeOfSnapshots(drawn);
  return theme === 'elections' ? themeOfElections(drawn) : drawn;
}

/** Logs are cut at once, so that whoever was away needs a snapshot, and transfers do not go well. */
export function themeOfSnapshots(drawn: SwarmOptions): SwarmOptions {
  return {
    ...drawn,
    snapshotEntries: 5,
    trailingEntries: 0,
    partition: { ...drawn.partition, everyMs: 2_000 },
    strikes: {
      moments: ['snapshot stored', 'snapshot installing', 'snapshot taken'],
      odds: 0.3,
      kinds: ['crash', 'cut', 'pause'],
      delayMs: 1,
      meanMs: 50,
    },
  };
}

/** Leaders fall as soon as they got somewhere, and leave tails behind that differ. */
export function themeOfElections(drawn: SwarmOptions): SwarmOptions {
  return {
    ...drawn,
    founders: Math.max(3, drawn.founders),
    membersMax: Math.max(3, drawn.membersMax),
    raft: { ...drawn.raft, electionTicks: 4, heartbeatTicks: 1 },
    network: { ...drawn.network, delayMeanMs: 5, delayFloorMs: 1 },
    strikes: {
      moments: ['elected', 'acknowledgement', 'commit', 'vote'],
      odds: 0.1,
      kinds: ['crash', 'cut'],
      delayMs: 2,
      meanMs: 400,
    },
    clients: { ...drawn.clients, floodEveryMs: 100, floodMax: 3 },
  };
}

function drawFreely(random: Random, seconds: number): SwarmOptions {
  const electionTicks = random.int(4, 16);
  const heartbeatTicks = random.int(1, Math.max(1, Math.min(3, Math.floor(electionTicks / 3))));
  const tickMs = 50;
  const electionMs = electionTicks * tickMs;
  const founders = random.pick([1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7]);
  return {
    founders,
    foundedAlone: random.chance(0.2),
    tickMs,
    drift: random.pick([0, 0.01, 0.1]),
    raft: { electionTicks, heartbeatTicks, ...drawLimits(random) },
    network: {
      delayFloorMs: random.pick([0.1, 1, 5]),
      delayMeanMs: random.pick([1, 5, 20, electionMs / 6]),
      loss: random.pick([0, 0, 0.01, 0.1, 0.3]),
      replay: random.pick([0, 0, 0.01, 0.1, 0.5]),
      reorder: random.pick([0, 0.1, 1]),
      linkCapacity: random.pick([4, 32, 1000]),
      wireFormat: random.chance(0.2),
      heldByCut: random.pick([0, 0, 0.5, 1]),
    },
    partition: {
      ...drawSpell(random, [2_000, 8_000, Infinity], [200, 3_000]),
      modes: random.pick<readonly PartitionMode[]>([
        ['size'],
        ['coin'],
        ['single'],
        ['leader'],
        ['size', 'coin', 'single', 'leader'],
      ]),
      oneWay: random.pick([0, 0, 0.5, 1]),
    },
    clog: {
      ...drawSpell(random, [500, 4_000, Infinity], [50, 2_000]),
      swizzle: random.pick([0, 0.3]),
    },
    disk: {
      floorMs: random.pick([0, 0.2, 2]),
      meanMs: random.pick([0.2, 2, 10, electionMs / 8]),
      tornOdds: random.pick([0, 0.5, 1]),
    },
    diskStall: drawSpell(random, [4_000, Infinity, Infinity], [100, 2_000]),
    crash: {
      ...drawSpell(random, [500, 1_500, 5_000, Infinity], [1, 3_000]),
      all: random.pick([0, 0.05, 0.3]),
      leader: random.pick([0, 0.5]),
    },
    pause: {
      ...drawSpell(random, [2_000, 8_000, Infinity], [100, 3_000]),
      leader: random.pick([0, 0.7]),
    },
    strikes: {
      moments: moments.filter(() => random.chance(0.4)),
      odds: random.pick([0, 0.01, 0.1, 0.5]),
      kinds: random.pick<readonly StrikeKind[]>([
        ['crash'],
        ['crash', 'crash', 'pause', 'cut'],
        ['cut'],
        ['pause', 'cut'],
      ]),
      delayMs: random.pick([0, 0.5, 5]),
      meanMs: random.pick([0.5, 20, electionMs, 3 * electionMs]),
    },
    pumpLagMs: random.pick([0, 0, 0.5, 5]),
    applyLagMs: random.pick([0, 0, 1, 10]),
    applyPage: random.pick([1, 8, 256]),
    snapshotEntries: random.pick([5, 25, 100, 100_000]),
    trailingEntries: random.pick([0, 2, 20, 200]),
    clients: {
      count: random.int(1, 6),
      thinkMeanMs: random.pick([2, 20, 100]),
      reads: random.pick([0.1, 0.5]),
      keys: random.int(1, 6),
      paddingBytesMax: random.pick([0, 0, 100, 3_000]),
      timeoutMs: random.pick([50, 300, 1_000]),
      loss: random.pick([0, 0.05]),
      toClaiming: random.pick([0, 0.3, 1]),
      floodEveryMs: random.pick([100, 1_000, Infinity]),
      floodMax: random.pick([2, 20]),
    },
    membersMax: random.int(founders, founders + 4),
    changeEveryMs: random.pick([300, 1_500, 6_000, Infinity]),
    transferEveryMs: random.pick([700, 3_000, Infinity]),
    hintEveryMs: random.pick([500, 3_000, Infinity]),
    faultyMs: 1000 * random.int(Math.ceil(seconds / 3), seconds),
  };
}

/** Small limits as often as the defaults: windows, pages and quotas must fill up to matter. */
function drawLimits(random: Random) {
  return {
    appendBytesMax: random.pick([40, 400, 4_000, 256 * 1024]),
    inflightMessagesMax: random.pick([1, 2, 8, 256]),
    inflightBytesMax: random.pick([100, 4_000, 4 * 1024 * 1024]),
    uncommittedBytesMax: random.pick([60, 2_000, 64 * 1024 * 1024]),
    committedBytesMax: random.pick([40, 400, 1024 * 1024]),
    pendingReadsMax: random.pick([1, 4096]),
  };
}

function drawSpell(
  random: Random,
  everyMs: readonly number[],
  [least, most]: readonly [number, number],
): Spell {
  return {
    everyMs: random.pick(everyMs),
    leastMs: random.pick([least, least * 4]),
    meanMs: random.pick([least, most / 4, most]),
  };
}

/** An exponentially distributed time with the given mean. */
export function exponential(random: Random, meanMs: number): number {
  return meanMs === 0 ? 0 : -Math.log(1 - random.float()) * meanMs;
}
