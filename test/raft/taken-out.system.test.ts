/**
 * Takes each of the 36 behaviours out of a copy of the code and asks the test that guards it: it has to fail. Some
 * seventy runs of single tests, so it is no part of the quick gate.
 */

import t from 'tap';
import { behaviours } from './behaviours/table.ts';
import { Copy } from './behaviours/taken-out.ts';

/** Copies that are broken at the same time. */
const COPIES = 2;

// The runner's deadline is the only one.
t.setTimeout(0);

t.test('behaviours: each is missed by the test that guards it', { timeout: 0 }, async (t) => {
  const guards = behaviours.flatMap((behaviour) =>
    behaviour.guards.map((guard) => ({ number: behaviour.number, guard })),
  );
  const work = async () => {
    const copy = await Copy.make();
    try {
      for (let next = guards.shift(); next !== undefined; next = guards.shift()) {
        const { number, guard } = next;
        t.ok(await copy.misses(guard), `${number}: ${guard.file} "${guard.test}"`);
      }
    } finally {
      await copy.remove();
    }
  };
  await Promise.all(Array.from({ length: COPIES }, work));
});
