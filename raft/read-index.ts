/**
 * Linearizable reads without a log entry (dissertation 6.4). A read may be served at the leader's
 * commit index of when it came, once 1. the leader committed an entry of its own term, so that its
 * commit index is not behind an earlier leader's, and 2. a quorum answered a heartbeat that left
 * afterwards, so that nobody else led meanwhile. All reads between two batches share one round, and
 * an answer to a round confirms every earlier one. While a quorum's promises hold (lease.ts) no round is needed.
 */

import type { Core, Read } from './core.ts';
import { leaseHolds } from './lease.ts';
import { committedIndex } from './quorum.ts';
import type { LogIndex, NodeId } from './types.ts';

/** A read of ours: answered by a ReadState later. False if none can be had now. */
export function readIndex(core: Core, requestId: number): boolean {
  if (core.role === 'leader') return maybeAddRead(core, { from: core.id, requestId });
  if (core.leader === undefined) return false;
  const { id: from, leader: to, term } = core;
  core.messages.push({ type: 'read-index', from, to, term, requestId });
  return true;
}

/** On the leader: takes a read, ours or a peer's. False when too many wait already. */
export function maybeAddRead(core: Core, read: Read): boolean {
  const { reads, settings } = core;
  if (reads.count >= settings.pendingReadsMax) {
    settings.trace?.('read-refused', { from: read.from, requestId: read.requestId });
    return false;
  }
  reads.count++;
  (committedInTerm(core) ? reads.forming : reads.held).push(read);
  return true;
}

/** The leader's first commit of its term: what waited for it joins the next round. */
export function releaseHeldReads(core: Core): void {
  const { reads } = core;
  if (reads.held.length === 0 || !committedInTerm(core)) return;
  reads.forming = reads.held.concat(reads.forming);
  reads.held = [];
}

/**
 * Begins a round for the reads that came since the last one. Returns the context a heartbeat has to
 * carry now; undefined if nothing is to be confirmed, or nobody has to confirm it. `nowMs`: see `RaftNode.ready`.
 */
export function beginReadRound(core: Core, nowMs: number | undefined): number | undefined {
  const { reads } = core;
  if (reads.forming.length === 0) return undefined;
  if (leaseHolds(core, nowMs)) {
    core.settings.trace?.('lease-read', { index: core.log.commit, count: reads.forming.length });
    for (const read of reads.forming) answer(core, read, core.log.commit);
    reads.count -= reads.forming.length;
    reads.forming = [];
    return undefined;
  }
  reads.context++;
  reads.rounds.push({ context: reads.context, index: core.log.commit, reads: reads.forming });
  reads.forming = [];
  confirmReads(core);
  return reads.rounds.length === 0 ? undefined : reads.context;
}

/** Answers the reads of every round that a quorum confirmed. */
export function confirmReads(core: Core): void {
  const { reads } = core;
  if (reads.rounds.length === 0) return;
  const ackOf = (node: NodeId): number =>
    node === core.id ? reads.context : (core.peers.get(node)?.readAck ?? 0);
  const confirmed = committedIndex(core.confState, ackOf);
  let done = 0;
  for (const round of reads.rounds) {
    if (round.context > confirmed) break;
    done++;
    for (const read of round.reads) answer(core, read, round.index);
    reads.count -= round.reads.length;
  }
  if (done > 0) reads.rounds = reads.rounds.slice(done);
}

/** Forgets every read: a new term or role. Those who asked ask again, or give up at their deadline. */
export function dropReads(core: Core): void {
  const { reads } = core;
  if (reads.count > 0) core.settings.trace?.('reads-dropped', { count: reads.count });
  reads.held = [];
  reads.forming = [];
  reads.rounds = [];
  reads.count = 0;
}

function answer(core: Core, read: Read, index: LogIndex): void {
  const { from: to, requestId } = read;
  if (to === core.id) {
    core.readStates.push({ requestId, index });
    return;
  }
  const { id: from, term } = core;
  core.messages.push({ type: 'read-index-response', from, to, term, requestId, index });
}

function committedInTerm(core: Core): boolean {
  return core.log.tail.termAt(core.log.commit) === core.term;
}
