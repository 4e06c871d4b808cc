/**
 * The leader's side of the log (5.3, 5.4.2): what each peer is sent, and what its answers mean. Appends
 * are made when a batch is made, so that everything that came in between leaves in one message.
 */

import type { Core } from './core.ts';
import { broken, unreachable } from './invariant.ts';
import { noteHeartbeatRound } from './lease.ts';
import { entryBytes } from './log-tail.ts';
import type { Progress } from './progress.ts';
import { committedIndex } from './quorum.ts';
import { releaseHeldReads } from './read-index.ts';
import type { Entry, LogIndex, Message, NodeId } from './types.ts';

type AppendResponse = Extract<Message, { type: 'append-response' }>;

/** Sends every peer what it may have now. */
export function flushReplication(core: Core): void {
  if (!core.replicationDue) return;
  core.replicationDue = false;
  for (const progress of core.peers.values()) {
    while (maybeSendAppend(core, progress)) {
      // Until the window is full or there is nothing more.
    }
  }
}

/** Asks for an append to `progress` with the next batch, even one without entries. */
export function nudge(core: Core, progress: Progress): void {
  progress.nudged = true;
  core.replicationDue = true;
}

/** Sends one append, or a snapshot, if the peer's state allows. False if nothing was sent. */
function maybeSendAppend(core: Core, progress: Progress): boolean {
  if (progress.paused) return false;
  const { log } = core;
  const due = progress.nudged || progress.wantsCommit(log.commit);
  const prevIndex = (progress.next - 1) as LogIndex;
  const prevTerm = log.tail.termAt(prevIndex);
  if (prevTerm === undefined) return maybeSendSnapshot(core, progress);
  // With a full window an append without entries is what finds out that all of them were lost.
  const windowFull = progress.state === 'replicate' && progress.inflights.full;
  const entries: Entry[] =
    windowFull || progress.next > log.lastIndex
      ? []
      : log.tail.slice(progress.next, log.lastIndex, core.settings.appendBytesMax);
  if (entries.length === 0 && !due) return false;
  progress.nudged = false;
  core.messages.push({
    type: 'append',
    from: core.id,
    to: progress.node,
    term: core.term,
    prevIndex,
    prevTerm,
    entries,
    commit: log.commit,
  });
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  // What the peer can learn of the commit ends where its log ends.
  const told = Math.min(log.commit, prevIndex + entries.length) as LogIndex;
  progress.sentAppend(entries.length, bytes, told);
  return true;
}

/** The peer is behind the retained log. One that is not heard would only burn the bandwidth. */
function maybeSendSnapshot(core: Core, progress: Progress): boolean {
  const { snapshot } = core.log;
  if (!progress.recentlyActive) return false;
  if (snapshot.index < core.log.firstIndex - 1) {
    broken('a snapshot reaches up to the retained log', { snapshot: snapshot.index });
  }
  progress.nudged = false;
  progress.becomeSnapshot(snapshot.index);
  core.settings.trace?.('snapshot-needed', { node: progress.node, index: snapshot.index });
  core.messages.push({
    type: 'snapshot',
    from: core.id,
    to: progress.node,
    term: core.term,
    snapshot,
  });
  return true;
}

/** One heartbeat to everybody; what follows from the answers hangs on `readContext`. The commit index is capped at what the peer is known to have. */
export function broadcastHeartbeat(core: Core, readContext: number): void {
  noteHeartbeatRound(core, readContext);
  for (const progress of core.peers.values()) {
    const commit = Math.min(progress.match, core.log.commit) as LogIndex;
    const { id: from, term } = core;
    core.messages.push({ type: 'heartbeat', from, to: progress.node, term, commit, readContext });
    progress.heartbeatContext = readContext;
    progress.heartbeatCommit = commit;
  }
}

/** Commits what a quorum has, if it is of our own term: older entries go with it (figure 8). */
export function maybeCommit(core: Core): boolean {
  const { log } = core;
  const index = committedIndex(core.confState, (node) => ackOf(core, node));
  if (index <= log.commit || log.tail.termAt(index) !== core.term) return false;
  for (let at = log.commit + 1; at <= index && core.uncommittedBytes > 0; at++) {
    const entry = log.tail.entryAt(at as LogIndex);
    // What earlier leaders left behind never counted.
    if (entry?.term === core.term) core.uncommittedBytes -= entry.data.length;
  }
  log.commitTo(index);
  core.replicationDue = true;
  releaseHeldReads(core);
  return true;
}

/** Our own log counts as far as it is durable. */
function ackOf(core: Core, node: NodeId): number {
  return node === core.id ? core.log.stable : (core.peers.get(node)?.match ?? 0);
}

/** A peer took or refused an append. */
export function handleAppendResponse(core: Core, answer: AppendResponse): void {
  const progress = core.peers.get(answer.from);
  if (progress === undefined) return;
  progress.recentlyActive = true;
  if (answer.reject) refused(core, progress, answer);
  else acknowledged(core, progress, answer.index);
}

function refused(core: Core, progress: Progress, answer: AppendResponse): void {
  // The peer skipped its terms that are above the one it was asked about; we skip ours that are
  // above the one it answered with. Either way whole terms go in one round trip.
  const { tail } = core.log;
  const probe =
    answer.hintTerm > 0
      ? tail.lastNotAbove(answer.hintIndex, answer.hintTerm).index
      : answer.hintIndex;
  if (!progress.maybeRetreat(answer.index, probe)) return;
  core.settings.trace?.('retreat', { node: progress.node, next: progress.next });
  if (progress.state === 'replicate') progress.becomeProbe();
  nudge(core, progress);
}

function acknowledged(core: Core, progress: Progress, index: LogIndex): void {
  if (index > core.log.lastIndex) {
    broken('a peer acknowledges only what it was sent', { node: progress.node, index });
  }
  const advanced = progress.maybeAdvance(index);
  // A probe that finds what is known already ends the probing as well.
  if (!advanced && !(progress.state === 'probe' && progress.match === index)) return;
  switch (progress.state) {
    case 'probe':
      progress.becomeReplicate();
      break;
    case 'snapshot':
      // Whatever brought the peer here, the retained log carries on from it: no matter that the report
      // of the transfer is missing, or that the snapshot was another one.
      if (progress.match + 1 >= core.log.firstIndex) {
        progress.becomeProbe();
        progress.becomeReplicate();
      }
      break;
    case 'replicate':
      progress.freeUpTo(index);
      break;
    default:
      unreachable(progress.state);
  }
  maybeCommit(core);
  core.replicationDue = true;
  completeTransfer(core, progress);
}

/** A peer answered a heartbeat: it is alive, and an append may have been lost. */
export function noteHeartbeatResponse(core: Core, progress: Progress, readContext: number): void {
  progress.recentlyActive = true;
  if (readContext > 0 && readContext === progress.heartbeatContext)
    progress.knownCommit = progress.heartbeatCommit;
  progress.release();
  if (progress.match < core.log.lastIndex || progress.state === 'probe') nudge(core, progress);
  else if (progress.wantsCommit(core.log.commit)) core.replicationDue = true;
  completeTransfer(core, progress);
}

/** The transport could not reach a peer: what is in flight is probably lost. */
export function reportUnreachable(core: Core, node: NodeId): void {
  const progress = core.peers.get(node);
  if (progress?.state === 'replicate') progress.becomeProbe();
}

/** The transfer of a snapshot ended. Nothing is sent before the next sign of life. */
export function reportSnapshot(core: Core, node: NodeId, ok: boolean): void {
  const progress = core.peers.get(node);
  if (progress?.state !== 'snapshot') return;
  if (!ok) progress.pendingSnapshot = 0 as LogIndex;
  progress.becomeProbe();
  progress.hold();
}

/** Tells the target of a hand-over to campaign as soon as it has everything. */
export function completeTransfer(core: Core, progress: Progress): void {
  if (core.transferTarget !== progress.node || progress.match !== core.log.lastIndex) return;
  core.lease.handedOver = true;
  core.messages.push({
    type: 'timeout-now',
    from: core.id,
    to: progress.node,
    term: core.term,
  });
}

/** True if a majority, ourselves included, was heard since the last check. */
export function quorumIsActive(core: Core): boolean {
  const heard = (node: NodeId): boolean =>
    node === core.id || core.peers.get(node)?.recentlyActive === true;
  const active = committedIndex(core.confState, (node) => (heard(node) ? 1 : 0)) === 1;
  for (const progress of core.peers.values()) progress.recentlyActive = false;
  return active;
}
