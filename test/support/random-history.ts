/** Histories of one register with operations that overlap, some without an answer; and ways to spoil them. */

import type { Operation } from '../../src/chaos/history.ts';
import { type Random, seededRandom } from '../../src/lib/random.ts';

type Done = Extract<Operation, { outcome: 'done' }>;

/** What a true register answers. */
export function trueHistory(seed: number, length = 60): Operation[] {
  const random = seededRandom(seed);
  const operations: Operation[] = [];
  let revision = 0;
  let value: string | undefined;
  for (let moment = 1; moment <= length; moment++) {
    const startMs = moment * 10 - random.int(0, 40);
    const endMs = moment * 10 + random.int(0, 40) + 0.5;
    const common = { key: 'k', host: 'node1', startMs };
    if (random.chance(0.5)) {
      operations.push({ ...common, kind: 'read', outcome: 'done', revision, value, endMs });
      continue;
    }
    // A client can name only a revision that somebody was told.
    const told = operations.some((each) => each.outcome === 'done' && each.revision === revision);
    const swap = told && revision > 0 && random.chance(0.3) ? { expected: revision } : {};
    revision += random.int(1, 3);
    value = `v${moment}`;
    const write = { ...common, ...swap, kind: 'write', value } as const;
    if (random.chance(0.2)) operations.push({ ...write, outcome: 'unknown' });
    else operations.push({ ...write, outcome: 'done', revision, endMs });
  }
  return operations;
}

/** The same with one read that saw another version, or two operations whose times are exchanged. */
export function spoilt(operations: readonly Operation[], random: Random): Operation[] {
  const changed = [...operations];
  const answered = changed.flatMap((each, at) => (each.outcome === 'done' ? [at] : []));
  const one = random.pick(answered);
  const other = random.pick(answered);
  const [a, b] = [changed[one] as Done, changed[other] as Done];
  if (a.kind === 'read' && random.chance(0.5)) {
    changed[one] = { ...a, revision: b.revision, value: b.value };
    return changed;
  }
  changed[one] = { ...a, startMs: b.startMs, endMs: b.endMs };
  changed[other] = { ...b, startMs: a.startMs, endMs: a.endMs };
  return changed;
}
