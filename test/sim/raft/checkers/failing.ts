/** How a checker says that its law does not hold, unless it was switched off. */

import { CheckFailure } from '../world.ts';

/** The laws, by the names that reports and `--skip` use. */
export const checkerNames = [
  'one leader per term',
  'one vote per term',
  'log matching',
  'leader completeness',
  'commit order',
  'commit quorum',
  'durable before sent',
  'durable before applied',
  'applied alike',
  'applied once',
  'configuration',
  'snapshot',
  'writes survive',
  'reads',
  'liveness',
] as const;

export type CheckerName = (typeof checkerNames)[number];

export type Fail = (
  checker: CheckerName,
  law: string,
  facts: Readonly<Record<string, unknown>>,
) => void;

/** Throws CheckFailure, except for the checkers in `skipped`. */
export function failing(skipped: ReadonlySet<CheckerName>): Fail {
  return (checker, law, facts) => {
    if (!skipped.has(checker)) throw new CheckFailure(checker, law, facts);
  };
}
