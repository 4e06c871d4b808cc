/**
 * Who has been heard, and when. A node is silent when the leader has not heard it for a while *and* no other live
 * node has either: a cut between two nodes is not the death of one of them. After an election everybody is given
 * the time to find the new leader. Takes monotonic time as an input.
 */

import type { NodeHeartbeat, ReportedReadiness } from './protocol.ts';

export type TrackerOptions = {
  /** Silence after which a node is given up, unless another live node hears it. Default 2500 ms. */
  readonly silenceMs?: number;
  /** After an election, time before anybody is given up. Default 3000 ms. */
  readonly graceMs?: number;
};

export type Verdict = 'heard' | 'silent';

type Heard = {
  readonly atMs: number;
  readonly sentAtMonotonic: number;
  readonly peersHeard: ReadonlySet<string>;
  readonly load: number;
  readonly ready: ReportedReadiness | undefined;
};

export class HeartbeatTracker {
  readonly #silenceMs: number;
  readonly #graceMs: number;
  readonly #startedMs: number;
  readonly #heard = new Map<string, Heard>();

  constructor(startedMs: number, options: TrackerOptions = {}) {
    this.#startedMs = startedMs;
    this.#silenceMs = options.silenceMs ?? 2500;
    this.#graceMs = options.graceMs ?? 3000;
  }

  /** Takes in a heartbeat; one that was overtaken by a newer counts as a sign of life only. */
  hear(heartbeat: NodeHeartbeat, nowMs: number): void {
    const { node, sentAtMonotonic, peersHeard, load, ready } = heartbeat;
    const known = this.#heard.get(node);
    const overtaken = known !== undefined && sentAtMonotonic < known.sentAtMonotonic;
    // A node that started anew counts from a smaller reading; its first heartbeats must not be ignored for long.
    if (overtaken && nowMs - known.atMs < this.#silenceMs) {
      this.#heard.set(node, { ...known, atMs: nowMs });
      return;
    }
    this.#heard.set(node, {
      atMs: nowMs,
      sentAtMonotonic,
      peersHeard: new Set(peersHeard),
      load,
      ready,
    });
  }

  forget(node: string): void {
    this.#heard.delete(node);
  }

  /** How much of the grace after the election is left. */
  graceLeftMs(nowMs: number): number {
    return Math.max(0, this.#startedMs + this.#graceMs - nowMs);
  }

  /** Whether `node` counts as alive now. */
  verdict(node: string, nowMs: number): Verdict {
    if (this.graceLeftMs(nowMs) > 0) return 'heard';
    if (this.#isLive(node, nowMs)) return 'heard';
    for (const [observer, { peersHeard }] of this.#heard) {
      if (observer !== node && peersHeard.has(node) && this.#isLive(observer, nowMs))
        return 'heard';
    }
    return 'silent';
  }

  /** True once a heartbeat of `node` itself arrived lately: it may speak for itself. */
  isSpeaking(node: string, nowMs: number): boolean {
    return this.#isLive(node, nowMs);
  }

  /** What the node last said of its readiness. */
  reported(node: string): ReportedReadiness | undefined {
    return this.#heard.get(node)?.ready;
  }

  #isLive(node: string, nowMs: number): boolean {
    const heard = this.#heard.get(node);
    return heard !== undefined && nowMs - heard.atMs <= this.#silenceMs;
  }
}
