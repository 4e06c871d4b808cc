import t from 'tap';
import { checkHistory } from '../../src/chaos/check-history.ts';
import type { Operation } from '../../src/chaos/history.ts';
import { trueHistory } from '../support/random-history.ts';

type Times = readonly [startMs: number, endMs: number];

const at = { key: 'k', host: 'node1' };
const wrote = (value: string, revision: number, [startMs, endMs]: Times): Operation => ({
  ...at,
  kind: 'write',
  value,
  revision,
  startMs,
  endMs,
  outcome: 'done',
});
const swapped = (value: string, expected: number, revision: number, times: Times): Operation => ({
  ...(wrote(value, revision, times) as Extract<Operation, { kind: 'write'; outcome: 'done' }>),
  expected,
});
const lostAnswer = (value: string, startMs: number): Operation => ({
  ...at,
  kind: 'write',
  value,
  startMs,
  outcome: 'unknown',
});
const refused = (value: string, expected: number, [startMs, endMs]: Times): Operation => ({
  ...at,
  kind: 'write',
  value,
  expected,
  startMs,
  endMs,
  outcome: 'conflict',
});
const read = (value: string | undefined, revision: number, [startMs, endMs]: Times): Operation => ({
  ...at,
  kind: 'read',
  value,
  revision,
  startMs,
  endMs,
  outcome: 'done',
});

const GOOD: Readonly<Record<string, readonly Operation[]>> = {
  'nothing at all': [],
  'absent, then written, then read': [
    read(undefined, 0, [0, 1]),
    wrote('a', 5, [2, 3]),
    read('a', 5, [4, 5]),
  ],
  'a read that overlaps a write sees either': [
    wrote('a', 5, [0, 1]),
    wrote('b', 6, [2, 10]),
    read('a', 5, [3, 4]),
    read('b', 6, [5, 6]),
  ],
  'writes that overlap, in either order': [wrote('a', 6, [0, 10]), wrote('b', 5, [1, 9])],
  'a write of unknown outcome that is never seen': [lostAnswer('a', 0), wrote('b', 5, [1, 2])],
  'a write of unknown outcome that is seen late': [
    lostAnswer('a', 0),
    wrote('b', 5, [1, 2]),
    read('a', 6, [30, 31]),
  ],
  'a swap that follows what it names': [wrote('a', 5, [0, 1]), swapped('b', 5, 6, [2, 3])],
  'a swap refused because another came first': [
    wrote('a', 5, [0, 1]),
    wrote('b', 6, [2, 3]),
    refused('c', 5, [4, 5]),
  ],
  'a swap refused for a write whose answer was lost': [
    wrote('a', 5, [0, 1]),
    lostAnswer('b', 2),
    refused('c', 5, [4, 5]),
  ],
};

const BAD: Readonly<
  Record<string, readonly [RegExp, 'stale' | 'contradiction', readonly Operation[]]>
> = {
  'a read of what was replaced before': [
    /read of k at node1 is at revision 5, 1 ms after node1 answered with 6/,
    'stale',
    [wrote('a', 5, [0, 1]), wrote('b', 6, [2, 3]), read('a', 5, [4, 5])],
  ],
  'a read that goes back behind another read': [
    /at revision 5/,
    'stale',
    [wrote('a', 5, [0, 1]), wrote('b', 6, [2, 20]), read('b', 6, [3, 4]), read('a', 5, [5, 6])],
  ],
  'an acknowledged write that is gone': [
    /at revision 0/,
    'stale',
    [wrote('a', 5, [0, 1]), read(undefined, 0, [2, 3])],
  ],
  'a write that is ordered before what was there': [
    /write of k/,
    'stale',
    [wrote('a', 6, [0, 1]), wrote('b', 5, [2, 3])],
  ],
  'two values at one revision': [
    /at revision 5 is a and, at node1, b/,
    'contradiction',
    [wrote('a', 5, [0, 1]), wrote('b', 5, [0, 1])],
  ],
  'one write done twice': [
    /a is at revision 5 and, at node1, at 7/,
    'contradiction',
    [wrote('a', 5, [0, 1]), read('a', 7, [2, 3])],
  ],
  'a value that nobody wrote': [/which nobody wrote/, 'contradiction', [read('ghost', 5, [0, 1])]],
  'a value seen before its write was called': [
    /before that was written/,
    'contradiction',
    [read('a', 5, [0, 1]), lostAnswer('a', 2)],
  ],
  'a value whose write was refused': [
    /whose write was refused/,
    'contradiction',
    [wrote('a', 5, [0, 1]), refused('b', 4, [2, 3]), read('b', 6, [4, 5])],
  ],
  'a swap over somebody else': [
    /was to follow revision 5 and follows 6/,
    'contradiction',
    [wrote('a', 5, [0, 1]), wrote('b', 6, [2, 9]), swapped('c', 5, 7, [3, 8])],
  ],
  'a swap refused for no reason': [
    /on revision 5 was refused, which it was at/,
    'contradiction',
    [wrote('a', 5, [0, 1]), refused('b', 5, [2, 3])],
  ],
  'a write of unknown outcome that takes effect before its call': [
    /write of k/,
    'stale',
    [wrote('a', 6, [0, 1]), lostAnswer('b', 2), read('b', 5, [2, 4])],
  ],
};

for (const [name, operations] of Object.entries(GOOD)) {
  t.test(`chaos: linearizable: ${name}`, async (t) => t.strictSame(checkHistory(operations), []));
}

for (const [name, [text, kind, operations]] of Object.entries(BAD)) {
  t.test(`chaos: not linearizable: ${name}`, async (t) => {
    const faults = checkHistory(operations);
    t.ok(
      faults.some((fault) => text.test(fault.text) && fault.kind === kind),
      JSON.stringify(faults),
    );
  });
}

t.test('chaos: what a true register answers is linearizable, whatever overlaps', async (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const faults = checkHistory(trueHistory(seed));
    if (faults.length > 0) t.fail(`seed ${seed}: ${faults[0]?.text}`);
  }
  t.pass('two hundred histories');
});

t.test('chaos: one late read of an old version is found in a long history', async (t) => {
  const operations = [
    ...trueHistory(7),
    read('v-old', 1, [5_000, 5_001]),
    wrote('v-old', 1, [-90, -80]),
  ];
  t.match(checkHistory(operations), [{ kind: 'stale' }]);
});
