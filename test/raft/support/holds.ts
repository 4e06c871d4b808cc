/** One assertion per property, however many runs it takes. */

import fc from 'fast-check';
import type { Test } from 'tap';

/** The same cases in every run; others with SKEIN_TEST_SEED. */
const seed = Number(process.env['SKEIN_TEST_SEED'] ?? 1);

/** Asserts that `property` holds for every generated case; shows the shrunk counterexample if not. */
export function holds<T extends unknown[]>(
  t: Test,
  property: fc.IProperty<T>,
  options: { readonly numRuns?: number } = {},
): void {
  const { numRuns = 200 } = options;
  t.comment(`${numRuns} cases of seed ${seed}`);
  const details = fc.check(property, { numRuns, seed });
  t.notOk(details.failed, fc.defaultReportMessage(details) ?? 'holds for every case');
}
