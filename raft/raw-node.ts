/**
 * The door to the core: everything a driver may do with one member of a Raft group. No I/O, no
 * clock, no randomness of its own; same inputs, same outputs.
 */
import type {
  ConfChange, ConfState, InitialState, LogIndex, Message, NodeId, ProposeOutcome, RaftOptions, RaftStatus, Ready,
} from './types.ts';

export interface RaftNode {
  /** Takes a message from a peer. Messages of strangers and of older terms are answered or ignored. */
  step(message: Message): void;
  /** One unit of time has passed. */
  tick(): void;
  /** Appends data entries (one per item) to the leader's log. */
  propose(data: readonly Uint8Array[]): ProposeOutcome;
  proposeConfChange(change: ConfChange): ProposeOutcome;
  /** Asks for a linearizable read position; the answer comes as a ReadState with the same id. False: none can be had now. */
  readIndex(requestId: number): boolean;
  transferLeadership(target: NodeId): void;
  /** Starts an election now (pre-vote first). */
  campaign(): void;
  /** An outside failure detector says the leader is dead: stop waiting for it (checklist 10). */
  forgetLeader(): void;
  /** The transport could not reach `node`: stop optimistic replication to it. */
  reportUnreachable(node: NodeId): void;
  /** The transfer of a snapshot to `node` ended. */
  reportSnapshot(node: NodeId, ok: boolean): void;
  hasReady(): boolean;
  ready(): Ready;
  /** The oldest outstanding batch's entries and hard state are durable. */
  persisted(ready: Ready): void;
  /** Everything up to `index` is applied by the state machine. */
  applied(index: LogIndex): void;
  /** A committed 'config' entry is being applied: `change` undefined means it was refused at apply. */
  applyConfChange(change: ConfChange): ConfState;
  /** The state machine has a durable snapshot at `index`: the core may forget entries up to `keepFrom - 1`. */
  compact(snapshot: { readonly index: LogIndex }, keepFrom: LogIndex): void;
  status(): RaftStatus;
}

export declare function createRaftNode(options: RaftOptions, initial: InitialState): RaftNode;
export declare function encodeConfChange(change: ConfChange): Uint8Array;
export declare function decodeConfChange(bytes: Uint8Array): ConfChange;
