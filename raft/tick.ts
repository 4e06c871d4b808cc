/** Time, counted in ticks: elections for those who follow, heartbeats and self-doubt for who leads. */

import type { Core } from './core.ts';
import { electionTimeout } from './core.ts';
import { maybeCampaign } from './election.ts';
import { heartbeatContext } from './lease.ts';
import { announceLeaving, leave } from './leaving.ts';
import { isSoleVoter, isVoter } from './quorum.ts';
import { broadcastHeartbeat, quorumIsActive } from './replication.ts';
import { becomeFollower } from './roles.ts';
import { abortTransfer } from './transfer.ts';

/** One unit of time has passed. */
export function tick(core: Core): void {
  core.electionElapsed++;
  core.lease.promiseElapsed++;
  if (core.role === 'leader') tickLeader(core);
  else tickElection(core);
}

function tickElection(core: Core): void {
  if (!isVoter(core.confState, core.id)) return;
  // Who decides alone has nobody to wait for.
  const alone = isSoleVoter(core.confState, core.id);
  if (core.electionElapsed < electionTimeout(core) && !(alone && core.role === 'follower')) return;
  core.electionElapsed = 0;
  // Our vote and our requests wait for the disk: a new campaign would begin that wait anew.
  if (core.role === 'candidate' && !core.votes.has(core.id)) return;
  maybeCampaign(core, 'pre-vote');
}

function tickLeader(core: Core): void {
  core.heartbeatElapsed++;
  if (core.electionElapsed >= core.electionTicks) {
    core.electionElapsed = 0;
    if (!quorumIsActive(core)) {
      // A leader without a quorum may not be one any more, and clients wait for it in vain (6.2).
      core.settings.trace?.('quorum-lost', { term: core.term });
      becomeFollower(core, core.term, undefined);
      return;
    }
    abortTransfer(core, 'it took an election timeout');
    if (core.leavingIndex !== undefined) {
      leave(core);
      return;
    }
  }
  if (core.heartbeatElapsed < core.settings.heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  if (core.leavingIndex !== undefined) announceLeaving(core);
  else broadcastHeartbeat(core, heartbeatContext(core));
}
