/**
 * The way out: everything the driver has to do, gathered into one batch at a time, and the driver's
 * word that a batch is durable. Batches are acknowledged in the order they were handed out.
 */

import type { Core } from './core.ts';
import { recordSelfVote } from './election.ts';
import { broken } from './invariant.ts';
import { stampHeartbeats } from './lease.ts';
import { beginReadRound } from './read-index.ts';
import { broadcastHeartbeat, flushReplication, maybeCommit } from './replication.ts';
import type { Entry, HardState, Ready } from './types.ts';

/** True if `takeReady` would hand out something. Cheap: asked after every input. */
export function hasReady(core: Core): boolean {
  return (
    core.messages.length > 0 ||
    core.messagesAfterPersist.length > 0 ||
    core.replicationDue ||
    core.log.hasUnwritten ||
    core.readStates.length > 0 ||
    core.reads.forming.length > 0 ||
    core.log.hasToApply(core.settings.committedBytesMax) ||
    changedHardState(core) !== undefined
  );
}

/** Hands out everything there is to do. `nowMs`: see `RaftNode.ready`. */
export function takeReady(core: Core, nowMs: number | undefined): Ready {
  flushReplication(core);
  const readContext = beginReadRound(core, nowMs);
  if (readContext !== undefined) broadcastHeartbeat(core, readContext);
  stampHeartbeats(core, nowMs);
  const hardState = changedHardState(core);
  const { entries, snapshot } = core.log.beginWrite();
  const committed = core.log.nextToApply(core.settings.committedBytesMax);
  const ready: Ready = {
    messages: core.messages,
    snapshot,
    entries,
    hardState,
    mustSync: mustSync(core, entries, hardState) || snapshot !== undefined,
    messagesAfterPersist: core.messagesAfterPersist,
    committed,
    readStates: core.readStates,
  };
  core.messages = [];
  core.messagesAfterPersist = [];
  core.readStates = [];
  for (const { kind, index } of committed) {
    if (kind === 'config') core.pendingConfigs.push({ index, superseded: false });
  }
  core.batches.push({ ready, selfVoteTerm: core.selfVoteDue ? core.term : undefined });
  core.selfVoteDue = false;
  if (hardState !== undefined) core.handedHardState = hardState;
  return ready;
}

/** The oldest batch is durable: our own acknowledgement and our own vote count from here on. */
export function persisted(core: Core, ready: Ready): void {
  const batch = core.batches.shift();
  if (batch === undefined || batch.ready !== ready) {
    broken('batches are acknowledged once, in the order they were handed out');
  }
  core.log.endWrite(ready.snapshot);
  if (batch.selfVoteTerm !== undefined) recordSelfVote(core, batch.selfVoteTerm);
  if (core.role === 'leader') maybeCommit(core);
}

function changedHardState(core: Core): HardState | undefined {
  const { term, vote, handedHardState: handed } = core;
  const { commit } = core.log;
  if (term === handed.term && vote === handed.vote && commit === handed.commit) return undefined;
  return { term, vote, commit };
}

/**
 * A commit index alone may be lost: it is learnt again. Not so when a membership change takes effect
 * with it: after a crash the member would count its votes in the membership before.
 */
function mustSync(
  core: Core,
  entries: readonly Entry[],
  hardState: HardState | undefined,
): boolean {
  if (entries.length > 0) return true;
  if (hardState === undefined) return false;
  const { term, vote, commit } = core.handedHardState;
  if (hardState.term !== term || hardState.vote !== vote) return true;
  for (let at = commit + 1; at <= hardState.commit; at++) {
    if (core.log.tail.entryAt(at as Entry['index'])?.kind === 'config') return true;
  }
  return false;
}
