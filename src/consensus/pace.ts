/**
 * How long to wait for a silent leader, from what is measured here and now: an election that begins too early is
 * needless, one that begins late is an outage. On quiet machines the shortest timeout is right; where messages come
 * late, the event loop stalls, or the disk is slow, it has to be longer, or a loaded cluster would elect for ever.
 *
 * The third worst second of the last minute counts: one stall is an accident, whose cost is a needless election at most;
 * after three of them they are how things are here, until a quiet minute. What lasts longer than could ever be waited
 * for is an outage, not lateness, and is left out.
 */

import type { Message, NodeId } from '../../raft/types.ts';

export type PaceOptions = {
  readonly tickMs: number;
  /** Time between a leader's heartbeats. */
  readonly heartbeatMs: number;
  /** The shortest wait in ticks; see ConsensusOptions.electionTicks. */
  readonly electionTicks: number;
};

/** The wait is longer by so many heartbeats than the silence of a leader that was alive. */
const SPARE_HEARTBEATS = 2;
/** An election is two round trips and two writes, one after the other; the wait is as long again. */
const ROUND_TRIPS = 4;
const WRITES = 4;
/** The longest wait for whoever is late, and for disks that are slow, in multiples of the shortest. */
const LONGEST = 5;
const LONGEST_OF_DISKS = 10;
/** Seconds that are remembered. */
const MEMORY = 60;
/** Which of them counts, from the worst one on. */
const RANK = 3;
/** The wait after a start, in multiples of the shortest, and for how long: nothing is known yet. */
const AT_START = 1.5;
const START_MS = 10_000;

/** The pace of one node. */
export class Pace {
  readonly #options: PaceOptions;
  readonly #shortestMs: number;
  #heard: { readonly leader: NodeId; readonly atMs: number } | undefined;
  /** When the oldest question to a peer left that has no answer yet. */
  readonly #asked = new Map<NodeId, number>();
  /** The longest wait that each of the last seconds called for, the present one first. */
  readonly #needsMs: number[] = [0];
  #secondEndMs: number;
  readonly #startEndMs: number;
  #waitMs: number;

  constructor(options: PaceOptions, nowMs: number) {
    this.#options = options;
    this.#shortestMs = options.electionTicks * options.tickMs;
    this.#waitMs = this.#shortestMs * AT_START;
    this.#secondEndMs = nowMs + 1_000;
    this.#startEndMs = nowMs + START_MS;
  }

  /** The shortest wait for a leader, in ticks. Ask with every tick. */
  ticks(nowMs: number): number {
    if (nowMs >= this.#secondEndMs) {
      const passed = 1 + Math.floor((nowMs - this.#secondEndMs) / 1_000);
      this.#secondEndMs += passed * 1_000;
      for (let left = Math.min(passed, MEMORY); left > 0; left--) this.#needsMs.unshift(0);
      this.#needsMs.length = Math.min(this.#needsMs.length, MEMORY);
      this.#judge(nowMs);
    }
    return Math.ceil(this.#waitMs / this.#options.tickMs);
  }

  /** A message came: a sign of life of a leader, or the answer to a question. */
  received({ type, from }: Message, nowMs: number): void {
    switch (type) {
      case 'append':
      case 'heartbeat':
        if (this.#heard?.leader === from) this.#silent(nowMs - this.#heard.atMs);
        this.#heard = { leader: from, atMs: nowMs };
        return;
      case 'pre-vote-response':
      case 'heartbeat-response': {
        const askedMs = this.#asked.get(from);
        this.#asked.delete(from);
        if (askedMs !== undefined) this.#need((nowMs - askedMs) * ROUND_TRIPS);
        return;
      }
      default:
    }
  }

  /** A message leaves: perhaps a question that is answered at once. */
  sent({ type, to }: Message, nowMs: number): void {
    if (type !== 'heartbeat' && type !== 'pre-vote') return;
    if (!this.#asked.has(to)) this.#asked.set(to, nowMs);
  }

  /** A peer is gone: what was asked of it is not answered any more. */
  forget(peer: NodeId): void {
    this.#asked.delete(peer);
    if (this.#heard?.leader === peer) this.#heard = undefined;
  }

  /** A timer of ours fired late, and so do heartbeats. */
  late(lateMs: number): void {
    this.#silent(this.#options.heartbeatMs + lateMs);
  }

  /** A write took this long, or is under way for as long. Slow disks are slow for good: they count in full. */
  wrote(ms: number): void {
    this.#note(Math.min(ms * WRITES, this.#shortestMs * LONGEST_OF_DISKS));
  }

  #silent(ms: number): void {
    this.#need(ms + SPARE_HEARTBEATS * this.#options.heartbeatMs);
  }

  #need(ms: number): void {
    if (ms <= this.#shortestMs * LONGEST) this.#note(ms);
  }

  #note(ms: number): void {
    this.#needsMs[0] = Math.max(this.#needsMs[0] ?? 0, ms);
  }

  #judge(nowMs: number): void {
    const ranked = [...this.#needsMs].sort((a, b) => b - a);
    const leastMs = this.#shortestMs * (nowMs < this.#startEndMs ? AT_START : 1);
    this.#waitMs = Math.max(leastMs, ranked[RANK - 1] ?? 0);
  }
}
