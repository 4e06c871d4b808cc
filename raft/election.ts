/**
 * Elections (5.2, 5.4.1; dissertation 9.6): when to campaign, whom to vote for, what a poll's answers
 * lead to. Pre-vote comes first, always, except when a leader handed over on purpose.
 */

import type { Core } from './core.ts';
import { sendAfterPersist } from './core.ts';
import { unreachable } from './invariant.ts';
import { hasPromised } from './lease.ts';
import { isSoleVoter, isVoter, voteResult } from './quorum.ts';
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts';
import type { Message, NodeId, Term } from './types.ts';

export type VoteRequest = Extract<Message, { type: 'vote' | 'pre-vote' }>;
export type VoteResponse = Extract<Message, { type: 'vote-response' | 'pre-vote-response' }>;

/** `transfer`: the leader asked us to take over, so neither pre-vote nor leases stand in the way. */
export type CampaignKind = 'pre-vote' | 'transfer';

/** Campaigns unless something forbids it; says so in the trace when it does. */
export function maybeCampaign(core: Core, kind: CampaignKind): void {
  const obstacle = campaignObstacle(core, kind);
  if (obstacle !== undefined) {
    core.settings.trace?.('no-campaign', { reason: obstacle });
    return;
  }
  if (kind === 'transfer') requestVotes(core, true);
  else requestPreVotes(core);
}

function campaignObstacle(core: Core, kind: CampaignKind): string | undefined {
  if (core.role === 'leader') return 'leads already';
  if (!isVoter(core.confState, core.id)) return 'is no voter';
  if (core.log.restoring) return 'a snapshot is being taken over';
  if (core.heldBack !== undefined) return core.heldBack;
  // The election would be counted in a membership that is known to be outdated.
  if (core.log.hasUnappliedConfig()) return 'a committed membership change is not applied yet';
  if (kind === 'pre-vote' && hasPromised(core) && !isSoleVoter(core.confState, core.id)) {
    return 'has promised a leader to wait';
  }
  return undefined;
}

function requestPreVotes(core: Core): void {
  becomePreCandidate(core);
  broadcastVoteRequest(core, 'pre-vote', false);
  // Nothing durable hangs on a pre-vote, so our own counts at once.
  recordVote(core, core.id, true);
}

function requestVotes(core: Core, transfer: boolean): void {
  becomeCandidate(core);
  broadcastVoteRequest(core, 'vote', transfer);
}

function broadcastVoteRequest(core: Core, type: VoteRequest['type'], transfer: boolean): void {
  const { voters, votersOutgoing } = core.confState;
  const term = (type === 'pre-vote' ? core.term + 1 : core.term) as Term;
  const { lastIndex, lastTerm } = core.log.tail;
  for (const to of new Set([...voters, ...votersOutgoing])) {
    if (to === core.id) continue;
    const message: VoteRequest = {
      ...{ type, from: core.id, to, term, lastIndex, lastTerm, transfer },
      ...knownCommit(core),
    };
    // Votes are given for the log we claim to have and the term we claim to be in. Were one of them
    // lost in a crash, an old answer could elect us in the same term with a shorter log.
    if (type === 'vote') sendAfterPersist(core, message);
    else core.messages.push(message);
  }
}

/**
 * True if votes are refused because a leader is alive: we heard of it within the shortest election
 * timeout (9.6). A leader that is cut off loses its lease with the quorum.
 */
export function inLease(core: Core): boolean {
  return core.leader !== undefined && core.electionElapsed < core.electionTicks;
}

/** Answers a request whose term is not below ours; terms have been adapted before. */
export function answerVoteRequest(core: Core, request: VoteRequest): void {
  learnCommit(core, request);
  const { type, from, term } = request;
  const free =
    !goesFirst(core, request) &&
    (core.vote === from ||
      (core.vote === undefined && core.leader === undefined) ||
      (type === 'pre-vote' && term > core.term));
  const upToDate = core.log.isUpToDate({ index: request.lastIndex, term: request.lastTerm });
  // A learner answers too: it may have been made a voter without knowing it yet.
  const granted = free && upToDate;
  core.settings.trace?.('vote', { type, candidate: from, term, granted });
  if (type === 'pre-vote') {
    // A grant speaks of the term that is asked for, a refusal of ours: the asker learns of it.
    const answerTerm = granted ? term : core.term;
    core.messages.push(response(core, 'pre-vote-response', from, answerTerm, !granted));
    return;
  }
  if (granted) {
    core.electionElapsed = 0;
    core.vote = from;
  }
  sendAfterPersist(core, response(core, 'vote-response', from, core.term, !granted));
}

/**
 * True if we asked for pre-votes at the same time and go first. Two members that grant each other's both stand for
 * election, vote for themselves, and lose an election timeout to a split vote (9.6 leaves that to chance).
 * Only a poll that began a moment ago counts, so that a member whose requests get lost holds up nobody.
 */
function goesFirst(core: Core, { type, from, term, lastIndex, lastTerm }: VoteRequest): boolean {
  const { tail } = core.log;
  return (
    type === 'pre-vote' &&
    core.role === 'pre-candidate' &&
    core.electionElapsed < core.settings.heartbeatTicks &&
    core.id < from &&
    term === core.term + 1 &&
    lastIndex === tail.lastIndex &&
    lastTerm === tail.lastTerm
  );
}

/** Refuses a pre-vote of a term below ours, so that the asker catches up instead of asking on. */
export function refuseOldPreVote(core: Core, request: VoteRequest): void {
  core.messages.push(response(core, 'pre-vote-response', request.from, core.term, true));
}

function response(
  core: Core,
  type: VoteResponse['type'],
  to: NodeId,
  term: Term,
  reject: boolean,
): VoteResponse {
  const answer: VoteResponse = { type, from: core.id, to, term, reject };
  return reject ? { ...answer, ...knownCommit(core) } : answer;
}

/** What vote traffic tells of our commit index; nothing if the entry there is not at hand. */
function knownCommit({ log }: Core): Pick<VoteRequest, 'commit' | 'commitTerm'> {
  const { commit, tail } = log;
  const commitTerm = tail.termAt(commit);
  return commitTerm === undefined ? {} : { commit, commitTerm };
}

/**
 * Votes and refusals tell of commits that the other side may not know of, as a membership change
 * comes into force only where it is known to be committed. Without this nobody could win when
 *
 * - 1. a leader commits a member's removal and dies; the removed member alone knows. 2. The others still
 *   need its vote. 3. It refuses, its log being longer, and does not campaign, being no voter;
 * - 1. a leader commits that a member became a voter, and loses its newest entries in a crash; they are
 *   on the new voter's disk, to whom the commit was not told yet. 2. The leader needs its vote. 3. It
 *   refuses, its log being longer, and does not campaign, knowing of no vote of its own.
 */
export function learnCommit(
  core: Core,
  { commit, commitTerm }: Pick<VoteRequest, 'commit' | 'commitTerm'>,
): void {
  if (commit === undefined || commitTerm === undefined || commit <= core.log.commit) return;
  if (!core.log.tail.matches(commit, commitTerm)) return;
  core.log.commitTo(commit);
  core.settings.trace?.('commit-by-vote', { commit });
}

/** Takes an answer to the poll that is running; answers to another one are ignored. */
export function handleVoteResponse(core: Core, answer: VoteResponse): void {
  learnCommit(core, answer);
  const preVote = core.role === 'pre-candidate';
  if (answer.type !== (preVote ? 'pre-vote-response' : 'vote-response')) return;
  // A pre-vote is granted for the next term; one that names ours is left over from an earlier poll.
  const term = preVote && !answer.reject ? core.term + 1 : core.term;
  if (answer.term === term) recordVote(core, answer.from, !answer.reject);
}

/** Our own vote became durable. */
export function recordSelfVote(core: Core, term: Term): void {
  if (core.role === 'candidate' && core.term === term) recordVote(core, core.id, true);
}

function recordVote(core: Core, voter: NodeId, granted: boolean): void {
  if (core.role !== 'pre-candidate' && core.role !== 'candidate') return;
  if (!core.votes.has(voter)) core.votes.set(voter, granted);
  const result = voteResult(core.confState, (node) => core.votes.get(node));
  switch (result) {
    case 'won':
      if (core.role === 'pre-candidate') requestVotes(core, false);
      else becomeLeader(core);
      return;
    case 'lost':
      becomeFollower(core, core.term, undefined);
      return;
    case 'pending':
      return;
    default:
      unreachable(result);
  }
}
