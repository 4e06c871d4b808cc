/**
 * What the rest of the product sees of consensus: propose bytes, read at a safe point, follow who
 * leads. Any node takes any request; a follower forwards to the leader over the mesh.
 */
import type { ConfState, LogIndex, NodeId, ProgressStatus, Role, Term } from '../../raft/types.ts';
import type { LevelReport } from './level-keeper.ts';
import type { OldestStored } from './storage.ts';

/** One committed entry, as the state machine gets it. */
export type CommittedEntry = {
  readonly index: LogIndex;
  readonly term: Term;
  readonly data: Uint8Array;
};

/**
 * The replicated state machine. `apply` is deterministic: no clock, no randomness, no I/O. Results
 * must survive msgpack (plain objects, numbers, strings, Uint8Array), since they travel to the
 * proposing node. No command begins with the byte 0xc1: such entries are the group's own.
 */
export interface StateMachine {
  /** Applies in order and returns one result per entry. Never throws for bad input: that is a result. */
  apply(entries: readonly CommittedEntry[]): unknown[];
  /** An immutable view of the state as of the last apply, to stream while later entries apply, in the formats of `level`. */
  snapshot(level?: number): SnapshotSource;
  /** Replaces the whole state by a snapshot's stream. `level`: the feature level it was written at; see versions.ts. */
  restore(chunks: AsyncIterable<Uint8Array>, level?: number): Promise<void>;
}

export type ChunkOptions = {
  /**
   * The reader is done with a chunk when it asks for the next one, so that its memory may be used again: a large state
   * would otherwise leave its own size behind as garbage. Default false.
   */
  readonly overwrite?: boolean;
};

export interface SnapshotSource {
  chunks(options?: ChunkOptions): AsyncIterable<Uint8Array>;
  release(): void;
}

export type ProposeResult =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly result: unknown }
  /** Certainly without effect; may be tried again. `code` no-leader: no leader was found in time. */
  | { readonly kind: 'dropped'; readonly reason: string; readonly code?: 'no-leader' }
  /** May or may not have taken effect. */
  | { readonly kind: 'unknown'; readonly reason: string };

export type ConsensusStatus = {
  readonly nodeId: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
  readonly confState: ConfState;
  readonly progress: readonly ProgressStatus[];
};

export type LeadershipEvent =
  /** This node leads `term`, and has applied everything of earlier terms. */
  { readonly kind: 'gained'; readonly term: Term } | { readonly kind: 'lost'; readonly term: Term };

export interface Consensus {
  readonly nodeId: NodeId;
  /**
   * Proposes through whoever leads; waits for a leader until `deadlineMs` (default 5000) has passed.
   * Applied means applied on the leader.
   */
  propose(data: Uint8Array, options?: ProposeOptions): Promise<ProposeResult>;
  /** Resolves when local state is at least as new as every write acknowledged before the call. Rejects with no-leader. */
  readBarrier(options?: {
    readonly deadlineMs?: number;
    readonly signal?: AbortSignal;
  }): Promise<void>;
  status(): ConsensusStatus;
  /** Called at once with the current state if leading. Returns an unsubscribe function. */
  onLeadership(listener: (event: LeadershipEvent) => void): () => void;
  /** Hands leadership to the most up-to-date voter; resolves when done or rejects at the deadline. */
  transferLeadership(target?: NodeId): Promise<void>;
  /** Adds a member as learner (promotion to voter follows by itself when it has caught up), or removes one. */
  addMember(node: NodeId): Promise<void>;
  removeMember(node: NodeId): Promise<void>;
  /** The oldest of what this member's disk still holds. */
  oldestStored(): Promise<OldestStored>;
  /**
   * Takes a snapshot and deletes from this member's disk the log up to `upTo` and all former snapshots. What others lack or are being
   * sent, and what is not applied yet, stays for the time being: look at `oldestStored`, and ask again.
   */
  discardOld(upTo: LogIndex): Promise<void>;
  /** The cluster's feature level, and what each member understands; see versions.ts. */
  levels(): LevelReport;
  /** Stops without handing over. Containers and other nodes go on. */
  stop(): Promise<void>;
}

export type ProposeOptions = {
  readonly deadlineMs?: number;
  /** Longest time to wait for somebody to lead, within the deadline. Default: until the deadline. */
  readonly leaderWaitMs?: number;
  readonly signal?: AbortSignal;
};
