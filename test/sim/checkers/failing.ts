/** How a checker says that its law does not hold, unless it was switched off. */

import type { World } from '../world/world.ts';
import { CheckFailure } from '../world/world.ts';

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
  'watches',
  'fencing',
  'linearizability',
  'durability',
  'liveness',
  'one node per pod',
  'containers',
  'singleton epoch',
  'replicas',
  'addresses',
  'patience',
  'quiescence',
] as const;

export type CheckerName = (typeof checkerNames)[number];

export type Fail = (
  checker: CheckerName,
  law: string,
  facts: Readonly<Record<string, unknown>>,
) => void;

/** Ends the run, except for the checkers in `skipped`; throws, so that what stands on the lie does not go on. */
export function failing(world: World, skipped: ReadonlySet<CheckerName>): Fail {
  return (checker, law, facts) => {
    if (skipped.has(checker)) return;
    const failure = new CheckFailure(checker, law, facts);
    world.fail(failure);
    throw failure;
  };
}
