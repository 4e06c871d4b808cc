/**
 * What a member does with its leader's messages (5.3, section 7): appends, heartbeats, snapshots. Every
 * one of them is a sign of life.
 */

import type { Core } from './core.ts';
import { sendAfterPersist } from './core.ts';
import { promise } from './lease.ts';
import type { ConfState, LogIndex, Message, NodeId, Term } from './types.ts';

type Append = Extract<Message, { type: 'append' }>;
type AppendResponse = Extract<Message, { type: 'append-response' }>;
type Heartbeat = Extract<Message, { type: 'heartbeat' }>;
type Snapshot = Extract<Message, { type: 'snapshot' }>;

/** Notes that `leader` is alive and leads our term. */
export function hearLeader(core: Core, leader: NodeId): void {
  core.electionElapsed = 0;
  if (core.leader === leader) return;
  core.leader = leader;
  core.settings.trace?.('leader', { leader, term: core.term });
}

/** Takes entries that follow ours, or says where to look for the place from which they do. */
export function handleAppend(core: Core, append: Append): void {
  const { log } = core;
  if (append.prevIndex < log.commit) {
    // An old message: what is committed here equals the leader's log.
    acknowledge(core, append.from, log.commit);
    return;
  }
  const previous = { index: append.prevIndex, term: append.prevTerm };
  const matched = log.maybeAppend(previous, append.entries);
  if (matched === undefined) {
    refuse(core, append);
    return;
  }
  log.commitTo(Math.min(append.commit, matched) as LogIndex);
  acknowledge(core, append.from, matched);
}

/** The commit index of a heartbeat is capped by the leader at what we acknowledged. */
export function handleHeartbeat(core: Core, heartbeat: Heartbeat): void {
  core.log.commitTo(heartbeat.commit);
  const { id: from, term } = core;
  const { from: to, readContext } = heartbeat;
  const promiseMs = promise(core);
  core.messages.push({
    ...{ type: 'heartbeat-response', from, to, term, readContext },
    ...(promiseMs === undefined ? {} : { promiseMs }),
  });
}

/** A snapshot whose bytes have arrived: taken over unless our own log reaches as far. */
export function handleSnapshot(core: Core, message: Snapshot): void {
  const { snapshot, from } = message;
  const { log } = core;
  if (snapshot.index <= log.commit) {
    acknowledge(core, from, log.commit);
    return;
  }
  if (log.tail.matches(snapshot.index, snapshot.term)) {
    // The log agrees up to there: keep it, and go on from its end.
    log.commitTo(snapshot.index);
    acknowledge(core, from, log.commit);
    return;
  }
  core.settings.trace?.('restore', { index: snapshot.index, term: snapshot.term });
  log.restore(snapshot);
  // Changes that were handed out before are part of the snapshot now.
  for (const pending of core.pendingConfigs) pending.superseded = true;
  core.confHistory.length = 0;
  adoptConfig(core, snapshot.confState, snapshot.index);
  acknowledge(core, from, snapshot.index);
}

/** Tells a leader of an older term that its time is over; it cannot find out otherwise. */
export function correctOldLeader(core: Core, to: NodeId): void {
  const { id: from, term, log } = core;
  sendAfterPersist(core, {
    ...{ type: 'append-response', from, to, term, index: log.commit },
    ...{ reject: false, hintIndex: 0 as LogIndex, hintTerm: 0 as Term },
  });
}

/** Makes `confState` the configuration in force from `index` on. */
export function adoptConfig(core: Core, confState: ConfState, index: LogIndex): void {
  core.confState = confState;
  core.confHistory.push({ index, confState });
  core.settings.trace?.('config', { index, ...confState });
}

function acknowledge(core: Core, to: NodeId, index: LogIndex): void {
  const { id: from, term } = core;
  const answer: AppendResponse = {
    ...{ type: 'append-response', from, to, term, index },
    ...{ reject: false, hintIndex: 0 as LogIndex, hintTerm: 0 as Term },
  };
  const queued = core.messagesAfterPersist;
  const last = queued[queued.length - 1];
  // The newer acknowledgement covers the older one; appends that came together get one answer.
  const covers = last?.type === 'append-response' && last.to === to && last.term === term;
  if (covers && !last.reject && last.index <= index) queued[queued.length - 1] = answer;
  else queued.push(answer);
}

function refuse(core: Core, append: Append): void {
  const { id: from, term, log } = core;
  // Skip whatever of ours is of a later term than the entry the leader asked about: it cannot match.
  const asked = Math.min(append.prevIndex, log.lastIndex) as LogIndex;
  const hint = log.tail.lastNotAbove(asked, append.prevTerm);
  core.settings.trace?.('refuse', { prevIndex: append.prevIndex, hint: hint.index });
  sendAfterPersist(core, {
    type: 'append-response',
    from,
    to: append.from,
    term,
    index: append.prevIndex,
    reject: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
  });
}
