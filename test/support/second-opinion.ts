/**
 * A second opinion on histories: the search of the simulator's checker, which knows nothing of revisions. Slower, and
 * independent of ours (src/chaos/check-history.ts).
 */

import type { History, Operation as Seen } from '../../src/chaos/history.ts';
import { checkLinearizable, type Verdict } from '../sim/linearizability/checker.ts';
import type { Operation } from '../sim/linearizability/operations.ts';

/** Judges the history of every key. */
export function secondOpinion(history: History): Verdict {
  return checkLinearizable(history.keys.flatMap((key) => translate(history.of(key))));
}

/** Judges the history of one key. */
export const secondOpinionOf = (operations: readonly Seen[]): Verdict =>
  checkLinearizable(translate(operations));

function translate(operations: readonly Seen[]): Operation[] {
  const values = new Map<number, string>();
  for (const operation of operations) {
    if (operation.outcome === 'done' && operation.value !== undefined) {
      values.set(operation.revision, operation.value);
    }
  }
  return operations.map((operation): Operation => {
    const { key, host, startMs } = operation;
    const common = { client: host, group: key, asked: startMs };
    if (operation.kind === 'read') {
      return {
        ...common,
        input: { kind: 'read', keys: [key] },
        answered: operation.endMs,
        output: { kind: 'values', values: { [key]: operation.value ?? null } },
      };
    }
    const { value, expected, outcome } = operation;
    const expect = expected === undefined ? {} : { [key]: values.get(expected) ?? null };
    const input = { kind: 'transact', expect, write: { [key]: value } } as const;
    if (outcome === 'unknown') return { ...common, input, answered: Infinity, output: undefined };
    const output = { kind: outcome === 'done' ? 'committed' : 'conflict' } as const;
    return { ...common, input, answered: operation.endMs, output };
  });
}
