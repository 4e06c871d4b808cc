/**
 * What the leader knows of one peer, and how it may send to it. Three states:
 *
 * - probe: where the logs agree is not known; one append at a time, the next one when an answer or a
 *   heartbeat's answer came;
 * - replicate: appends stream optimistically, bounded by the in-flight window;
 * - snapshot: the peer is behind the retained log and is being sent a snapshot; no appends.
 *
 * Law: `match < next`, and in state replicate everything in [match + 1, next - 1] is in flight.
 */

import { Inflights } from './inflights.ts';
import type { LogIndex, NodeId, ProgressStatus } from './types.ts';

export type ProgressLimits = {
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
};

/** One peer's replication progress. See the module comment. */
export class Progress {
  readonly node: NodeId;
  readonly inflights: Inflights;
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** The highest index known to be durable on the peer and equal to ours. */
  match = 0 as LogIndex;
  /** The next index to send. */
  next: LogIndex;
  /** The highest commit index sent and not known to be lost; resending the same one helps nobody. */
  sentCommit = 0 as LogIndex;
  /** In state snapshot: the index the peer will have when it took it; 0 when that failed. */
  pendingSnapshot = 0 as LogIndex;
  /** A message came from the peer since the last check of the quorum. */
  recentlyActive = false;
  learner: boolean;
  /** The newest read round the peer confirmed. */
  readAck = 0;
  /** The context and the commit index of the last heartbeat. */
  heartbeatContext = 0;
  heartbeatCommit = 0 as LogIndex;
  /** Until then the peer helps nobody else to lead, by the driver's clock; see lease.ts. */
  promisedUntilMs = 0;
  /** The commit index that the peer is known to know. */
  knownCommit = 0 as LogIndex;
  /** An append is due even if it carries no entry: to probe, or to find out that some were lost. */
  nudged = false;
  /** Probing: one append is out. Replicating: the window is full. */
  #waiting = false;

  constructor(node: NodeId, next: LogIndex, learner: boolean, limits: ProgressLimits) {
    this.node = node;
    this.next = next;
    this.learner = learner;
    this.inflights = new Inflights(limits.inflightMessagesMax, limits.inflightBytesMax);
  }

  /** True while no append may be sent. */
  get paused(): boolean {
    return this.state === 'snapshot' || this.#waiting;
  }

  /** True if `commit` would tell the peer something about entries that were sent to it. */
  wantsCommit(commit: LogIndex): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1;
  }

  becomeProbe(): void {
    // A snapshot that was taken is as good as an acknowledgement that is on its way.
    const after =
      this.state === 'snapshot' ? Math.max(this.match, this.pendingSnapshot) : this.match;
    this.#enter('probe');
    this.next = (after + 1) as LogIndex;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1) as LogIndex;
  }

  becomeReplicate(): void {
    this.#enter('replicate');
    this.next = (this.match + 1) as LogIndex;
  }

  becomeSnapshot(index: LogIndex): void {
    this.#enter('snapshot');
    this.pendingSnapshot = index;
    this.next = (index + 1) as LogIndex;
    this.sentCommit = index;
  }

  /** An append with `count` entries of `bytes` bytes and the given commit index was sent. */
  sentAppend(count: number, bytes: number, commit: LogIndex): void {
    this.sentCommit = Math.max(this.sentCommit, commit) as LogIndex;
    if (this.state === 'probe') {
      this.#waiting = true;
      return;
    }
    if (count > 0) {
      this.next = (this.next + count) as LogIndex;
      this.inflights.add((this.next - 1) as LogIndex, bytes);
    }
    this.#waiting = this.inflights.full;
  }

  /** The peer acknowledged `index`. False if that was known before. */
  maybeAdvance(index: LogIndex): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1) as LogIndex;
    this.#waiting = false;
    return true;
  }

  /** Frees the window up to `index`, which the peer acknowledged. */
  freeUpTo(index: LogIndex): void {
    this.inflights.freeUpTo(index);
    this.#waiting = this.inflights.full;
  }

  /**
   * The peer refused an append whose previous index was `refused`; `probe` is where to look next.
   * False if the refusal is an old one, overtaken by what was learnt since.
   */
  maybeRetreat(refused: LogIndex, probe: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (refused <= this.match) return false;
      this.next = (this.match + 1) as LogIndex;
    } else {
      if (this.next - 1 !== refused) return false;
      this.next = Math.max(Math.min(refused, probe + 1), this.match + 1) as LogIndex;
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1) as LogIndex;
    this.#waiting = false;
    return true;
  }

  /** One more append may leave although the last one is not answered: that one may be lost. */
  release(): void {
    this.#waiting = false;
  }

  /** No append before the next sign of life. */
  hold(): void {
    this.#waiting = true;
  }

  status(): ProgressStatus {
    const { node, state, match, next, recentlyActive, learner, inflights } = this;
    return { node, state, match, next, recentlyActive, learner, inflight: inflights.count };
  }

  #enter(state: Progress['state']): void {
    this.state = state;
    this.#waiting = false;
    this.pendingSnapshot = 0 as LogIndex;
    this.inflights.reset();
  }
}
