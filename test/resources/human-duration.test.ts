import t from 'tap';
import { ageOf, humanDuration } from '../../src/resources/human-duration.ts';

t.test('duration: ages read as kubectl shows them', async (t) => {
  const s = 1000;
  const m = 60 * s;
  const h = 60 * m;
  const d = 24 * h;
  const y = 365 * d;
  const cases: [number, string][] = [
    [-5 * s, '<invalid>'],
    [-1.5 * s, '0s'],
    [0, '0s'],
    [119 * s, '119s'],
    [2 * m, '2m'],
    [3 * m + 12 * s, '3m12s'],
    [10 * m + 30 * s, '10m'],
    [179 * m, '179m'],
    [3 * h, '3h'],
    [5 * h + 3 * m, '5h3m'],
    [8 * h + 59 * m, '8h'],
    [47 * h, '47h'],
    [2 * d, '2d'],
    [2 * d + 4 * h, '2d4h'],
    [8 * d + 5 * h, '8d'],
    [y, '365d'],
    [2 * y + 5 * d, '2y5d'],
    [9 * y + 5 * d, '9y'],
  ];
  for (const [ms, text] of cases) t.equal(humanDuration(ms), text);
});

t.test('duration: an absent timestamp is unknown', async (t) => {
  t.equal(ageOf(undefined, 0), '<unknown>');
  t.equal(ageOf(null, 0), '<unknown>');
  t.equal(ageOf('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:05:00Z')), '5m');
});
