/**
 * The door to the core: everything a driver may do with one member of a Raft group. No I/O, no
 * clock, no randomness of its own; same inputs, same outputs. See README.md for the loop a driver
 * runs and the promises it makes.
 */

import { brokenConfigLaw } from './config-change.ts';
import type { Core } from './core.ts';
import { confStateAt, createCore } from './core.ts';
import { maybeCampaign } from './election.ts';
import { broken } from './invariant.ts';
import { applyConfChange, maybeLeaveJoint, proposeConfChange } from './membership.ts';
import { propose } from './proposals.ts';
import { readIndex } from './read-index.ts';
import { hasReady, persisted, takeReady } from './ready.ts';
import { reportSnapshot, reportUnreachable } from './replication.ts';
import { step } from './step.ts';
import { tick } from './tick.ts';
import { maybeTakeOver, transferLeadership } from './transfer.ts';
import type {
  ConfChange,
  ConfState,
  InitialState,
  LogIndex,
  Message,
  NodeId,
  ProposeOutcome,
  RaftOptions,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from './types.ts';

export { decodeConfChange, encodeConfChange } from './config-codec.ts';

export interface RaftNode {
  /** Takes a message from a peer. Messages of strangers and of older terms are answered or ignored. */
  step(message: Message): void;
  /** One unit of time has passed. */
  tick(): void;
  /** Appends data entries (one per item) to the leader's log; the index is the last one's. */
  propose(data: readonly Uint8Array[]): ProposeOutcome;
  proposeConfChange(change: ConfChange): ProposeOutcome;
  /**
   * Asks for a linearizable read position; the answer comes as a ReadState with the same id, or never
   * (lost on the way, or the leader changed): ask again. False: none can be had now.
   */
  readIndex(requestId: number): boolean;
  transferLeadership(target: NodeId): void;
  /** Starts an election now (pre-vote first). */
  campaign(): void;
  /** While there is a `reason` this member does not campaign, not even when told to take over; it votes all the same. */
  holdBack(reason: string | undefined): void;
  /** An outside failure detector says the leader is dead: stop waiting for it (checklist 10). */
  forgetLeader(): void;
  /** The transport could not reach `node`: stop optimistic replication to it. */
  reportUnreachable(node: NodeId): void;
  /** The transfer of a snapshot to `node` ended. To be called for every 'snapshot' message. */
  reportSnapshot(node: NodeId, ok: boolean): void;
  /**
   * Waits for a silent leader for this many ticks at least, from now on; never for fewer than the option says. For a
   * driver that knows how late messages and syncs are here and now.
   */
  adaptElectionTicks(ticks: number): void;
  hasReady(): boolean;
  /**
   * Hands out a batch. `nowMs` is the time right now on a clock that never goes back nor stands still, and is asked
   * for leases only (lease.ts): without it every read takes a round of heartbeats.
   */
  ready(nowMs?: number): Ready;
  /** The oldest outstanding batch's entries and hard state are durable. */
  persisted(ready: Ready): void;
  /** Everything up to `index` is applied by the state machine. */
  applied(index: LogIndex): void;
  /** A committed 'config' entry is being applied: `change` undefined means it was refused at apply. */
  applyConfChange(change: ConfChange | undefined): ConfState;
  /** What a snapshot of the state machine at `index`, which is applied and retained, stands for. */
  snapshotMeta(index: LogIndex): SnapshotMeta;
  /** The state machine has a durable snapshot at `index`: the core may forget entries up to `keepFrom - 1`. */
  compact(snapshot: { readonly index: LogIndex }, keepFrom: LogIndex): void;
  status(): RaftStatus;
}

/**
 * A member as it starts or restarts. A group is founded with a snapshot at index 1 or later that
 * carries the voters; a joiner starts from index 0 with no voters. Throws RangeError for options
 * that cannot work, RaftInvariantError for a state that no member can be in.
 */
export function createRaftNode(options: RaftOptions, initial: InitialState): RaftNode {
  const { confState, index } = initial.snapshot;
  const law = brokenConfigLaw(confState);
  if (law !== undefined) broken(law, { confState: JSON.stringify(confState) });
  if (index === 0 && confState.voters.length > 0) {
    // A joiner at index 0 would take the log from its beginning and never learn of these voters.
    broken('a founding configuration stands behind index 1 or later', { index });
  }
  return new CoreNode(createCore(options, initial));
}

class CoreNode implements RaftNode {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  step(message: Message): void {
    step(this.#core, message);
  }

  tick(): void {
    tick(this.#core);
  }

  propose(data: readonly Uint8Array[]): ProposeOutcome {
    return propose(this.#core, data);
  }

  proposeConfChange(change: ConfChange): ProposeOutcome {
    return proposeConfChange(this.#core, change);
  }

  readIndex(requestId: number): boolean {
    return readIndex(this.#core, requestId);
  }

  transferLeadership(target: NodeId): void {
    transferLeadership(this.#core, target);
  }

  campaign(): void {
    maybeCampaign(this.#core, 'pre-vote');
  }

  holdBack(reason: string | undefined): void {
    this.#core.heldBack = reason;
  }

  forgetLeader(): void {
    const core = this.#core;
    if (core.role !== 'follower' || core.leader === undefined) return;
    core.settings.trace?.('forget-leader', { leader: core.leader, term: core.term });
    core.leader = undefined;
  }

  reportUnreachable(node: NodeId): void {
    reportUnreachable(this.#core, node);
  }

  reportSnapshot(node: NodeId, ok: boolean): void {
    reportSnapshot(this.#core, node, ok);
  }

  hasReady(): boolean {
    return hasReady(this.#core);
  }

  adaptElectionTicks(ticks: number): void {
    const core = this.#core;
    core.electionTicks = Math.max(core.settings.electionTicks, Math.ceil(ticks));
  }

  ready(nowMs?: number): Ready {
    return takeReady(this.#core, nowMs);
  }

  persisted(ready: Ready): void {
    persisted(this.#core, ready);
  }

  applied(index: LogIndex): void {
    const core = this.#core;
    const unapplied = core.pendingConfigs[0];
    if (unapplied !== undefined && unapplied.index <= index) {
      broken('a membership change goes through applyConfChange before it counts as applied', {
        index,
        change: unapplied.index,
      });
    }
    core.log.appliedTo(index);
    maybeLeaveJoint(core);
    maybeTakeOver(core);
  }

  applyConfChange(change: ConfChange | undefined): ConfState {
    return applyConfChange(this.#core, change);
  }

  snapshotMeta(index: LogIndex): SnapshotMeta {
    const core = this.#core;
    if (index === core.log.snapshot.index) return core.log.snapshot;
    const term = core.log.tail.termAt(index);
    if (index > core.log.applied || term === undefined) {
      broken('a snapshot is of an index that is applied and retained', { index });
    }
    return { index, term, confState: confStateAt(core, index) };
  }

  compact(snapshot: { readonly index: LogIndex }, keepFrom: LogIndex): void {
    const core = this.#core;
    // A snapshot of the leader's may have overtaken the one the driver reports.
    if (snapshot.index < core.log.snapshot.index) return;
    const meta = this.snapshotMeta(snapshot.index);
    core.log.compact(meta, keepFrom);
    while (core.confHistory[1] !== undefined && core.confHistory[1].index <= snapshot.index) {
      core.confHistory.shift();
    }
  }

  status(): RaftStatus {
    const core = this.#core;
    return {
      id: core.id,
      role: core.role,
      term: core.term,
      leader: core.leader,
      commit: core.log.commit,
      applied: core.log.applied,
      lastIndex: core.log.lastIndex,
      firstIndex: core.log.firstIndex,
      confState: core.confState,
      transferTarget: core.transferTarget,
      progress: [...core.peers.values()].map((progress) => progress.status()),
    };
  }
}
