import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  brokenConfigLaw,
  changeConfig,
  foundingConfState,
  membersOf,
  rememberingContext,
  removedMax,
} from '../../raft/config-change.ts';
import { decodeConfChange, encodeConfChange } from '../../raft/raw-node.ts';
import type { ConfChangeStep, ConfState } from '../../raft/types.ts';
import { holds } from './support/holds.ts';

const nodes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const step: fc.Arbitrary<ConfChangeStep> = fc.record({
  kind: fc.constantFrom('add-voter', 'add-learner', 'remove'),
  node: fc.constantFrom(...nodes),
});
const steps = fc.array(step, { maxLength: 5 });
const history = fc.array(steps, { maxLength: 8 });
const context = new Uint8Array();

/** The naive twin: what each node is after the steps, one after the other. */
function naiveRoles(confState: ConfState, change: readonly ConfChangeStep[]): Map<string, string> {
  const roles = new Map<string, string>();
  for (const node of confState.learners) roles.set(node, 'learner');
  for (const node of confState.voters) roles.set(node, 'voter');
  for (const { kind, node } of change) {
    if (kind === 'remove') roles.delete(node);
    else roles.set(node, kind === 'add-voter' ? 'voter' : 'learner');
  }
  return roles;
}

function rolesOf(confState: ConfState): Map<string, string> {
  return naiveRoles(confState, []);
}

/** Replays changes, leaving each joint state at once; calls `visit` with every configuration. */
function replay(
  changes: readonly (readonly ConfChangeStep[])[],
  visit: (before: ConfState, steps: readonly ConfChangeStep[], after: ConfState) => void,
): void {
  let current = foundingConfState(['a', 'b', 'c']);
  for (const change of changes) {
    const outcome = changeConfig(current, { steps: change, context });
    if (outcome.kind === 'refused') continue;
    visit(current, change, outcome.confState);
    current = outcome.confState;
    if (current.votersOutgoing.length === 0) continue;
    const left = changeConfig(current, { steps: [], context });
    if (left.kind === 'refused') throw new Error(left.reason);
    visit(current, [], left.confState);
    current = left.confState;
  }
}

/** The naive twin of a whole change: what everybody is afterwards, undefined if it is refused. */
function naiveChange(before: ConfState, change: readonly ConfChangeStep[]): ConfState | undefined {
  const joint = before.votersOutgoing.length > 0;
  const ids = (roles: Map<string, string>, role: string) =>
    [...roles].flatMap(([node, is]) => (is === role ? [node] : [])).sort();
  const roles = rolesOf(before);
  if (joint) for (const node of before.learnersNext) roles.set(node, 'learner');
  if (joint !== (change.length === 0)) return undefined;
  const banned = before.removed ?? [];
  if (change.some(({ kind, node }) => kind !== 'remove' && banned.includes(node))) return undefined;
  const after = naiveRoles({ ...before, learners: ids(roles, 'learner') }, change);
  const voters = ids(after, 'voter');
  if (voters.length === 0) return undefined;
  const enters = change.length > 1;
  const learners = ids(after, 'learner');
  const stillVoting = enters ? before.voters : [];
  const known = new Set([...after.keys(), ...stillVoting]);
  const gone = [...membersOf(before)].filter((node) => !known.has(node)).sort();
  const removed = [...banned, ...gone];
  return {
    voters,
    votersOutgoing: stillVoting,
    learners: learners.filter((node) => !stillVoting.includes(node)),
    learnersNext: learners.filter((node) => stillVoting.includes(node)),
    autoLeave: enters,
    ...(before.removed === undefined ? {} : { removed }),
  };
}

t.test('config change: every change comes out as counting node by node has it', async (t) => {
  holds(
    t,
    fc.property(history, fc.boolean(), (changes, remembering) => {
      const { removed, ...first } = foundingConfState(['a', 'b', 'c']);
      let current: ConfState = remembering ? { ...first, removed: removed ?? [] } : first;
      // Each change is tried as it is, and then the joint state it may have led to is left.
      for (const change of changes.flatMap((one) => [one, []])) {
        const outcome = changeConfig(current, { steps: change, context });
        const expected = naiveChange(current, change);
        if (outcome.kind === 'refused') assert.equal(expected, undefined, outcome.reason);
        else assert.deepEqual(outcome.confState, expected);
        if (outcome.kind === 'changed') current = outcome.confState;
      }
    }),
    { numRuns: 4_000 },
  );
});

t.test('config change: who was removed never comes back, however often it is tried', async (t) => {
  holds(
    t,
    fc.property(history, (changes) => {
      const gone = new Set<string>();
      replay(changes, (before, _, after) => {
        for (const node of membersOf(after)) assert.ok(!gone.has(node), node);
        for (const node of membersOf(before)) if (!membersOf(after).has(node)) gone.add(node);
        assert.deepEqual(new Set(after.removed), gone);
      });
    }),
    { numRuns: 1_000 },
  );
});

t.test(
  'config change: a group remembers whom it removed from the change on that says so',
  async (t) => {
    const { removed: _, ...before } = foundingConfState(['a', 'b', 'c']);
    const apply = (current: ConfState, changed: ConfChangeStep, told = context) => {
      const outcome = changeConfig(current, { steps: [changed], context: told });
      return outcome.kind === 'changed' ? outcome.confState : current;
    };
    const forgetful = apply(before, { kind: 'remove', node: 'c' });
    t.equal(forgetful.removed, undefined);
    const told = apply(forgetful, { kind: 'remove', node: 'b' }, rememberingContext);
    t.strictSame(told.removed, ['b'], 'not who was removed before');
    const later = apply(told, { kind: 'add-voter', node: 'c' });
    t.strictSame(later.removed, ['b'], 'also by changes that do not say so');
    t.strictSame(apply(later, { kind: 'add-voter', node: 'b' }), later);
  },
);

t.test('config change: nobody is removed who could not be remembered', async (t) => {
  const removed = Array.from({ length: removedMax - 1 }, (_, at) => `former-${at}`);
  const full = { ...foundingConfState(['a', 'b', 'c']), removed };
  const remove = (...ids: string[]) =>
    changeConfig(full, { steps: ids.map((node) => ({ kind: 'remove', node })), context });
  t.match(remove('b'), { kind: 'changed' });
  t.match(remove('b', 'c'), { kind: 'refused', reason: /cannot remember more/ });
});

t.test('config change: every configuration keeps the laws', async (t) => {
  holds(
    t,
    fc.property(history, (changes) => {
      replay(changes, (_, __, after) => {
        const law = brokenConfigLaw(after);
        if (law !== undefined) throw new Error(law);
        if (after.voters.length === 0) throw new Error('no voter is left');
      });
    }),
    { numRuns: 2_000 },
  );
});

t.test('config change: through a joint state or not, the steps mean the same', async (t) => {
  holds(
    t,
    fc.property(steps, steps, (first, second) => {
      let expected = rolesOf(foundingConfState(['a', 'b', 'c']));
      replay([first, second], (before, change, after) => {
        if (before.votersOutgoing.length === 0) expected = naiveRoles(before, change);
        if (after.votersOutgoing.length > 0) return;
        assert.deepEqual([...rolesOf(after)].sort(), [...expected].sort());
      });
    }),
    { numRuns: 2_000 },
  );
});

t.test('config change: majorities before and after one change share a member', async (t) => {
  // Exhaustive over the subsets that decide: a joint state asks both halves, so it decides only with
  // a majority of each.
  const subsets = Array.from({ length: 1 << nodes.length }, (_, mask) =>
    nodes.filter((_, at) => (mask & (1 << at)) !== 0),
  );
  const decides = (confState: ConfState, set: readonly string[]): boolean =>
    [confState.voters, confState.votersOutgoing].every(
      (half) =>
        half.length === 0 || half.filter((node) => set.includes(node)).length * 2 > half.length,
    );
  holds(
    t,
    fc.property(history, (changes) => {
      replay(changes, (before, _, after) => {
        for (const set of subsets) {
          const others = nodes.filter((node) => !set.includes(node));
          if (decides(before, set) && decides(after, others))
            throw new Error(`${set} decides before, ${others} after`);
        }
      });
    }),
    { numRuns: 50 },
  );
});

t.test('config change: what cannot be is refused, with a reason', async (t) => {
  const one = foundingConfState(['a']);
  const refuse = (confState: ConfState, ...changes: ConfChangeStep[]): string => {
    const outcome = changeConfig(confState, { steps: changes, context });
    return outcome.kind === 'refused' ? outcome.reason : '';
  };
  t.match(refuse(one, { kind: 'remove', node: 'a' }), 'at least one voter');
  t.match(refuse(one, { kind: 'add-learner', node: 'a' }), 'at least one voter');
  t.match(refuse(one), 'no joint configuration');
  const joint: ConfState = { ...one, votersOutgoing: ['b'], autoLeave: true };
  t.match(refuse(joint, { kind: 'add-voter', node: 'c' }), 'left first');
});

t.test('config change: a demoted voter votes until the joint state is left', async (t) => {
  const outcome = changeConfig(foundingConfState(['a', 'b', 'c']), {
    steps: [
      { kind: 'add-learner', node: 'c' },
      { kind: 'add-voter', node: 'd' },
    ],
    context,
  });
  t.match(outcome, {
    kind: 'changed',
    confState: {
      voters: ['a', 'b', 'd'],
      votersOutgoing: ['a', 'b', 'c'],
      learners: [],
      learnersNext: ['c'],
      autoLeave: true,
    },
  });
  if (outcome.kind !== 'changed') return;
  t.same([...membersOf(outcome.confState)].sort(), ['a', 'b', 'c', 'd']);
});

t.test('config change: bytes carry a change unharmed', async (t) => {
  const kind = fc.constantFrom('add-voter' as const, 'add-learner' as const, 'remove' as const);
  const plain = { noNullPrototype: true };
  const oneStep = fc.record({ kind, node: fc.string({ unit: 'grapheme' }) }, plain);
  const change = fc.record(
    { steps: fc.array(oneStep, { maxLength: 4 }), context: fc.uint8Array({ maxLength: 20 }) },
    plain,
  );
  holds(
    t,
    fc.property(change, (original) => {
      assert.deepEqual(decodeConfChange(encodeConfChange(original)), original);
    }),
    { numRuns: 100 },
  );
  t.throws(() => decodeConfChange(new Uint8Array([9, 0, 0])), RangeError);
  t.throws(() => decodeConfChange(new Uint8Array([1, 0, 1, 0, 0, 9])), RangeError);
});
