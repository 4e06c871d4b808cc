import fc from 'fast-check';
import t from 'tap';
import { changeConfig, emptyConfState } from '../../raft/config-change.ts';
import { majorityOf } from '../../raft/quorum.ts';
import { asIndex, asTerm } from '../../raft/types.ts';
import { Autopilot } from '../../src/consensus/autopilot.ts';
import {
  decideMembership,
  type MembershipView,
  removalFault,
  votersTarget,
} from '../../src/consensus/membership.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { bytes, Cluster } from '../raft/support/cluster.ts';
import { holds } from '../raft/support/holds.ts';

const limits = { votersMax: 5, promotionStableMs: 1000, voterGoneMs: 60_000 };

/** `Stale` members are gone as well. */
type Health = 'ready' | 'lagging' | 'silent' | 'gone' | 'stale';
const HEALTH: Record<Health, { healthyMs: number; silentMs: number; stale: boolean }> = {
  ready: { healthyMs: 5_000, silentMs: 300, stale: false },
  lagging: { healthyMs: 0, silentMs: 300, stale: false },
  silent: { healthyMs: 0, silentMs: 10_000, stale: false },
  gone: { healthyMs: 0, silentMs: 90_000, stale: false },
  stale: { healthyMs: 0, silentMs: 90_000, stale: true },
};

/**
 * `view('abc', 'de', {b: 'silent'}, 'xxy')`: voters, learners; `a` leads; who is not named is ready; zones in the
 * order of voters and learners, `-` for none.
 */
function view(
  voters: string,
  learners = '',
  health: Record<string, Health> = {},
  zones = '',
): MembershipView {
  const members = [...voters, ...learners].map((node, at) => ({
    node,
    zone: [undefined, '-'].includes(zones[at]) ? undefined : zones[at],
    ...HEALTH[health[node] ?? 'ready'],
  }));
  const confState = { ...emptyConfState, voters: [...voters], learners: [...learners] };
  return { self: 'a', confState, members };
}

const steps = (of: MembershipView, votersMax = 5) =>
  (decideMembership(of, { ...limits, votersMax })?.steps ?? []).map(
    ({ kind, node }) => `${kind} ${node}`,
  );

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

t.test('membership: a learner has to have kept up for a second, and to be there', async (t) => {
  const after = (healthyMs: number, silentMs = 300) => {
    const { members, ...rest } = view('ab', 'c');
    const c = { node: 'c', zone: undefined, stale: false, healthyMs, silentMs };
    return steps({ ...rest, members: [...members.slice(0, 2), c] });
  };
  t.strictSame(after(999), []);
  t.strictSame(after(1000), ['add-voter c']);
  t.strictSame(after(5000, 2000), []);
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
    t.strictSame(steps(view('abcd', '', { b: 'silent', c: 'gone' })), ['add-learner c']);
    const lonely = view('abcd', '', { b: 'silent', c: 'gone', d: 'silent' });
    t.strictSame(steps(lonely), [], 'nobody can be spared');
    t.strictSame(steps(view('abcde', ''), 3), ['add-learner e']);
  },
);

t.test('membership: a voter gone for long steps back, and then its stand-in votes', async (t) => {
  t.strictSame(steps(view('abc', 'd', { c: 'silent' })), []);
  t.strictSame(steps(view('abc', 'd', { c: 'gone' })), ['add-learner c']);
  t.strictSame(steps(view('ab', 'cd', { c: 'gone' })), ['add-voter d']);
  t.strictSame(steps(view('abc', 'd', { c: 'gone', d: 'lagging' })), [], 'nobody takes the vote');
  t.strictSame(steps(view('abc', '', { c: 'gone' })), []);
});

t.test(
  'membership: who the cluster does not know goes first, learners before voters',
  async (t) => {
    t.strictSame(steps(view('abcde', 'fg', { c: 'stale', d: 'gone', g: 'stale' })), ['remove g']);
    t.strictSame(steps(view('abcde', 'f', { c: 'stale', b: 'gone' })), ['remove c']);
    t.strictSame(steps(view('abde', 'f', { b: 'gone' })), ['add-learner b']);
    t.strictSame(steps(view('abc', '', { b: 'stale', c: 'silent' })), [], 'the rest cannot go on');
  },
);

t.test('membership: learners that never come hold up nobody', async (t) => {
  t.strictSame(steps(view('a', 'bcd', { b: 'gone' })), ['add-voter c', 'add-voter d']);
  t.strictSame(steps(view('a', 'bcd', { b: 'silent', c: 'lagging' })), []);
  t.strictSame(
    steps(view('ab', 'c', { c: 'gone' })),
    ['add-learner b'],
    'two voters do not wait for a third that is gone',
  );
});

t.test('membership: votes are spread over zones', async (t) => {
  t.strictSame(steps(view('a', 'bcd', {}, 'xxyz')), ['add-voter c', 'add-voter d']);
  t.strictSame(steps(view('a', 'bcd', {}, 'xxyy')), ['add-voter c', 'add-voter b']);
  t.strictSame(steps(view('abc', 'd', {}, 'xxxy')), ['add-voter d'], 'all votes are in x');
  t.strictSame(steps(view('abcd', '', {}, 'xxxy')), ['add-learner c'], 'and then one steps back');
  t.strictSame(steps(view('abd', 'c', {}, 'xxyx')), [], 'two and one is as good as it gets');
  t.strictSame(
    steps(view('abc', 'd', { b: 'silent' }, 'xxxy')),
    [],
    'not while somebody is silent',
  );
  t.strictSame(steps(view('abc', 'd', { d: 'lagging' }, 'xxxy')), []);
  t.strictSame(steps(view('abc', 'd')), [], 'without zones everybody fails alone');
  t.strictSame(steps(view('abcd', 'e', { b: 'silent' }, 'xyxxx')), ['add-voter e']);
});

/** Members of random health, of which the first few vote and `a` leads. */
const worlds = fc
  .record({
    voters: fc.integer({ min: 1, max: 6 }),
    learners: fc.integer({ min: 0, max: 5 }),
    healths: fc.array(fc.constantFrom(...(Object.keys(HEALTH) as Health[])), {
      minLength: 11,
      maxLength: 11,
    }),
    zones: fc.array(fc.constantFrom('x', 'y', 'z', '-'), { minLength: 11, maxLength: 11 }),
    votersMax: fc.constantFrom(1, 3, 5),
  })
  .map(({ voters, learners, healths, zones, votersMax }) => {
    const ids = 'abcdefghijk'.slice(0, voters + learners);
    const health = Object.fromEntries([...ids].map((id, at) => [id, healths[at] ?? 'ready']));
    const of = view(
      ids.slice(0, voters),
      ids.slice(voters),
      { ...health, a: 'ready' },
      zones.join(''),
    );
    return { of, votersMax };
  });

const present = (of: MembershipView, voters: readonly string[]) =>
  of.members.filter(({ node, silentMs }) => voters.includes(node) && silentMs < 2_000).length;
const carries = (of: MembershipView, voters: readonly string[]) =>
  present(of, voters) >= majorityOf(voters.length);

t.test('membership: no decision breaks a rule, and they come to an end', async (t) => {
  holds(
    t,
    fc.property(worlds, ({ of, votersMax }) => {
      let now = of;
      for (let round = 0; ; round++) {
        const decision = decideMembership(now, { ...limits, votersMax });
        if (decision === undefined) return true;
        if (round > 30) throw new Error('it never ends');
        const kinds = new Set(decision.steps.map(({ kind }) => kind));
        if (kinds.size !== 1) throw new Error('one kind of step at a time');
        const outcome = changeConfig(now.confState, { ...decision, context: new Uint8Array() });
        if (outcome.kind === 'refused') throw new Error(outcome.reason);
        let after = outcome.confState;
        // From one voter on, two are added: through a joint configuration, which both halves carry.
        if (after.votersOutgoing.length > 0) {
          if (!carries(now, after.votersOutgoing)) throw new Error('the old half is out of reach');
          const left = changeConfig(after, { steps: [], context: new Uint8Array() });
          if (left.kind === 'refused') throw new Error(left.reason);
          after = left.confState;
        }
        const { voters } = after;
        if (!voters.includes('a')) throw new Error('the leader votes on');
        const votes = now.confState.voters;
        if (decision.steps[0]?.node !== undefined && voters.join() !== votes.join()) {
          if (!carries(now, voters)) throw new Error(`${voters} is out of reach`);
        }
        // How many more may be lost. Only an even number, which is no better than one less, may give way.
        const spare = (ids: readonly string[]) => present(now, ids) - majorityOf(ids.length);
        if (votes.length > 2 && votersMax >= votes.length && spare(voters) < spare(votes)) {
          throw new Error(`${votes} can bear more losses than ${voters}`);
        }
        now = { ...now, confState: after };
      }
    }),
    { numRuns: 3_000 },
  );
});

t.test('autopilot: on an idle group a learner that is gone is not promoted', async (t) => {
  const clock = new VirtualClock();
  const cluster = new Cluster(['a', 'b', 'c', 'd'], { electionTicks: 8, heartbeatTicks: 2 });
  const { node } = cluster.elect('a');
  const learn = (id: string) => {
    const steps = [{ kind: 'add-learner' as const, node: id }];
    node.proposeConfChange({ steps, context: new Uint8Array() });
    cluster.settle();
  };
  learn('d');
  learn('c');
  node.proposeConfChange({ steps: [{ kind: 'add-learner', node: 'b' }], context: bytes('') });
  cluster.settle();
  const autopilot = new Autopilot(clock, silentLogger, { promotionStableMs: 5_000 });
  const zones = new Map(
    [
      ['a', 'x'],
      ['b', 'x'],
      ['c', 'y'],
      ['d', 'z'],
    ].map(([id, zone]) => [id ?? '', { zone }]),
  );
  const run = (ms: number, pilot = autopilot) => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(50);
      cluster.tick(1);
      if (left % 500 === 0) pilot.observe(node.status());
    }
    return pilot.observe(node.status()).map((step) => `${step.kind} ${step.node}`);
  };
  t.strictSame(run(4_000), [], 'not yet for long enough');
  cluster.isolate('b');
  t.strictSame(run(4_000), ['add-voter c', 'add-voter d']);
  cluster.heal();
  const zoned = new Autopilot(clock, silentLogger, { votersMax: 3, directory: () => zones });
  t.strictSame(run(3_000, zoned), ['add-voter c', 'add-voter d'], 'and not b, in the zone of a');
});

t.test('membership: a new leader takes nobody for present who has not answered it', async (t) => {
  const confState = { ...emptyConfState, voters: ['a', 'b', 'c'] };
  // As the core shows it right after an election: everybody has credit, and only c has answered.
  const progress = ['a', 'b', 'c'].map((node) => ({
    ...{ node, state: 'replicate' as const, next: asIndex(9), inflight: 0, learner: false },
    ...{ match: asIndex(node === 'b' ? 0 : 8), recentlyActive: true },
  }));
  const status = {
    ...{
      id: 'a',
      role: 'leader' as const,
      term: asTerm(2),
      leader: 'a',
      transferTarget: undefined,
    },
    ...{ commit: asIndex(8), applied: asIndex(8), lastIndex: asIndex(8), firstIndex: asIndex(1) },
    ...{ confState, progress },
  };
  const pilot = new Autopilot(new VirtualClock(), silentLogger, { votersMax: 1 });
  t.match(pilot.observe(status), [{ kind: 'add-learner', node: 'b' }], 'not c, who may be needed');
  const alone = progress.map((peer) => ({ ...peer, match: asIndex(peer.node === 'a' ? 8 : 0) }));
  pilot.reset();
  t.strictSame(pilot.observe({ ...status, progress: alone }), [], 'and nothing that needs them');
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
