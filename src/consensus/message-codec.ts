/**
 * Raft messages on the wire: one frame is a msgpack list of messages, each a list of its fields. Decoding is the
 * boundary: behind it the core's invariants may assume that a message is well-formed, so that what
 * a peer sends can be refused but never end the process.
 */

import { Packr } from 'msgpackr';
import type { Entry, Message, NodeId, SnapshotMeta } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import { messageOf } from '../lib/errors.ts';
import { unreachable } from '../lib/invariant.ts';

const packr = new Packr({ useRecords: false });

const TYPES = [
  'vote',
  'vote-response',
  'pre-vote',
  'pre-vote-response',
  'append',
  'append-response',
  'heartbeat',
  'heartbeat-response',
  'snapshot',
  'timeout-now',
  'transfer-leader',
  'read-index',
  'read-index-response',
] as const satisfies readonly Message['type'][];

const ENTRY_KINDS = ['data', 'config', 'empty'] as const satisfies readonly Entry['kind'][];

/** Longest node id taken from the network. */
const NODE_ID_LENGTH_MAX = 256;
/** Most members of a configuration taken from the network. */
const MEMBERS_MAX = 10_000;

/** Thrown inside decoding only; never leaves this file. */
class Malformed extends Error {}

/** One frame. */
export function encodeMessages(messages: readonly Message[]): Buffer {
  return packr.pack(
    messages.map((message) => [
      TYPES.indexOf(message.type),
      message.from,
      message.to,
      message.term,
      ...bodyOf(message),
    ]),
  );
}

/** The messages of a frame that `peer` sent to `self`, or in words why it is refused. */
export function decodeMessages(
  frame: Uint8Array,
  peer: NodeId,
  self: NodeId,
): readonly Message[] | string {
  try {
    return list(packr.unpack(frame)).map((raw) => decodeMessage(list(raw), peer, self));
  } catch (error) {
    return messageOf(error);
  }
}

/** A snapshot's meta as plain data from the network, or undefined if it is malformed. */
export function decodeSnapshotMeta(raw: unknown): SnapshotMeta | undefined {
  try {
    return snapshotMeta(raw);
  } catch {
    return undefined;
  }
}

function bodyOf(message: Message): unknown[] {
  switch (message.type) {
    case 'vote':
    case 'pre-vote':
      return [message.lastIndex, message.lastTerm, message.transfer, ...knownCommit(message)];
    case 'vote-response':
    case 'pre-vote-response':
      return [message.reject, ...knownCommit(message)];
    case 'append':
      return [
        message.prevIndex,
        message.prevTerm,
        message.commit,
        message.entries.map((entry) => [entry.term, ENTRY_KINDS.indexOf(entry.kind), entry.data]),
      ];
    case 'append-response':
      return [message.index, message.reject, message.hintIndex, message.hintTerm];
    case 'heartbeat':
      return [message.commit, message.readContext];
    case 'heartbeat-response':
      return message.promiseMs === undefined
        ? [message.readContext]
        : [message.readContext, message.promiseMs];
    case 'snapshot':
      return [message.snapshot];
    case 'timeout-now':
      return [];
    case 'transfer-leader':
      return [message.target];
    case 'read-index':
      return [message.requestId];
    case 'read-index-response':
      return [message.requestId, message.index];
    default:
      return unreachable(message);
  }
}

function knownCommit({ commit, commitTerm }: { commit?: number; commitTerm?: number }): number[] {
  return commit === undefined || commitTerm === undefined ? [] : [commit, commitTerm];
}

function decodeMessage(raw: readonly unknown[], peer: NodeId, self: NodeId): Message {
  const [code, rawFrom, rawTo, rawTerm, ...body] = raw;
  const type = TYPES[count(code)];
  if (type === undefined) throw new Malformed(`message type ${String(code)} is not known`);
  const from = nodeId(rawFrom);
  const to = nodeId(rawTo);
  if (from !== peer) throw new Malformed(`a message claims to come from ${from}`);
  if (to !== self) throw new Malformed(`a message is meant for ${to}`);
  const envelope = { from, to, term: asTerm(count(rawTerm)) };
  const index = (at: number) => asIndex(count(body[at]));
  const term = (at: number) => asTerm(count(body[at]));
  switch (type) {
    case 'vote':
    case 'pre-vote':
      return {
        type,
        ...envelope,
        lastIndex: index(0),
        lastTerm: term(1),
        transfer: flag(body[2]),
        ...(body.length > 3 ? { commit: index(3), commitTerm: term(4) } : {}),
      };
    case 'vote-response':
    case 'pre-vote-response':
      return {
        type,
        ...envelope,
        reject: flag(body[0]),
        // Members of an earlier version do not say what they know to be committed.
        ...(body.length > 1 ? { commit: index(1), commitTerm: term(2) } : {}),
      };
    case 'append': {
      const prevIndex = index(0);
      const prevTerm = term(1);
      const entries = decodeEntries(list(body[3]), { prevIndex, prevTerm, term: envelope.term });
      return { type, ...envelope, prevIndex, prevTerm, entries, commit: index(2) };
    }
    case 'append-response':
      return {
        type,
        ...envelope,
        index: index(0),
        reject: flag(body[1]),
        hintIndex: index(2),
        hintTerm: term(3),
      };
    case 'heartbeat':
      return { type, ...envelope, commit: index(0), readContext: count(body[1]) };
    case 'heartbeat-response':
      return {
        type,
        ...envelope,
        readContext: count(body[0]),
        // Only members that read by leases promise anything.
        ...(body.length > 1 ? { promiseMs: count(body[1]) } : {}),
      };
    case 'snapshot':
      return { type, ...envelope, snapshot: snapshotMeta(body[0]) };
    case 'timeout-now':
      return { type, ...envelope };
    case 'transfer-leader':
      return { type, ...envelope, target: nodeId(body[0]) };
    case 'read-index':
      return { type, ...envelope, requestId: count(body[0]) };
    case 'read-index-response':
      return { type, ...envelope, requestId: count(body[0]), index: index(1) };
    default:
      return unreachable(type);
  }
}

/** Indexes follow from the position; terms never fall, and never exceed the sender's. */
function decodeEntries(
  raw: readonly unknown[],
  base: { readonly prevIndex: number; readonly prevTerm: number; readonly term: number },
): Entry[] {
  let former = base.prevTerm;
  return raw.map((item, at) => {
    const [rawTerm, kindCode, data] = list(item);
    const term = count(rawTerm);
    const kind = ENTRY_KINDS[count(kindCode)];
    if (kind === undefined || !(data instanceof Uint8Array)) throw new Malformed('bad entry');
    if (term < former || term > base.term) throw new Malformed('entry terms are out of order');
    former = term;
    return { index: asIndex(base.prevIndex + 1 + at), term: asTerm(term), kind, data };
  });
}

function snapshotMeta(raw: unknown): SnapshotMeta {
  const meta = record(raw);
  const confState = record(meta['confState']);
  const members = (field: string) => {
    const ids = list(confState[field]);
    if (ids.length > MEMBERS_MAX) throw new Malformed('too many members');
    return ids.map(nodeId);
  };
  return {
    index: asIndex(count(meta['index'])),
    term: asTerm(count(meta['term'])),
    ...(meta['level'] === undefined ? {} : { level: count(meta['level']) }),
    confState: {
      voters: members('voters'),
      votersOutgoing: members('votersOutgoing'),
      learners: members('learners'),
      learnersNext: members('learnersNext'),
      autoLeave: flag(confState['autoLeave']),
      ...(confState['removed'] === undefined ? {} : { removed: members('removed') }),
    },
  };
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Malformed('a list was expected');
  return value;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new Malformed('a record was expected');
  return value as Readonly<Record<string, unknown>>;
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new Malformed('a whole number was expected');
  }
  return value as number;
}

function flag(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new Malformed('a flag was expected');
  return value;
}

function nodeId(value: unknown): NodeId {
  if (typeof value !== 'string' || value === '' || value.length > NODE_ID_LENGTH_MAX) {
    throw new Malformed('a node id was expected');
  }
  return value;
}
