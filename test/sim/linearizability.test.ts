/** The judge of histories, on histories whose verdict is known. */

import t from 'tap';
import { seededRandom } from '../../src/lib/random.ts';
import { checkLinearizable } from './linearizability/checker.ts';
import type { Input, Operation, Output, Values } from './linearizability/operations.ts';
import { OperationLog } from './linearizability/operations.ts';

type Told = {
  readonly input: Input;
  readonly at: readonly [asked: number, answered: number];
  readonly output: Output | undefined;
  readonly follows?: Values;
};

const never = Number.POSITIVE_INFINITY;

function history(...told: readonly Told[]): Operation[] {
  return told.map(({ input, at: [asked, answered], output, follows }, client) => ({
    ...{ client: `c${client}`, group: 'g', input, asked, answered, output },
    ...(follows === undefined ? {} : { follows }),
  }));
}

const write = (at: Told['at'], values: Values, expect: Values = {}): Told => ({
  ...{ input: { kind: 'transact', expect, write: values }, at },
  output: at[1] === never ? undefined : { kind: 'committed' },
});
const conflict = (at: Told['at'], values: Values, expect: Values): Told => ({
  ...write(at, values, expect),
  output: { kind: 'conflict' },
});
const read = (at: Told['at'], values: Values): Told => ({
  ...{ input: { kind: 'read', keys: Object.keys(values) }, at },
  output: { kind: 'values', values },
});

const verdict = (...told: readonly Told[]) => checkLinearizable(history(...told)).kind;

t.test('linearizability: what one client does after another is seen', async (t) => {
  t.equal(
    verdict(read([0, 1], { a: null }), write([2, 3], { a: '1' }), read([4, 5], { a: '1' })),
    'linearizable',
  );
  t.equal(
    verdict(write([0, 1], { a: '1' }), read([2, 3], { a: null })),
    'violation',
    'a stale read',
  );
  t.equal(
    verdict(write([0, 1], { a: '1' }), write([2, 3], { a: null }), read([4, 5], { a: '1' })),
    'violation',
    'a deletion counts',
  );
  t.equal(verdict(read([0, 1], { a: '1' })), 'violation', 'a value that nobody wrote');
});

t.test('linearizability: what overlaps may be seen in either order, but in one', async (t) => {
  const writes = [write([0, 10], { a: '1' }), write([1, 11], { a: '2' })];
  t.equal(verdict(...writes, read([12, 13], { a: '1' })), 'linearizable');
  t.equal(verdict(...writes, read([12, 13], { a: '2' })), 'linearizable');
  t.equal(verdict(...writes, read([2, 3], { a: '2' }), read([4, 5], { a: '1' })), 'linearizable');
  t.equal(
    verdict(
      ...writes,
      read([2, 3], { a: '2' }),
      read([4, 5], { a: '1' }),
      read([12, 13], { a: '2' }),
    ),
    'violation',
    'it cannot change its mind',
  );
  t.equal(
    verdict(write([0, 10], { a: '1' }), read([1, 2], { a: '1' }), read([3, 4], { a: null })),
    'violation',
    'what one has seen, the next one sees',
  );
});

t.test('linearizability: what was never answered took effect once, or not at all', async (t) => {
  const lost = write([0, never], { a: '1' });
  t.equal(verdict(lost, read([2, 3], { a: null })), 'linearizable');
  t.equal(
    verdict(lost, read([2, 3], { a: null }), read([4, 5], { a: '1' })),
    'linearizable',
    'late',
  );
  t.equal(
    verdict(lost, read([2, 3], { a: '1' }), write([4, 5], { a: '2' }), read([6, 7], { a: '1' })),
    'violation',
    'twice',
  );
  t.equal(
    verdict(read([0, 1], { a: '1' }), write([2, never], { a: '1' })),
    'violation',
    'before it was asked',
  );
});

t.test('linearizability: transactions compare and set as one', async (t) => {
  const both = write([0, 1], { a: '1', b: '1' });
  t.equal(verdict(both, read([2, 3], { a: '1', b: '1' })), 'linearizable');
  t.equal(verdict(both, read([2, 3], { a: '1', b: null })), 'violation', 'half of it');
  const first = write([2, 10], { a: '2' }, { a: '1' });
  const second = write([3, 11], { a: '3' }, { a: '1' });
  t.equal(
    verdict(both, first, second),
    'violation',
    'two cannot both find what the first replaced',
  );
  t.equal(verdict(both, first, conflict([3, 11], { a: '3' }, { a: '1' })), 'linearizable');
  t.equal(
    verdict(both, conflict([2, 3], { a: '2' }, { a: '1' })),
    'violation',
    'a conflict without a cause',
  );
  t.equal(
    verdict(write([0, 1], { a: '1' }, { b: null }), conflict([2, 3], { b: '1' }, { a: null })),
    'linearizable',
    'on another key',
  );
});

t.test('linearizability: what a watch shows is evidence', async (t) => {
  const log = new OperationLog();
  const ask = (client: string, values: Values) =>
    log.ask(client, 'g', { kind: 'transact', expect: {}, write: values });
  const seen = ask('c1', { a: '1' });
  log.witness('1', 'a', null);
  t.equal(seen.output?.kind, 'committed', 'a write that was shown has taken effect');
  const reading = log.ask('c2', 'g', { kind: 'read', keys: ['a'] });
  log.answer(reading, { kind: 'values', values: { a: null } });
  t.equal(checkLinearizable(log.operations).kind, 'violation', 'so nobody may miss it afterwards');

  const order = [write([0, 10], { a: '1' }), write([1, 11], { a: '2' })];
  const after = read([12, 13], { a: '2' });
  const follows = (told: Told, values: Values): Told => ({ ...told, follows: values });
  const [one, two] = order as [Told, Told];
  t.equal(verdict(one, follows(two, { a: '1' }), after), 'linearizable');
  t.equal(
    verdict(follows(one, { a: '2' }), two, after),
    'violation',
    'the watch saw another order',
  );
  t.equal(
    verdict(one, follows(two, { a: null }), after),
    'violation',
    'the watch missed a version',
  );
  t.equal(
    verdict(follows(conflict([0, 1], { a: '1' }, { a: '9' }), { a: null })),
    'violation',
    'shown, and denied',
  );
});

t.test('linearizability: groups are judged one by one', async (t) => {
  const good = history(write([0, 1], { a: '1' }), read([2, 3], { a: '1' }));
  const bad = history(read([0, 1], { a: '1' })).map((operation) => ({ ...operation, group: 'h' }));
  t.match(checkLinearizable([...good, ...bad]), { kind: 'violation', group: 'h' });
});

t.test('linearizability: a search that takes too long is given up, and says so', async (t) => {
  const writes = Array.from({ length: 12 }, (_, n) => write([n, 100 + n], { a: `${n}` }));
  const operations = history(...writes, read([200, 201], { a: 'nobody' }));
  t.equal(checkLinearizable(operations, { stepsMax: 100 }).kind, 'undecided');
  t.equal(checkLinearizable(operations).kind, 'violation');
});

/** Clients of one copy, each operation taking effect somewhere between question and answer; some answers get lost. */
function trueHistory(seed: number, clients: number, each: number, lost = 0.15): Operation[] {
  const random = seededRandom(seed);
  const state: Record<string, string | null> = { a: null, b: null };
  const log = new OperationLog();
  type Step = { readonly run: () => void };
  const lanes: Step[][] = Array.from({ length: clients }, (_, client) =>
    Array.from({ length: each }, (_, n) => {
      const key = random.pick(['a', 'b']);
      const kind = random.pick(['read', 'write', 'swap'] as const);
      const loses = random.chance(lost);
      let operation: Operation;
      let output: Output;
      const expect = random.chance(0.5) ? { a: null } : {};
      return [
        () => {
          operation = log.ask(
            `c${client}`,
            'g',
            kind === 'read'
              ? { kind, keys: ['a', 'b'] }
              : {
                  kind: 'transact',
                  expect: kind === 'swap' ? expect : {},
                  write: { [key]: `${client}.${n}` },
                },
          );
        },
        () => {
          const { input } = operation;
          if (input.kind === 'read') output = { kind: 'values', values: { ...state } };
          else {
            const agrees = Object.entries(input.expect).every(
              ([name, value]) => state[name] === value,
            );
            output = agrees ? { kind: 'committed' } : { kind: 'conflict' };
            if (agrees) Object.assign(state, input.write);
          }
        },
        () => {
          if (!loses) log.answer(operation, output);
        },
      ].map((run) => ({ run }));
    }).flat(),
  );
  for (let left = lanes.filter((lane) => lane.length > 0); left.length > 0; ) {
    random.pick(left).shift()?.run();
    left = lanes.filter((lane) => lane.length > 0);
  }
  return [...log.operations];
}

t.test(
  'linearizability: histories of one copy are linearizable, however they overlap',
  async (t) => {
    for (let seed = 1; seed <= 150; seed++) {
      const { kind } = checkLinearizable(trueHistory(seed, 5, 20));
      if (kind !== 'linearizable') t.fail(`seed ${seed}: ${kind}`);
    }
    t.equal(checkLinearizable(trueHistory(7, 8, 200)).kind, 'linearizable', '1600 operations');
  },
);

t.test('linearizability: one wrong answer among hundreds is found', async (t) => {
  let found = 0;
  let wrong = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const operations = trueHistory(seed, 4, 40, 0.02);
    const reads = operations.filter(({ output }) => output?.kind === 'values');
    const victim = reads[reads.length >> 1];
    if (victim?.output?.kind !== 'values') continue;
    const { a = null, b = null } = victim.output.values;
    victim.output = { kind: 'values', values: { a: b, b: a } };
    if (a === b) continue;
    wrong++;
    if (checkLinearizable(operations).kind === 'violation') found++;
  }
  t.ok(wrong > 20);
  t.equal(found, wrong);
});
