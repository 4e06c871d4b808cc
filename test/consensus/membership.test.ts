import t from 'tap';
import {
  decideMembership,
  type MembershipView,
  removalFault,
  votersTarget,
} from '../../src/consensus/membership.ts';

const options = {
  votersMax: 5,
  promotionLagMax: 500,
  promotionStableMs: 1000,
  voterGoneMs: 60_000,
};

type Health = 'ready' | 'lagging' | 'unheard' | 'silent' | 'gone';
const HEALTH: Record<Health, { healthyMs: number; silentMs: number; heard: boolean }> = {
  ready: { healthyMs: 5_000, silentMs: 300, heard: true },
  lagging: { healthyMs: 0, silentMs: 300, heard: true },
  unheard: { healthyMs: 0, silentMs: 300, heard: false },
  silent: { healthyMs: 0, silentMs: 10_000, heard: true },
  gone: { healthyMs: 0, silentMs: 90_000, heard: true },
};

/** `view('abc', 'de', {b: 'silent'})`: voters, learners; `a` leads; who is not named is ready. */
function view(voters: string, learners = '', health: Record<string, Health> = {}): MembershipView {
  const others = [...voters.slice(1), ...learners].map((node) => ({
    node,
    ...HEALTH[health[node] ?? 'ready'],
  }));
  const confState = {
    voters: [...voters],
    learners: [...learners],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
  return { self: 'a', confState, others };
}

const steps = (of: MembershipView, votersMax = 5) =>
  decideMembership(of, { ...options, votersMax }).map(({ kind, node }) => `${kind} ${node}`);

t.test('membership: the number of voters is odd and follows the members', async (t) => {
  const targets = [1, 2, 3, 4, 5, 6, 100].map((members) => votersTarget(members, 5));
  t.strictSame(targets, [1, 1, 3, 3, 5, 5, 5]);
  t.strictSame([votersTarget(9, 3), votersTarget(9, 1)], [3, 1]);
});

t.test('membership: learners become voters in pairs, when both have caught up', async (t) => {
  t.strictSame(steps(view('a', 'b')), []);
  t.strictSame(steps(view('a', 'bc')), ['add-voter b', 'add-voter c']);
  t.strictSame(steps(view('a', 'bc', { c: 'lagging' })), []);
  t.strictSame(steps(view('a', 'bcd', { c: 'silent' })), ['add-voter b', 'add-voter d']);
  t.strictSame(steps(view('abc', 'd')), []);
  t.strictSame(steps(view('abc', 'de')), ['add-voter d', 'add-voter e']);
  t.strictSame(steps(view('abc', 'de'), 3), []);
});

t.test('membership: one more voter makes an even number odd', async (t) => {
  t.strictSame(steps(view('ab', 'c')), ['add-voter c']);
  t.strictSame(steps(view('abcd', 'ef')), ['add-voter e']);
});

t.test(
  'membership: a surplus voter steps back, the silent one first, never the leader',
  async (t) => {
    t.strictSame(steps(view('ab')), ['add-learner b']);
    t.strictSame(steps(view('abcd')), ['add-learner d']);
    t.strictSame(steps(view('abcd', '', { b: 'silent' })), ['add-learner b']);
    t.strictSame(steps(view('abcde', ''), 3), ['add-learner e']);
  },
);

t.test('membership: a new leader does not take a voter it has not heard for present', async (t) => {
  t.strictSame(steps(view('abc', '', { b: 'unheard' }), 1), ['add-learner b']);
  t.strictSame(steps(view('abcde', '', { b: 'unheard', c: 'unheard' }), 3), ['add-learner b']);
  t.strictSame(steps(view('ab', '', { b: 'unheard' })), ['add-learner b']);
});

t.test('membership: no change leaves a majority that is not here', async (t) => {
  t.strictSame(steps(view('abc', '', { b: 'unheard', c: 'unheard' }), 1), []);
  t.strictSame(steps(view('abcde', '', { b: 'silent', c: 'silent', d: 'silent' }), 3), []);
  t.strictSame(steps(view('abc', 'de', { b: 'silent', c: 'silent' })), [
    'add-voter d',
    'add-voter e',
  ]);
});

t.test('membership: a voter gone for long is replaced by a learner that is there', async (t) => {
  t.strictSame(steps(view('abc', 'd', { c: 'silent' })), []);
  t.strictSame(steps(view('abc', 'd', { c: 'gone' })), ['add-voter d', 'add-learner c']);
  t.strictSame(steps(view('abc', 'd', { c: 'gone', d: 'lagging' })), []);
  t.strictSame(steps(view('abc', '', { c: 'gone' })), []);
});

t.test('membership: nothing is begun while a change is under way', async (t) => {
  const joint = view('a', 'bc');
  t.strictSame(
    steps({ ...joint, confState: { ...joint.confState, votersOutgoing: ['a', 'd'] } }),
    [],
  );
});

t.test('membership: a removal must leave a majority that answers', async (t) => {
  const fault = (voters: string, learners: string, node: string, answering: string) =>
    removalFault(
      { id: 'a', confState: view(voters, learners).confState },
      node,
      new Set(answering),
    );
  t.equal(fault('abc', '', 'c', 'b'), undefined);
  t.match(fault('abc', '', 'c', ''), /only 1 of the remaining 2/);
  t.equal(fault('abc', '', 'b', 'c'), undefined, 'the silent one may go');
  t.equal(fault('abcde', '', 'c', 'de'), undefined);
  t.match(fault('abcde', '', 'c', 'b'), /only 2 of the remaining 4 .* and 3 are needed/);
  t.match(fault('a', 'b', 'a', 'b'), /only voter/);
  t.equal(fault('a', 'b', 'b', ''), undefined, 'a learner may always go');
});
