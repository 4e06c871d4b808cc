/**
 * The state of one member, shared by the files that hold its rules, and the few ways to send. Plain
 * fields: each rule's file says who changes what. Everything random or timed comes from outside.
 */

import { RaftLog } from './log.ts';
import type { Settings } from './options.ts';
import { resolveOptions } from './options.ts';
import { Progress } from './progress.ts';
import { isVoter } from './quorum.ts';
import type {
  ConfState,
  HardState,
  InitialState,
  LogIndex,
  Message,
  NodeId,
  RaftOptions,
  ReadState,
  Ready,
  Role,
  Term,
} from './types.ts';

/** A read waiting for its position: ours, or forwarded by `from`. */
export type Read = { readonly from: NodeId; readonly requestId: number };

/** Reads that one round of heartbeats confirms. */
export type ReadRound = {
  readonly context: number;
  readonly index: LogIndex;
  readonly reads: readonly Read[];
};

/** The leader's book of reads; see read-index.ts. */
export type ReadBook = {
  /** Waiting for the first commit of the leader's own term. */
  held: Read[];
  /** Waiting for the next round to begin. */
  forming: Read[];
  rounds: ReadRound[];
  /** The newest round's context; never reused by this incarnation. */
  context: number;
  count: number;
};

/** What was promised to leaders and by peers; see lease.ts. */
export type LeaseBook = {
  /** Ticks since our last promise; since the start, as the process before this one may have promised. */
  promiseElapsed: number;
  /** The last rounds of heartbeats, the oldest first, and when they left; undefined: not yet. */
  sent: { readonly context: number; atMs: number | undefined }[];
  /** Somebody was told to take over in this term, and may campaign in spite of every promise. */
  handedOver: boolean;
};

/** A batch handed to the driver and not yet acknowledged. */
export type Batch = {
  readonly ready: Ready;
  /** The vote for ourselves that this batch makes durable. */
  readonly selfVoteTerm: Term | undefined;
};

/** A committed membership change that was handed out; `superseded` once a snapshot overtook it. */
export type PendingConfig = { readonly index: LogIndex; superseded: boolean };

export type Core = {
  readonly id: NodeId;
  readonly settings: Settings;
  readonly log: RaftLog;
  term: Term;
  vote: NodeId | undefined;
  role: Role;
  leader: NodeId | undefined;
  confState: ConfState;
  /** Configurations by the index they came into force, the oldest first: snapshots carry them. */
  readonly confHistory: { readonly index: LogIndex; readonly confState: ConfState }[];
  readonly pendingConfigs: PendingConfig[];

  electionElapsed: number;
  heartbeatElapsed: number;
  /** The shortest time without a leader before an election, in ticks; adapted by the driver. */
  electionTicks: number;
  /** Where in its range this role's timeout lies, in [0, 1): drawn at the role's beginning. */
  jitter: number;
  readonly lease: LeaseBook;
  /** Why the driver wants this member not to lead; undefined: it may. */
  heldBack: string | undefined;
  /** Answers to the poll that is running, by voter. */
  readonly votes: Map<NodeId, boolean>;
  /** True from becoming candidate until the batch with our own vote is handed out. */
  selfVoteDue: boolean;

  /** Every peer's progress; empty unless leader. */
  readonly peers: Map<NodeId, Progress>;
  /** No membership change may be proposed before this index is applied. */
  pendingConfIndex: LogIndex;
  uncommittedBytes: number;
  transferTarget: NodeId | undefined;
  /** We were told to take over, and will once the committed membership change is applied. */
  takeOverDue: boolean;
  /**
   * The index of our own removal, applied while leading: we lead on, without counting ourselves, until
   * a quorum of those who remain knows that it is committed.
   */
  leavingIndex: LogIndex | undefined;
  /** Peers may have something to be sent: looked at when the next batch is made. */
  replicationDue: boolean;
  readonly reads: ReadBook;

  messages: Message[];
  messagesAfterPersist: Message[];
  readStates: ReadState[];
  handedHardState: HardState;
  readonly batches: Batch[];
};

/** A member as it restarts: a follower of the term it was in, knowing no leader. */
export function createCore(options: RaftOptions, initial: InitialState): Core {
  const settings = resolveOptions(options);
  const log = new RaftLog(initial);
  const { hardState } = initial;
  const { confState, index } = initial.snapshot;
  return {
    id: settings.id,
    settings,
    log,
    // A founding snapshot may be of a term the hard state has not heard of.
    term: Math.max(hardState.term, log.tail.lastTerm) as Term,
    vote: hardState.term < log.tail.lastTerm ? undefined : hardState.vote,
    role: 'follower',
    leader: undefined,
    confState,
    confHistory: [{ index, confState }],
    pendingConfigs: [],
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTicks: settings.electionTicks,
    jitter: settings.random(),
    lease: { promiseElapsed: 0, sent: [], handedOver: false },
    heldBack: undefined,
    votes: new Map(),
    selfVoteDue: false,
    peers: new Map(),
    pendingConfIndex: 0 as LogIndex,
    uncommittedBytes: 0,
    transferTarget: undefined,
    takeOverDue: false,
    leavingIndex: undefined,
    replicationDue: false,
    reads: { held: [], forming: [], rounds: [], context: 0, count: 0 },
    messages: [],
    messagesAfterPersist: [],
    readStates: [],
    handedHardState: hardState,
    batches: [],
  };
}

/**
 * Ticks after which this role campaigns: in [n, 2n), redrawn at each role change, so that split votes do not
 * repeat (5.2). Whoever asked for pre-votes already asks again sooner: that disturbs nobody, and those who
 * refused because they had heard the leader a moment later than we did would grant it now.
 */
export function electionTimeout({ role, electionTicks, jitter, settings }: Core): number {
  if (role === 'pre-candidate') {
    return settings.heartbeatTicks + 1 + Math.floor((jitter * electionTicks) / 2);
  }
  return electionTicks + Math.floor(jitter * electionTicks);
}

/** What is durable before it leaves: an acknowledgement, a vote, a request for votes. */
export function sendAfterPersist(core: Core, message: Message): void {
  core.messagesAfterPersist.push(message);
}

/** The configuration in force at `index`, which is applied. */
export function confStateAt(core: Core, index: LogIndex): ConfState {
  let found = core.confHistory[0]?.confState ?? core.confState;
  for (const entry of core.confHistory) if (entry.index <= index) found = entry.confState;
  return found;
}

/** The progress of a new peer: probed from the end of our log. */
export function newProgress(core: Core, node: NodeId): Progress {
  const learner = !isVoter(core.confState, node);
  const next = (core.log.lastIndex + 1) as LogIndex;
  return new Progress(node, next, learner, core.settings);
}
