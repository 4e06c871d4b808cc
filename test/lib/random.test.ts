import t from 'tap';
import { seededRandom } from '../../src/lib/random.ts';

t.test('random: one seed gives one sequence', async (t) => {
  const left = seededRandom(7);
  const right = seededRandom(7);
  for (let step = 0; step < 100; step++) t.equal(left.float(), right.float());
});

t.test('random: whole numbers stay within both bounds and reach them', async (t) => {
  const random = seededRandom(1);
  const seen = new Set(Array.from({ length: 200 }, () => random.int(3, 5)));
  t.strictSame([...seen].sort(), [3, 4, 5]);
});
