/**
 * The four roles and what changing into each of them resets (figure 4 of the paper, with the
 * pre-candidate of dissertation 9.6).
 */

import { membersOf } from './config-change.ts';
import type { Core } from './core.ts';
import { newProgress } from './core.ts';
import { broken } from './invariant.ts';
import { appendOwn } from './proposals.ts';
import { dropReads } from './read-index.ts';
import type { LogIndex, NodeId, Role, Term } from './types.ts';

/** Follows `leader` (undefined: not known yet) in `term`. */
export function becomeFollower(core: Core, term: Term, leader: NodeId | undefined): void {
  enterTerm(core, term);
  core.leader = leader;
  enterRole(core, 'follower');
}

/** Asks whether an election could be won, without leaving the term: nobody is disturbed. */
export function becomePreCandidate(core: Core): void {
  if (core.role === 'leader') broken('a leader does not campaign');
  core.votes.clear();
  core.leader = undefined;
  enterRole(core, 'pre-candidate');
}

/** Stands for election in the next term. Our own vote counts once it is durable. */
export function becomeCandidate(core: Core): void {
  if (core.role === 'leader') broken('a leader does not campaign');
  enterTerm(core, (core.term + 1) as Term);
  core.vote = core.id;
  core.selfVoteDue = true;
  enterRole(core, 'candidate');
}

/** Leads the current term, beginning with an empty entry: only its commit commits older ones (5.4.2). */
export function becomeLeader(core: Core): void {
  if (core.role === 'follower') broken('a follower becomes candidate before it leads');
  enterTerm(core, core.term);
  core.leader = core.id;
  // Changes of earlier terms may be in the log: none is proposed before all of them are applied.
  core.pendingConfIndex = core.log.lastIndex;
  for (const node of membersOf(core.confState)) {
    if (node === core.id) continue;
    const progress = newProgress(core, node);
    // The benefit of the doubt until the first check of the quorum.
    progress.recentlyActive = true;
    core.peers.set(node, progress);
  }
  enterRole(core, 'leader');
  appendOwn(core, 'empty', [emptyData]);
}

const emptyData = new Uint8Array(0);

/** Resets everything that belongs to a term or a role; a new term frees the vote. */
function enterTerm(core: Core, term: Term): void {
  if (term < core.term) broken('terms never fall', { term, current: core.term });
  if (term !== core.term) {
    core.term = term;
    core.vote = undefined;
  }
  core.leader = undefined;
  core.votes.clear();
  core.selfVoteDue = false;
  core.peers.clear();
  core.pendingConfIndex = 0 as LogIndex;
  core.uncommittedBytes = 0;
  core.transferTarget = undefined;
  core.takeOverDue = false;
  core.leavingIndex = undefined;
  core.replicationDue = false;
  core.lease.sent = [];
  core.lease.handedOver = false;
  dropReads(core);
}

function enterRole(core: Core, role: Role): void {
  core.role = role;
  core.electionElapsed = 0;
  core.heartbeatElapsed = 0;
  core.jitter = core.settings.random();
  core.settings.trace?.('become', { role, term: core.term, leader: core.leader });
}
