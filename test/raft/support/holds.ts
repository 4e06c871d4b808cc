/** One assertion per property, however many runs it takes. */

import fc from 'fast-check';
import type { Test } from 'tap';

/** Asserts that `property` holds for every generated case; shows the shrunk counterexample if not. */
export function holds<T extends unknown[]>(
  t: Test,
  property: fc.IProperty<T>,
  options: { readonly numRuns?: number } = {},
): void {
  const details = fc.check(property, { numRuns: options.numRuns ?? 200 });
  t.notOk(details.failed, fc.defaultReportMessage(details) ?? 'holds for every case');
}
