/**
 * The vocabulary of the consensus core: what is stored, what is sent, what is handed out. Terms are
 * those of the Raft dissertation (Ongaro, 2014); a node is named by a string that is never reused.
 */

export type Term = number & { readonly __brand: 'Term' };
export type LogIndex = number & { readonly __brand: 'LogIndex' };
/** Identity of a member: never reused, says nothing about addresses. */
export type NodeId = string;

/** Brands a plain number; for decode boundaries and tests. */
export const asTerm = (value: number): Term => value as Term;
export const asIndex = (value: number): LogIndex => value as LogIndex;

/**
 * One log entry. `data` carries the state machine's bytes; `config` carries an encoded
 * configuration change; `empty` is the no-op a new leader begins its term with (section 5.4.2).
 */
export type Entry = {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: 'data' | 'config' | 'empty';
  readonly data: Uint8Array;
};

/** What must be durable before any message that depends on it leaves. */
export type HardState = {
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly commit: LogIndex;
};

/**
 * A complete membership. `votersOutgoing` is non-empty exactly while the group is in a joint
 * configuration (dissertation 4.3); `learnersNext` become learners when the joint state is left.
 */
export type ConfState = {
  readonly voters: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly learnersNext: readonly NodeId[];
  readonly autoLeave: boolean;
  /**
   * Everybody who was a member once and is none any more: ids are never reused. Absent: not remembered, as in groups
   * with members of the first release, which would not refuse what others refuse.
   */
  readonly removed?: readonly NodeId[];
};

export type ConfChangeKind = 'add-voter' | 'add-learner' | 'remove';
export type ConfChangeStep = { readonly kind: ConfChangeKind; readonly node: NodeId };

/**
 * A membership change: one step is applied directly, several through a joint configuration. No steps
 * leaves a joint configuration. `context` is the proposer's own, handed back at apply.
 */
export type ConfChange = {
  readonly steps: readonly ConfChangeStep[];
  readonly context: Uint8Array;
};

/** What a snapshot stands for; its bytes belong to the driver. */
export type SnapshotMeta = {
  readonly index: LogIndex;
  readonly term: Term;
  readonly confState: ConfState;
  /** The driver's: the feature level whose formats the bytes are in. The core passes it on. Absent: the first. */
  readonly level?: number;
};

type Envelope = { readonly from: NodeId; readonly to: NodeId; readonly term: Term };

/** Every message between members. Flat records of scalars, entries and ids: cheap to encode. */
export type Message = Envelope &
  (
    | {
        readonly type: 'vote' | 'pre-vote';
        readonly lastIndex: LogIndex;
        readonly lastTerm: Term;
        /** True when a leader handed over on purpose: leases do not stand in the way. */
        readonly transfer: boolean;
        /**
         * The candidate's commit index and the term of the entry there. A member that holds that entry
         * learns that it is committed, which may be the change that made it a voter. Absent from members
         * that do not send it.
         */
        readonly commit?: LogIndex;
        readonly commitTerm?: Term;
      }
    | {
        readonly type: 'vote-response' | 'pre-vote-response';
        readonly reject: boolean;
        /** With a refusal: the same of the refusing member, for the candidate to learn from. */
        readonly commit?: LogIndex;
        readonly commitTerm?: Term;
      }
    | {
        readonly type: 'append';
        readonly prevIndex: LogIndex;
        readonly prevTerm: Term;
        readonly entries: readonly Entry[];
        readonly commit: LogIndex;
      }
    | {
        readonly type: 'append-response';
        /** Accepted: last index known to match. Rejected: the prevIndex that was refused. */
        readonly index: LogIndex;
        readonly reject: boolean;
        /** On rejection, where the leader should probe next (term skipping). */
        readonly hintIndex: LogIndex;
        readonly hintTerm: Term;
      }
    | { readonly type: 'heartbeat'; readonly commit: LogIndex; readonly readContext: number }
    | {
        readonly type: 'heartbeat-response';
        readonly readContext: number;
        /**
         * From receiving the heartbeat on, the sender helps nobody else to lead for this long, see lease.ts.
         * Absent: it promises nothing.
         */
        readonly promiseMs?: number;
      }
    | { readonly type: 'snapshot'; readonly snapshot: SnapshotMeta }
    | { readonly type: 'timeout-now' }
    | { readonly type: 'transfer-leader'; readonly target: NodeId }
    /** A follower's read-index request, forwarded to the leader, and its answer. */
    | { readonly type: 'read-index'; readonly requestId: number }
    | { readonly type: 'read-index-response'; readonly requestId: number; readonly index: LogIndex }
  );

export type MessageType = Message['type'];

/** A read-index request of ours that may be served once `index` is applied. */
export type ReadState = { readonly requestId: number; readonly index: LogIndex };

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/**
 * Everything the driver must do, in one batch, in this order:
 * 1. send `messages` now (they depend on nothing that is not durable yet);
 * 2. if `snapshot`: make it the state machine's state (its bytes arrived beforehand);
 * 3. write `entries` (the first one's index says where the old tail is cut) and `hardState`, and,
 *    when `mustSync`, wait until they are durable;
 * 4. send `messagesAfterPersist`; call `persisted(ready)`;
 * 5. apply `committed`, in order; call `applied(index)`.
 * Later batches may be taken before earlier ones are persisted or applied; both acknowledgements
 * come in order, and so do the messages of step 4, also those of a batch that needs no write. Applying may start before step 3 has ended only for entries already durable here;
 * the core hands out nothing else.
 */
export type Ready = {
  readonly messages: readonly Message[];
  readonly snapshot: SnapshotMeta | undefined;
  readonly entries: readonly Entry[];
  readonly hardState: HardState | undefined;
  readonly mustSync: boolean;
  readonly messagesAfterPersist: readonly Message[];
  readonly committed: readonly Entry[];
  readonly readStates: readonly ReadState[];
};

export type ProposeOutcome =
  | { readonly kind: 'accepted'; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | undefined }
  /** Quota reached, a hand-over in progress, or a configuration change is already in flight. */
  | { readonly kind: 'dropped'; readonly reason: string };

/** A peer's replication progress as the leader sees it. */
export type ProgressStatus = {
  readonly node: NodeId;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly match: LogIndex;
  readonly next: LogIndex;
  readonly recentlyActive: boolean;
  readonly learner: boolean;
  readonly inflight: number;
};

export type RaftStatus = {
  readonly id: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
  readonly lastIndex: LogIndex;
  readonly firstIndex: LogIndex;
  readonly confState: ConfState;
  readonly transferTarget: NodeId | undefined;
  /** Empty unless leader. */
  readonly progress: readonly ProgressStatus[];
};

/** What a restarted member begins from: everything the driver found on disk. */
export type InitialState = {
  readonly hardState: HardState;
  /** The snapshot the log starts behind; index 0 for a fresh log. */
  readonly snapshot: SnapshotMeta;
  /** Entries snapshot.index+1 .. last, contiguous. The core holds the tail in memory. */
  readonly entries: readonly Entry[];
  /** What is still there of the log up to the snapshot: peers that lag a little are served from it. Default: nothing. */
  readonly retained?: RetainedEntries;
};

/** Entries base.index+1 .. snapshot.index, contiguous, all of them covered by the snapshot. */
export type RetainedEntries = {
  /** The position right before the first of them. */
  readonly base: { readonly index: LogIndex; readonly term: Term };
  readonly entries: readonly Entry[];
};

/** What a member promises to leaders, and so what a leader may rely on. */
export type LeaseOptions = {
  /** How long a member that answered a heartbeat helps nobody else to lead. */
  readonly promiseMs: number;
  /** The time between ticks, by which a member measures its own promise. */
  readonly tickMs: number;
};

export type RaftOptions = {
  readonly id: NodeId;
  /** Ticks without a leader before campaigning; each role change draws from [n, 2n). Default 10. */
  readonly electionTicks?: number;
  /** Ticks between heartbeats of a leader. Default 1. */
  readonly heartbeatTicks?: number;
  /** Most entry bytes in one append message. Default 256 KiB. */
  readonly appendBytesMax?: number;
  /** Most append messages in flight to one peer. Default 256. */
  readonly inflightMessagesMax?: number;
  /** Most entry bytes in flight to one peer. Default 4 MiB. */
  readonly inflightBytesMax?: number;
  /** Most bytes proposed and not yet committed; more is dropped. Default 64 MiB. */
  readonly uncommittedBytesMax?: number;
  /** Most entry bytes in one batch of committed entries. Default 1 MiB. */
  readonly committedBytesMax?: number;
  /** Most reads waiting for confirmation. Default 4096. */
  readonly pendingReadsMax?: number;
  /** Reads without a round of heartbeats, see lease.ts. Default: every read takes its round. */
  readonly lease?: LeaseOptions;
  /** Seeded source of the election timeout's jitter: a number in [0, 1). */
  readonly random: () => number;
  /** Called at each notable step, with plain values; for logs, golden traces and the simulator. */
  readonly trace?: (event: string, facts: Readonly<Record<string, unknown>>) => void;
};
