import fc from 'fast-check';
import t from 'tap';
import type { VoteResult } from '../../raft/quorum.ts';
import { committedIndex, majorityIndex, majorityVote, voteResult } from '../../raft/quorum.ts';
import { holds } from './support/holds.ts';

const RUNS = 5_000;
const nodes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const voterSet = fc.uniqueArray(fc.constantFrom(...nodes), { maxLength: 7 });
const acks = fc.dictionary(fc.constantFrom(...nodes), fc.nat(9));
const votes = fc.dictionary(fc.constantFrom(...nodes), fc.boolean());

/** The naive twin: tries every index from above and counts. */
function naiveIndex(voters: readonly string[], ackOf: (node: string) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  for (let index = 10; index > 0; index--) {
    const have = voters.filter((node) => ackOf(node) >= index).length;
    if (have * 2 > voters.length) return index;
  }
  return 0;
}

/** The naive twin: looks at every way the missing votes could go. */
function naiveVote(
  voters: readonly string[],
  voteOf: (node: string) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  const missing = voters.filter((node) => voteOf(node) === undefined);
  let canWin = false;
  let canLose = false;
  for (let mask = 0; mask < 1 << missing.length; mask++) {
    const granted = voters.filter((node) => {
      const at = missing.indexOf(node);
      return at < 0 ? voteOf(node) === true : (mask & (1 << at)) !== 0;
    });
    if (granted.length * 2 > voters.length) canWin = true;
    else canLose = true;
  }
  if (!canLose) return 'won';
  return canWin ? 'pending' : 'lost';
}

t.test('quorum: the index a majority has is what counting finds', async (t) => {
  holds(
    t,
    fc.property(voterSet, acks, (voters, given) => {
      const ackOf = (node: string): number => given[node] ?? 0;
      return majorityIndex(voters, ackOf) === naiveIndex(voters, ackOf);
    }),
    { numRuns: RUNS },
  );
});

t.test('quorum: a joint configuration commits only what both halves have', async (t) => {
  holds(
    t,
    fc.property(voterSet, voterSet, acks, (voters, votersOutgoing, given) => {
      const ackOf = (node: string): number => given[node] ?? 0;
      const both = Math.min(naiveIndex(voters, ackOf), naiveIndex(votersOutgoing, ackOf));
      const expected = both === Number.POSITIVE_INFINITY ? 0 : both;
      return committedIndex({ voters, votersOutgoing }, ackOf) === expected;
    }),
    { numRuns: RUNS },
  );
});

t.test('quorum: a poll is decided exactly when the missing votes cannot change it', async (t) => {
  holds(
    t,
    fc.property(voterSet, votes, (voters, given) => {
      const voteOf = (node: string): boolean | undefined => given[node];
      return majorityVote(voters, voteOf) === naiveVote(voters, voteOf);
    }),
    { numRuns: RUNS },
  );
});

t.test('quorum: a joint poll is won by both halves and lost by either', async (t) => {
  holds(
    t,
    fc.property(voterSet, voterSet, votes, (voters, votersOutgoing, given) => {
      const voteOf = (node: string): boolean | undefined => given[node];
      const halves = [naiveVote(voters, voteOf), naiveVote(votersOutgoing, voteOf)];
      const nobody = voters.length + votersOutgoing.length === 0;
      const result = voteResult({ voters, votersOutgoing }, voteOf);
      if (nobody || halves.includes('lost')) return result === 'lost';
      return result === (halves.includes('pending') ? 'pending' : 'won');
    }),
    { numRuns: RUNS },
  );
});

t.test('quorum: two majorities of one configuration share a member', async (t) => {
  holds(
    t,
    fc.property(voterSet, votes, (voters, given) => {
      const yes = majorityVote(voters, (node) => given[node] ?? false);
      const no = majorityVote(voters, (node) => !(given[node] ?? false));
      return voters.length === 0 || yes !== 'won' || no !== 'won';
    }),
    { numRuns: RUNS },
  );
});
