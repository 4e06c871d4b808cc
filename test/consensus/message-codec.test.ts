import fc from 'fast-check';
import t from 'tap';
import { asIndex, asTerm, type Message } from '../../raft/types.ts';
import { decodeMessages, encodeMessages } from '../../src/consensus/message-codec.ts';

const envelope = { from: 'a', to: 'b', term: asTerm(7) };
const index = asIndex(2 ** 40);
const term = asTerm(6);
const confState = {
  voters: ['a', 'b'],
  votersOutgoing: ['c'],
  learners: [],
  learnersNext: ['d'],
  autoLeave: true,
};
const entries = (['data', 'config', 'empty'] as const).map((kind, at) => ({
  index: asIndex(index + 1 + at),
  term: asTerm(6),
  kind,
  data: Buffer.from(kind),
}));
const messages: readonly Message[] = [
  { type: 'vote', ...envelope, lastIndex: index, lastTerm: term, transfer: true },
  { type: 'pre-vote', ...envelope, lastIndex: index, lastTerm: term, transfer: false },
  {
    ...{ type: 'pre-vote', ...envelope, lastIndex: index, lastTerm: term, transfer: false },
    ...{ commit: index, commitTerm: term },
  },
  { type: 'vote-response', ...envelope, reject: true },
  { type: 'pre-vote-response', ...envelope, reject: false },
  { type: 'vote-response', ...envelope, reject: true, commit: index, commitTerm: term },
  { type: 'append', ...envelope, prevIndex: index, prevTerm: term, entries, commit: index },
  {
    type: 'append-response',
    ...envelope,
    index,
    reject: true,
    hintIndex: index,
    hintTerm: term,
  },
  { type: 'heartbeat', ...envelope, commit: index, readContext: 9 },
  { type: 'heartbeat-response', ...envelope, readContext: 9 },
  { type: 'heartbeat-response', ...envelope, readContext: 9, promiseMs: 200 },
  { type: 'snapshot', ...envelope, snapshot: { index, term, confState } },
  {
    ...{ type: 'snapshot', ...envelope },
    snapshot: { index, term, confState: { ...confState, removed: ['x'] } },
  },
  { type: 'timeout-now', ...envelope },
  { type: 'transfer-leader', ...envelope, target: 'c' },
  { type: 'read-index', ...envelope, requestId: 3 },
  { type: 'read-index-response', ...envelope, requestId: 3, index },
];

t.test('raft messages: every kind survives the wire', async (t) => {
  t.strictSame(decodeMessages(encodeMessages(messages), 'a', 'b'), messages);
});

t.test('raft messages: what could break the core is refused', async (t) => {
  const bad: Record<string, Message> = {
    'a sender that is not the peer': { type: 'timeout-now', ...envelope, from: 'c' },
    'another recipient': { type: 'timeout-now', ...envelope, to: 'c' },
    'a negative index': { type: 'heartbeat', ...envelope, commit: asIndex(-1), readContext: 0 },
    'a fraction': { type: 'heartbeat', ...envelope, commit: asIndex(0.5), readContext: 0 },
    'entries of falling terms': {
      type: 'append',
      ...envelope,
      prevIndex: index,
      prevTerm: asTerm(7),
      entries,
      commit: index,
    },
    'entries of a later term than the sender': {
      type: 'append',
      ...envelope,
      term: asTerm(5),
      prevIndex: index,
      prevTerm: asTerm(5),
      entries,
      commit: index,
    },
  };
  for (const [claim, message] of Object.entries(bad)) {
    t.type(decodeMessages(encodeMessages([message]), 'a', 'b'), 'string', claim);
  }
});

t.test(
  'raft messages: bytes bent at random are refused or well-formed, and never throw',
  async (t) => {
    const whole = encodeMessages(messages);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, cut) => {
        const bent = Buffer.from(whole);
        bent[at] = byte;
        for (const frame of [bent, whole.subarray(0, cut)]) {
          const decoded = decodeMessages(frame, 'a', 'b');
          if (typeof decoded !== 'string' && !decoded.every(({ from }) => from === 'a'))
            return false;
        }
        return true;
      }),
      { numRuns: 1000 },
    );
    t.pass();
  },
);
