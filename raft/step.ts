/**
 * The way in for messages: first the rules that hold for every role (whose message, which term), then
 * the role's own.
 */

import { isRemoved } from './config-change.ts';
import type { Core } from './core.ts';
import type { VoteRequest, VoteResponse } from './election.ts';
import {
  answerVoteRequest,
  handleVoteResponse,
  inLease,
  learnCommit,
  refuseOldPreVote,
} from './election.ts';
import {
  correctOldLeader,
  handleAppend,
  handleHeartbeat,
  handleSnapshot,
  hearLeader,
} from './follower.ts';
import { broken, unreachable } from './invariant.ts';
import { hasPromised, notePromise } from './lease.ts';
import { maybeLeave } from './leaving.ts';
import { confirmReads, maybeAddRead } from './read-index.ts';
import { handleAppendResponse, noteHeartbeatResponse } from './replication.ts';
import { becomeFollower } from './roles.ts';
import { beginTransfer, handleTimeoutNow } from './transfer.ts';
import type { Message } from './types.ts';

type LeaderMessage = Extract<Message, { type: 'append' | 'heartbeat' | 'snapshot' }>;
type PeerMessage = Exclude<
  Message,
  LeaderMessage | { type: 'vote' | 'pre-vote' | 'vote-response' | 'pre-vote-response' }
>;

/** Takes one message. Misrouted and outdated ones have no effect but, at most, an answer. */
export function step(core: Core, message: Message): void {
  // Ids are never reused: what was meant for another member must not be answered in its name.
  if (message.to !== core.id || message.from === core.id) {
    core.settings.trace?.('misrouted', { type: message.type, from: message.from, to: message.to });
    return;
  }
  if (!adaptTerm(core, message)) return;
  switch (message.type) {
    case 'vote':
    case 'pre-vote':
      answerVoteRequest(core, message);
      return;
    case 'vote-response':
    case 'pre-vote-response':
      handleVoteResponse(core, message);
      return;
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      fromLeader(core, message);
      return;
    default:
      fromPeer(core, message);
  }
}

/** Compares terms (5.1): a newer one is entered, an older message ends here. False if it ended. */
function adaptTerm(core: Core, message: Message): boolean {
  const { type, term, from } = message;
  if ((type === 'vote' || type === 'pre-vote') && isRemoved(core.confState, from)) {
    // Ids are never reused, so nothing that is missing here could make it a member again; those who
    // could win in its place are known to the others (4.2.3).
    core.settings.trace?.('removed-candidate', { type, candidate: from, term });
    return false;
  }
  if (term < core.term) {
    answerOld(core, message);
    return false;
  }
  if ((type === 'vote' || type === 'pre-vote') && !message.transfer && hasPromised(core)) {
    core.settings.trace?.('promise-refusal', { type, candidate: from, term });
    return false;
  }
  if (term === core.term) return true;
  if ((type === 'vote' || type === 'pre-vote') && !message.transfer && inLease(core)) {
    core.settings.trace?.('lease-refusal', { type, candidate: from, term, leader: core.leader });
    return false;
  }
  // A pre-vote asks about a term nobody is in yet, and a grant of one answers with it.
  if (type === 'pre-vote' || (type === 'pre-vote-response' && !message.reject)) return true;
  becomeFollower(core, term, isFromLeader(message) ? from : undefined);
  return true;
}

function answerOld(core: Core, message: Message): void {
  // What is committed stays so in every later term.
  if (isVoteTraffic(message)) learnCommit(core, message);
  if (isFromLeader(message)) {
    // A member with a higher term would stay outside for ever: its leader ignores pre-votes in the
    // lease, and it ignores the leader. The answer's term makes the leader step down once.
    correctOldLeader(core, message.from);
  } else if (message.type === 'pre-vote') {
    refuseOldPreVote(core, message);
  }
}

function isVoteTraffic(message: Message): message is VoteRequest | VoteResponse {
  switch (message.type) {
    case 'vote':
    case 'pre-vote':
    case 'vote-response':
    case 'pre-vote-response':
      return true;
    default:
      return false;
  }
}

function isFromLeader(message: Message): message is LeaderMessage {
  return message.type === 'append' || message.type === 'heartbeat' || message.type === 'snapshot';
}

function fromLeader(core: Core, message: LeaderMessage): void {
  if (core.role === 'leader') {
    broken('a term has one leader', { term: core.term, other: message.from });
  }
  if (core.role !== 'follower') becomeFollower(core, core.term, message.from);
  hearLeader(core, message.from);
  switch (message.type) {
    case 'append':
      handleAppend(core, message);
      return;
    case 'heartbeat':
      handleHeartbeat(core, message);
      return;
    case 'snapshot':
      handleSnapshot(core, message);
      return;
    default:
      unreachable(message);
  }
}

/** What members ask a leader for is heard by leaders only, from members: nobody else has peers. */
function fromPeer(core: Core, message: PeerMessage): void {
  switch (message.type) {
    case 'append-response':
      if (core.role === 'leader') handleAppendResponse(core, message);
      return;
    case 'heartbeat-response':
      handleHeartbeatResponse(core, message);
      return;
    case 'timeout-now':
      if (core.role !== 'leader') handleTimeoutNow(core);
      return;
    case 'transfer-leader':
      if (core.peers.has(message.from)) beginTransfer(core, message.target);
      return;
    case 'read-index': {
      const { from, requestId } = message;
      if (core.peers.has(from)) maybeAddRead(core, { from, requestId });
      return;
    }
    case 'read-index-response': {
      const { requestId, index } = message;
      core.readStates.push({ requestId, index });
      return;
    }
    default:
      unreachable(message);
  }
}

function handleHeartbeatResponse(
  core: Core,
  message: Extract<Message, { type: 'heartbeat-response' }>,
): void {
  const progress = core.peers.get(message.from);
  if (core.role !== 'leader' || progress === undefined) return;
  const { readContext } = message;
  noteHeartbeatResponse(core, progress, readContext);
  notePromise(core, progress, message);
  if (readContext <= progress.readAck) return;
  progress.readAck = readContext;
  confirmReads(core);
  maybeLeave(core);
}
