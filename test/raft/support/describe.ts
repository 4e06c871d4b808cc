/** How plays write down messages, batches and states: one line each, fields in a fixed order. */

import { decodeConfChange } from '../../../raft/raw-node.ts';
import type {
  ConfState,
  Entry,
  Message,
  RaftStatus,
  Ready,
  SnapshotMeta,
} from '../../../raft/types.ts';

const marks = { 'add-voter': '+v', 'add-learner': '+l', remove: '-' } as const;

/** `index/term "text"`, `index/term config(+v:d)`, `index/term empty`. */
export function describeEntry(entry: Entry): string {
  const place = `${entry.index}/${entry.term}`;
  if (entry.kind === 'empty') return `${place} empty`;
  if (entry.kind === 'data') return `${place} "${new TextDecoder().decode(entry.data)}"`;
  const { steps } = decodeConfChange(entry.data);
  const change = steps.map(({ kind, node }) => `${marks[kind]}:${node}`).join(' ');
  return `${place} config(${change === '' ? 'leave' : change})`;
}

/** `voters=a,b outgoing=.. learners=.. learnersNext=..`, leaving out what is empty. */
export function describeConfig(confState: ConfState): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  const lists = { voters, outgoing: votersOutgoing, learners, learnersNext };
  const shown = Object.entries(lists).filter(([, nodes]) => nodes.length > 0);
  const fields = shown.map(([name, nodes]) => `${name}=${nodes.join(',')}`);
  if (autoLeave) fields.push('auto-leave');
  return fields.join(' ') || 'none';
}

function describeSnapshot(meta: SnapshotMeta): string {
  return `${meta.index}/${meta.term} ${describeConfig(meta.confState)}`;
}

/** `from->to type term=.. ...`. */
export function describeMessage(message: Message): string {
  const { type, from, to, term } = message;
  return `${from}->${to} ${type} term=${term}${describeBody(message)}`;
}

function describeBody(message: Message): string {
  switch (message.type) {
    case 'vote':
    case 'pre-vote':
      return ` last=${message.lastIndex}/${message.lastTerm}${message.transfer ? ' transfer' : ''}`;
    case 'vote-response':
    case 'pre-vote-response':
      return message.reject
        ? ` refused commit=${message.commit}/${message.commitTerm}`
        : ' granted';
    case 'append': {
      const entries = message.entries.map(describeEntry).join(', ');
      return ` prev=${message.prevIndex}/${message.prevTerm} commit=${message.commit} [${entries}]`;
    }
    case 'append-response':
      return message.reject
        ? ` refused=${message.index} hint=${message.hintIndex}/${message.hintTerm}`
        : ` match=${message.index}`;
    case 'heartbeat':
      return ` commit=${message.commit}${describeContext(message.readContext)}`;
    case 'heartbeat-response':
      return describeContext(message.readContext);
    case 'snapshot':
      return ` ${describeSnapshot(message.snapshot)}`;
    case 'timeout-now':
      return '';
    case 'transfer-leader':
      return ` target=${message.target}`;
    case 'read-index':
      return ` request=${message.requestId}`;
    default:
      return ` request=${message.requestId} index=${message.index}`;
  }
}

function describeContext(context: number): string {
  return context === 0 ? '' : ` read=${context}`;
}

/** What a batch asks for, up to the moment it is durable. */
export function describeReady(id: string, ready: Ready): string[] {
  const lines: string[] = [];
  const { messages, snapshot, entries, hardState, messagesAfterPersist, committed } = ready;
  for (const message of messages) lines.push(`sends ${describeMessage(message)}`);
  if (snapshot !== undefined) lines.push(`${id} writes snapshot ${describeSnapshot(snapshot)}`);
  if (entries.length > 0) lines.push(`${id} writes ${entries.map(describeEntry).join(', ')}`);
  if (hardState !== undefined) {
    const { term, vote, commit } = hardState;
    const sync = ready.mustSync ? '' : ' (no sync)';
    lines.push(`${id} writes state term=${term} vote=${vote ?? '-'} commit=${commit}${sync}`);
  }
  for (const message of messagesAfterPersist)
    lines.push(`once durable sends ${describeMessage(message)}`);
  if (committed.length > 0)
    lines.push(`${id} gets committed ${committed.map(describeEntry).join(', ')}`);
  for (const { requestId, index } of ready.readStates)
    lines.push(`${id} may serve read ${requestId} at ${index}`);
  return lines;
}

/** A member at a glance. */
export function describeStatus(status: RaftStatus): string {
  const { id, role, term, leader, commit, applied, firstIndex, lastIndex, confState } = status;
  return (
    `${id} ${role} term=${term} leader=${leader ?? '-'} commit=${commit} applied=${applied} ` +
    `log=[${firstIndex},${lastIndex}] ${describeConfig(confState)}`
  );
}

/** A leader's peers, one line each. */
export function describeProgress(status: RaftStatus): string[] {
  return status.progress.map(({ node, state, match, next, inflight, learner, recentlyActive }) => {
    const flags = `${learner ? ' learner' : ''}${recentlyActive ? '' : ' silent'}`;
    return `${node} ${state} match=${match} next=${next} inflight=${inflight}${flags}`;
  });
}
