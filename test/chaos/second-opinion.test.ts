/** Our check of histories beside a search that knows nothing of revisions: what the search refuses, ours must refuse. */

import t from 'tap';
import { checkHistory } from '../../src/chaos/check-history.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { spoilt, trueHistory } from '../support/random-history.ts';
import { secondOpinionOf } from '../support/second-opinion.ts';

const HISTORIES = 150;

t.test('chaos: both checks take what a true register answers', async (t) => {
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const history = trueHistory(seed, 40);
    const faults = checkHistory(history);
    if (faults.length > 0) t.fail(`seed ${seed}: ${faults[0]?.text}`);
    const { kind } = secondOpinionOf(history);
    if (kind === 'violation') t.fail(`seed ${seed}: the search finds a violation`);
  }
  t.pass(`${HISTORIES} histories`);
});

t.test('chaos: a spoilt history that the search refuses is refused by ours', async (t) => {
  const seen = { refused: 0, harmless: 0, stricter: 0 };
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const history = spoilt(trueHistory(seed, 40), seededRandom(seed));
    const ours = checkHistory(history).length > 0;
    const theirs = secondOpinionOf(history).kind === 'violation';
    if (theirs && !ours) t.fail(`seed ${seed}: the search refuses it, ours does not`);
    if (theirs) seen.refused++;
    else if (ours) seen.stricter++;
    else seen.harmless++;
  }
  t.comment(JSON.stringify(seen));
  t.ok(seen.refused > 20, 'many were refused by both');
});
