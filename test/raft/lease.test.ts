/** Leases (raft/lease.ts): what a promise forbids, what the leader may conclude from it, and what ends it. */

import t from 'tap';
import { Solo, type SoloOptions } from './support/solo.ts';

const TICK_MS = 50;
/** A promise of 200 ms is over after 5 ticks; the leader relies on 200 - 10 % - 25 ms of it. */
const lease = { promiseMs: 200, tickMs: TICK_MS };
const PROMISE_TICKS = 5;
const RELIED_ON_MS = 155;
const upToDate = { lastIndex: 9, lastTerm: 1 };

const follower = (options: SoloOptions = {}) => {
  const solo = new Solo({ lease, electionTicks: 10, ...options });
  solo.tick(PROMISE_TICKS);
  return solo;
};

/** A leader of five at 1000 ms whose first entry is committed. */
function leader(options: SoloOptions = {}) {
  const solo = new Solo({
    lease,
    electionTicks: 10,
    voters: ['a', 'b', 'c', 'd', 'e'],
    ...options,
  });
  solo.tick(PROMISE_TICKS);
  solo.member.nowMs = 1000;
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, 2);
  let requestId = 0;
  return {
    solo,
    /** A heartbeat leaves now; returns its context. */
    beat(): number {
      const sent = solo.tick(1).find(({ type }) => type === 'heartbeat');
      return sent?.type === 'heartbeat' ? sent.readContext : 0;
    },
    promise(from: string, readContext: number, promiseMs: number | undefined = 200): void {
      const term = solo.status.term;
      solo.step({ type: 'heartbeat-response', from, term, readContext, promiseMs });
    },
    /** True if a read at `nowMs` is answered without asking anybody. */
    reads(nowMs: number): boolean {
      solo.member.nowMs = nowMs;
      solo.node.readIndex(++requestId);
      const asked = solo.drain().some(({ type }) => type === 'heartbeat');
      const answered = solo.member.reads.some((read) => read.requestId === requestId);
      if (asked === answered) throw new Error('a read is answered at once, or it is asked for');
      return answered;
    },
  };
}

t.test('lease: while a quorum promised, a read asks nobody', async (t) => {
  const { reads, beat, promise } = leader();
  const context = beat();
  t.notOk(reads(1001), 'nobody promised');
  promise('b', context);
  t.notOk(reads(1002), 'two of five are no quorum');
  promise('c', context);
  t.ok(reads(1003));
  t.ok(reads(1000 + RELIED_ON_MS - 1));
  t.notOk(reads(1000 + RELIED_ON_MS), 'it ends before the shortest promise does');
});

t.test('lease: a promise counts from when its heartbeat left, not from when it came', async (t) => {
  const { solo, reads, beat, promise } = leader();
  const context = beat();
  solo.member.nowMs = 1140;
  const late = beat();
  for (const from of ['b', 'c']) promise(from, context);
  t.ok(reads(1150));
  t.notOk(reads(1160));
  for (const from of ['b', 'c']) promise(from, late);
  t.ok(reads(1170));
});

t.test('lease: who promises less, or nothing, is relied on for less, or not at all', async (t) => {
  const { reads, beat, promise } = leader();
  const context = beat();
  promise('b', context);
  promise('c', context, 0);
  t.notOk(reads(1001));
  promise('d', context, 100);
  t.ok(reads(1064));
  t.notOk(reads(1065));
});

t.test('lease: without the time there is none', async (t) => {
  const { solo, reads, beat, promise } = leader();
  solo.member.nowMs = undefined;
  const context = beat();
  for (const from of ['b', 'c', 'd']) promise(from, context);
  t.notOk(reads(1000), 'it is not known when the heartbeat left');
});

t.test('lease: a joint configuration needs both halves to promise', async (t) => {
  const { solo, reads, beat, promise } = leader({ voters: ['a', 'b', 'c'] });
  const steps = ['b', 'c'].map((node) => ({ kind: 'remove' as const, node }));
  const joined = ['d', 'e'].map((node) => ({ kind: 'add-voter' as const, node }));
  solo.node.proposeConfChange({ steps: [...steps, ...joined], context: new Uint8Array(0) });
  solo.drain();
  solo.ack('b', 3);
  t.strictSame(solo.status.confState.voters, ['a', 'd', 'e']);
  const context = beat();
  promise('b', context);
  t.notOk(reads(1001));
  promise('d', context);
  t.ok(reads(1002));
});

t.test('lease: who hands over relies on no promise any more, nor after it gave up', async (t) => {
  const { solo, reads, beat, promise } = leader();
  const behind = beat();
  for (const from of ['b', 'c']) promise(from, behind);
  solo.node.transferLeadership('d');
  solo.drain();
  t.notOk(reads(1001), 'd is being brought up to date');
  solo.tick(10);
  t.equal(solo.status.transferTarget, undefined, 'it took too long');
  t.ok(reads(1002), 'd was never told');
  solo.node.transferLeadership('b');
  t.match(solo.drain(), [{ type: 'timeout-now', to: 'b' }]);
  for (let round = 0; round < 11; round++) {
    const context = beat();
    for (const from of ['b', 'c', 'd', 'e']) promise(from, context);
  }
  t.equal(solo.status.transferTarget, undefined);
  t.notOk(reads(1003), 'b may hear of it at any time');
});

t.test('lease: a leader of a new term begins without promises', async (t) => {
  const { solo, reads, beat, promise } = leader();
  const context = beat();
  for (const from of ['b', 'c', 'd', 'e']) promise(from, context);
  t.ok(reads(1001));
  solo.step({ type: 'append-response', term: 5 });
  t.equal(solo.status.role, 'follower');
  solo.lead();
  for (const from of ['b', 'c']) solo.ack(from, 3);
  t.match(solo.status, { role: 'leader', term: 6, commit: 3 });
  t.notOk(reads(1002));
});

t.test(
  'lease: a follower that promised neither votes nor campaigns, whatever it forgot',
  async (t) => {
    const solo = follower();
    t.match(solo.step({ type: 'heartbeat', term: 1, readContext: 7 }), [
      { type: 'heartbeat-response', readContext: 7, promiseMs: 200 },
    ]);
    solo.node.forgetLeader();
    const deaf = (what: string) => {
      t.same(solo.step({ type: 'pre-vote', from: 'c', term: 2, ...upToDate }), [], what);
      t.same(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate }), [], what);
      solo.node.campaign();
      t.same(solo.drain(), [], what);
    };
    deaf('it forgot its leader');
    // A late answer to an earlier poll of its own brings a new term, and frees the vote.
    solo.step({ type: 'pre-vote-response', term: 2, reject: true });
    t.match(solo.status, { term: 2, leader: undefined });
    deaf('it is in a new term');
    solo.tick(PROMISE_TICKS - 1);
    deaf('the promise is not over');
    solo.tick(1);
    t.match(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate }), [{ reject: false }]);
  },
);

t.test(
  'lease: a member that starts keeps what the process before it may have promised',
  async (t) => {
    const solo = new Solo({ lease, electionTicks: 10 });
    t.same(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate }), []);
    solo.tick(PROMISE_TICKS);
    t.match(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate }), [{ reject: false }]);
    const alone = new Solo({ lease, electionTicks: 10, voters: ['a'] });
    alone.tick(1);
    t.equal(alone.status.role, 'leader', 'a group of one has promised nobody anything');
  },
);

t.test('lease: whom the leader told to take over needs not wait', async (t) => {
  const solo = follower();
  solo.step({ type: 'heartbeat', term: 1 });
  t.match(solo.step({ type: 'vote', from: 'c', term: 2, ...upToDate, transfer: true }), [
    { type: 'vote-response', reject: false },
  ]);
  const target = follower();
  target.step({ type: 'heartbeat', term: 1 });
  t.match(target.step({ type: 'timeout-now', term: 1 }), [{ type: 'vote' }, { type: 'vote' }]);
});

t.test('lease: a promise is no longer than the shortest election timeout', async (t) => {
  const make = (promiseMs: number) => () =>
    new Solo({ lease: { promiseMs, tickMs: 50 }, electionTicks: 5 });
  t.throws(make(201), RangeError);
  t.doesNotThrow(make(200));
  t.throws(make(0), RangeError);
});
