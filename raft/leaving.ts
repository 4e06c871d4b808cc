/**
 * A leader that was removed (dissertation 4.2.2). It must not fall silent at once: it may be the only one
 * who knows that the removal is committed, and those who do not know still need its vote, which they
 * do not get when its log is longer than theirs. So it leads on, without counting itself, until a
 * quorum of the new configuration confirmed a heartbeat with that commit index; for an election
 * timeout at most.
 */

import type { Core } from './core.ts';
import { committedIndex } from './quorum.ts';
import { broadcastHeartbeat } from './replication.ts';
import { becomeFollower } from './roles.ts';
import type { NodeId } from './types.ts';

/** Our own removal was applied. */
export function beginLeaving(core: Core): void {
  core.leavingIndex = core.log.commit;
  core.electionElapsed = 0;
  core.settings.trace?.('leaving', { index: core.leavingIndex });
  announceLeaving(core);
}

/** Asks everybody once more whether they know. */
export function announceLeaving(core: Core): void {
  // A context of its own, so that no answer to an earlier heartbeat is mistaken for one to this.
  core.reads.context++;
  broadcastHeartbeat(core, core.reads.context);
}

/** Steps down if enough of those who remain know. */
export function maybeLeave(core: Core): void {
  const { leavingIndex } = core;
  if (leavingIndex === undefined) return;
  const known = committedIndex(core.confState, (node) => core.peers.get(node)?.knownCommit ?? 0);
  if (known >= leavingIndex) leave(core);
}

/** Steps down. Whoever has the whole log need not wait for an election timeout to take over. */
export function leave(core: Core): void {
  const { id: from, term, confState, log } = core;
  const upToDate = (node: NodeId): boolean => core.peers.get(node)?.match === log.lastIndex;
  const to = confState.voters.find(upToDate);
  if (to !== undefined) core.messages.push({ type: 'timeout-now', from, to, term });
  becomeFollower(core, term, undefined);
}
