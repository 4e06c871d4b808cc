/** What can be set about one member of the group, and what it is when nobody says. */

import type { LevelOptions } from './level-keeper.ts';
import type { MembershipOptions } from './membership.ts';
import type { ProposalsOptions } from './proposals.ts';
import type { SnapshotTransferOptions } from './snapshot-transfer.ts';
import type { SnapshotterOptions } from './snapshotter.ts';
import type { TransportOptions } from './transport.ts';

export type ConsensusOptions = {
  /**
   * On empty storage: begin a group of which this node is the only voter. Otherwise a node with empty storage waits until a
   * leader that was told to add it makes contact. Ignored when there is state. Default false.
   */
  readonly bootstrap?: boolean;
  /** Time between ticks. Default 50 ms. */
  readonly tickMs?: number;
  /** Ticks between a leader's heartbeats. Default 2. */
  readonly heartbeatTicks?: number;
  /**
   * Ticks without a leader before an election, drawn from [n, 2n). Waits are longer where messages, timers or writes
   * turn out to be slow, see pace.ts. Default 8.
   */
  readonly electionTicks?: number;
  /**
   * quorum: the leader asks a majority before it answers a read. lease: it answers at once while a majority promised to
   * help nobody else to lead, which delays the replacement of a leader whose process died by up to 300 ms; not for
   * machines that may be frozen with all their clocks. Members may differ. Default quorum.
   */
  readonly reads?: 'quorum' | 'lease';
  /** A write that takes this long makes a leader hand over, and nobody else elects it. Default 5 s. */
  readonly diskStallMs?: number;
  /** The same for a state machine that does not take what is committed. Default 5 s. */
  readonly applyStallMs?: number;
  /**
   * Stored data or an invariant failed: end the process. Default: throw the error where nothing catches it.
   */
  readonly onFatal?: (error: unknown) => void;
  /** Which formats this member understands, see versions.ts. */
  readonly levels?: LevelOptions;
  readonly membership?: MembershipOptions;
  readonly proposals?: ProposalsOptions;
  readonly snapshots?: SnapshotterOptions;
  readonly snapshotTransfer?: SnapshotTransferOptions;
  readonly transport?: TransportOptions;
};

/** Everything about time, with its defaults. */
export type Timing = {
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  readonly electionTicks: number;
  /** What this member promises to a leader that reads by leases; undefined: nothing. */
  readonly promiseMs: number | undefined;
  /** How long a promise is waited for: the tick it was made in does not count, and the last one may be late. */
  readonly promisedMs: number;
  readonly diskStallMs: number;
  readonly applyStallMs: number;
};

/** The length of a promise: a heartbeat may be lost without an end of the lease. */
const PROMISE_TICKS = 4;

/** The defaults stated at ConsensusOptions. */
export function timingOf(options: ConsensusOptions): Timing {
  const { tickMs = 50, heartbeatTicks = 2, electionTicks = 8, reads = 'quorum' } = options;
  const { diskStallMs = 5_000, applyStallMs = 5_000 } = options;
  const lease = reads === 'lease';
  return {
    ...{ tickMs, heartbeatTicks, electionTicks, diskStallMs, applyStallMs },
    promiseMs: lease ? PROMISE_TICKS * tickMs : undefined,
    promisedMs: lease ? (PROMISE_TICKS + 2) * tickMs : 0,
  };
}
