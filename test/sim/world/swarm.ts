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
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly tickMs: number;
  /** Each machine's clock runs fast or slow by up to this share. */
  readonly drift: number;
  /** Limits of the core. */
  readonly raft: Partial<RaftOptions>;
  readonly network: {
    readonly delayFloorMs: number;
    readonly delayMeanMs: number;
    readonly bytesPerMs: number;
    /** Of raft's own frames: share that is lost, repeated, or does not keep its place in the stream. */
    readonly loss: number;
    readonly replay: number;
    readonly reorder: number;
    /** Parcels under way on one link; beyond that senders have to wait. */
    readonly linkCapacity: number;
    /** Share of parcels that a cut holds back until it heals, as retransmission does. */
    readonly heldByCut: number;
    /** A connection on which nothing passes for so long is given up. */
    readonly noticeMs: number;
  };
  readonly partition: Spell & { readonly modes: readonly PartitionMode[]; readonly oneWay: number };
  readonly clog: Spell & { readonly swizzle: number };
  readonly disk: {
    readonly floorMs: number;
    readonly meanMs: number;
    /** Odds that a crash leaves some of the unsynced writes behind, cut anywhere. */
    readonly tornOdds: number;
    /** Size of a log segment. */
    readonly segmentBytes: number;
  };
  readonly diskStall: Spell;
  /** Writes, or everything, fails for a while; the process ends and is started again meanwhile. */
  readonly diskTrouble: Spell;
  readonly crash: Spell & {
    readonly all: number;
    readonly leader: number;
    /** Share that takes the machine's power along, so that nobody is told. */
    readonly power: number;
    /** Share after which the machine has a new address. */
    readonly moved: number;
    /** Share that is asked to end, and does so in good order. */
    readonly orderly: number;
  };
  /** A machine loses its disk for good; another one comes in its place. */
  readonly loseDisk: Spell;
  readonly pause: Spell & { readonly leader: number };
  /** An event loop that takes its time for every turn. */
  readonly slowLoop: Spell & { readonly turnMs: number };
  /** The wall clock of a machine jumps, by up to so much. */
  readonly clockJump: Spell & { readonly mostMs: number };
  /** Trouble at chosen moments: the odds each time, and what it may be. */
  readonly strikes: {
    readonly moments: readonly Moment[];
    readonly odds: number;
    readonly kinds: readonly StrikeKind[];
    /** Mean time before it strikes, and how long it lasts. */
    readonly delayMs: number;
    readonly meanMs: number;
  };
  /** Mean time until the event loop comes to what was put off to a later turn. */
  readonly loopLagMs: number;
  readonly snapshotEntries: number;
  readonly trailingEntries: number;
  readonly historyEvents: number;
  /** The leader's own choice of voters. */
  readonly autopilot: {
    readonly votersMax: number;
    readonly promotionStableMs: number;
    readonly voterGoneMs: number;
  };
  readonly clients: {
    readonly count: number;
    readonly thinkMeanMs: number;
    readonly reads: number;
    readonly groups: number;
    readonly paddingBytesMax: number;
    readonly deadlineMs: number;
    /** Share of requests that go to anybody who claims to lead, outdated and paused leaders included. */
    readonly toClaiming: number;
    readonly watchers: number;
    /** Mean time between floods: writes in numbers that nobody waits for. Infinity: never. */
    readonly floodEveryMs: number;
    readonly floodMax: number;
    /** Mean time between writes of a singleton; Infinity: there is none. */
    readonly singletonMs: number;
    /** Odds that a singleton does not notice that its leadership has ended. */
    readonly singletonDeaf: number;
  };
  /** Members of the release before: the share that begins so, and the odds of a change of release at a start. */
  readonly releases: {
    readonly olds: number;
    readonly changeOdds: number;
    readonly raiseAfterMs: number;
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
    electionTicks: 4,
    heartbeatTicks: 1,
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
    electionTicks,
    heartbeatTicks,
    tickMs,
    drift: random.pick([0, 0.01, 0.1]),
    raft: drawLimits(random),
    network: drawNetwork(random, electionMs),
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
      segmentBytes: random.pick([5 * 1024, 8 * 1024, 32 * 1024]),
    },
    diskStall: drawSpell(random, [4_000, Infinity, Infinity], [100, 2_000]),
    diskTrouble: drawSpell(random, [3_000, Infinity, Infinity], [50, 1_000]),
    crash: {
      ...drawSpell(random, [500, 1_500, 5_000, Infinity], [1, 3_000]),
      all: random.pick([0, 0.05, 0.3]),
      leader: random.pick([0, 0.5]),
      power: random.pick([0, 0.5, 1]),
      moved: random.pick([0, 0, 0.5]),
      orderly: random.pick([0, 0, 0.5]),
    },
    loseDisk: drawSpell(random, [2_500, Infinity, Infinity, Infinity], [1, 100]),
    pause: {
      ...drawSpell(random, [2_000, 8_000, Infinity], [100, 3_000]),
      leader: random.pick([0, 0.7]),
    },
    slowLoop: {
      ...drawSpell(random, [3_000, Infinity, Infinity], [200, 2_000]),
      turnMs: random.pick([0.5, 5, 20]),
    },
    clockJump: {
      ...drawSpell(random, [2_000, Infinity], [100, 2_000]),
      mostMs: random.pick([1_000, 3_600_000, 1e12]),
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
    loopLagMs: random.pick([0, 0, 0.5, 5]),
    snapshotEntries: random.pick([5, 25, 100, 100_000]),
    trailingEntries: random.pick([0, 2, 20, 200]),
    historyEvents: random.pick([5, 50, 50_000]),
    autopilot: {
      votersMax: random.pick([1, 3, 5]),
      promotionStableMs: random.pick([100, 1_000]),
      voterGoneMs: random.pick([3_000, 60_000]),
    },
    clients: drawClients(random),
    releases: {
      olds: random.pick([0, 0, 0.5, 1]),
      changeOdds: random.pick([0, 0.3, 0.7]),
      raiseAfterMs: random.pick([100, 2_000]),
    },
    membersMax: random.int(founders, founders + 4),
    changeEveryMs: random.pick([300, 1_500, 6_000, Infinity]),
    transferEveryMs: random.pick([700, 3_000, Infinity]),
    hintEveryMs: random.pick([500, 3_000, Infinity]),
    faultyMs: 1000 * random.int(Math.ceil(seconds / 3), seconds),
  };
}

function drawNetwork(random: Random, electionMs: number): SwarmOptions['network'] {
  return {
    delayFloorMs: random.pick([0.1, 1, 5]),
    delayMeanMs: random.pick([1, 5, 20, electionMs / 6]),
    bytesPerMs: random.pick([50, 1_000, 100_000]),
    loss: random.pick([0, 0, 0.01, 0.1, 0.3]),
    replay: random.pick([0, 0, 0.01, 0.1, 0.5]),
    reorder: random.pick([0, 0.1, 1]),
    linkCapacity: random.pick([4, 32, 1000]),
    heldByCut: random.pick([0, 0, 0.5, 1]),
    noticeMs: random.pick([50, 500, 3_000]),
  };
}

function drawClients(random: Random): SwarmOptions['clients'] {
  return {
    count: random.int(1, 6),
    thinkMeanMs: random.pick([10, 50, 200]),
    reads: random.pick([0.1, 0.5]),
    groups: random.int(1, 3),
    paddingBytesMax: random.pick([0, 0, 100, 3_000]),
    deadlineMs: random.pick([100, 1_000, 5_000]),
    toClaiming: random.pick([0, 0.3, 1]),
    watchers: random.pick([0, 1, 3]),
    floodEveryMs: random.pick([100, 1_000, Infinity]),
    floodMax: random.pick([2, 20]),
    singletonMs: random.pick([20, 200, Infinity]),
    singletonDeaf: random.pick([0, 0.5]),
  };
}

/** Small limits as often as the defaults: windows, pages and quotas must fill up to matter. */
function drawLimits(random: Random): Partial<RaftOptions> {
  return {
    appendBytesMax: random.pick([40, 400, 4_000, 256 * 1024]),
    inflightMessagesMax: random.pick([1, 2, 8, 256]),
    inflightBytesMax: random.pick([100, 4_000, 4 * 1024 * 1024]),
    uncommittedBytesMax: random.pick([500, 4_000, 64 * 1024 * 1024]),
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

/** The same items in an order of chance. */
export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, key: random.float() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
