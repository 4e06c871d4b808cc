import t from 'tap';
import { Availability } from '../../src/chaos/availability.ts';
import { Harm } from '../../src/chaos/harm.ts';
import { Leaders } from '../../src/chaos/leaders.ts';
import { describeVerdict, LAWS, type Law, passed, type Verdict } from '../../src/chaos/verdict.ts';

const operations = {
  writes: 10,
  reads: 9,
  conflicts: 1,
  refused: 2,
  unknown: 3,
  unreached: 4,
  events: 10,
  watches: 2,
};
const none = Object.fromEntries(
  Object.keys(LAWS).map((law) => [law, []]),
) as unknown as Verdict['violations'];
const GOOD: Verdict = {
  seed: 7,
  durationMs: 60_000,
  operations,
  steps: [
    { kinds: ['kill'], pauseMs: 100, recoveryMs: 900 },
    { kinds: ['kill', 'clock'], pauseMs: 300, recoveryMs: 1_000 },
  ],
  terms: 3,
  containers: 5,
  churn: { scaled: 1, rolled: 1, deleted: 1 },
  longestPauseMs: 300,
  violations: none,
};

t.test('chaos: a run passes if no law was broken', async (t) => {
  t.ok(passed(GOOD));
  const lines = describeVerdict(GOOD).join('\n');
  t.match(lines, /kill +2 +0\.30 s, +0\.30 s +1\.00 s/, 'a line for each kind of fault');
  t.match(lines, /ok {3}lost writes: 0/);
  t.notMatch(lines, /FAIL/);
});

t.test('chaos: a run fails by any law, and the verdict shows what broke it', async (t) => {
  for (const law of Object.keys(LAWS) as Law[]) {
    const broken = Array.from({ length: 12 }, (_, at) => `violation ${at}`);
    const verdict = { ...GOOD, violations: { ...none, [law]: broken } };
    t.notOk(passed(verdict), law);
    const lines = describeVerdict(verdict).join('\n');
    t.match(lines, `FAIL ${LAWS[law]}: 12`);
    t.match(lines, /violation 9\n {7}and 2 more/);
  }
});

t.test('chaos: the longest pause of writes is that which overlaps with the fault', async (t) => {
  const availability = new Availability(0);
  for (const atMs of [50, 120, 1_000, 1_010, 4_000]) availability.acknowledged(atMs);
  t.equal(availability.longest(0, 4_000), 2_990);
  t.equal(availability.longest(0, 100), 0, 'a gap below the pace of clients is none');
  t.equal(availability.longest(200, 900), 880, 'also when the fault is shorter than the pause');
  t.equal(availability.longest(4_000, 9_000), 5_000, 'a pause that goes on counts as well');
});

t.test('chaos: a term with two leaders is found, one that is seen twice is none', async (t) => {
  const leaders = new Leaders();
  leaders.claim(1, 'node1');
  leaders.claim(1, 'node1');
  leaders.claim(2, 'node2');
  t.strictSame([leaders.terms, leaders.duplicates], [2, []]);
  const log = t.testdir({
    'skein.log': [
      '{"level":"info","node":"node3","kind":"gained","term":2,"msg":"leadership gained"}',
      '{"level":"info","node":"node3","kind":"lost","term":2,"msg":"leadership lost"}',
      'no JSON at all',
    ].join('\n'),
  });
  await leaders.readLog(`${log}/skein.log`);
  t.strictSame(leaders.duplicates, ['term 2 was led by node2 and node3']);
});

t.test('chaos: a host owes no answer while it is harmed, nor shortly after', async (t) => {
  const harm = new Harm();
  const before = performance.now();
  t.notOk(harm.excused('node1', before));
  const over = harm.begin(['node1']);
  t.ok(harm.excused('node1', before));
  t.notOk(harm.excused('node2', before));
  over();
  t.ok(harm.excused('node1', before), 'what began before the end of the fault is excused');
  t.notOk(harm.excused('node1', performance.now() + 60_000));
});
