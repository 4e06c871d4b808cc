/**
 * Is a history of one key linearizable? In general that takes a search; here every version of a key has a revision, which all
 * who see it are told, and every write a value of its own. So the order of versions is known, and what remains is to ask
 * whether it agrees with itself and with time:
 *
 *  1. a revision stands for one value, and a value for one revision, wherever they are seen;
 *  2. what is seen was written, and before it was seen; what was refused is never seen;
 *  3. a write on condition follows the very version it names, and is refused only if another may have been there;
 *  4. whoever calls after another was answered does not see, or write, what is older.
 *
 * These suffice: order all operations by revision, a write before the reads of it; by 4 that order respects time, by
 * 1 to 3 every operation has the outcome it must have there. Pure.
 */

import type { Operation } from './history.ts';

type Write = Extract<Operation, { kind: 'write' }>;
type Version = { readonly value: string; readonly write: Write | undefined };

/** `stale`: somebody saw what had been replaced before (law 4). `contradiction`: any other law. */
export type HistoryFault = { readonly kind: 'stale' | 'contradiction'; readonly text: string };

/** Why the history of one key is not linearizable, in words; empty when it is. */
export function checkHistory(operations: readonly Operation[]): readonly HistoryFault[] {
  const faults: HistoryFault[] = [];
  const versions = versionsOf(operations, faults);
  checkConditions(operations, versions, faults);
  checkTime(operations, versions, faults);
  return faults;
}

/** Laws 1 and 2: every revision that was told, with its value and the write that made it. */
function versionsOf(
  operations: readonly Operation[],
  faults: HistoryFault[],
): Map<number, Version> {
  const writes = new Map<string, Write>();
  for (const operation of operations) {
    if (operation.kind === 'write') writes.set(operation.value, operation);
  }
  const versions = new Map<number, Version>();
  const revisions = new Map<string, number>();
  const see = (operation: Operation & { outcome: 'done' }, value: string) => {
    const { key, host, revision } = operation;
    const known = versions.get(revision);
    const where = revisions.get(value) ?? revision;
    if (known !== undefined && known.value !== value) {
      contradict(
        faults,
        `${key} at revision ${revision} is ${known.value} and, at ${host}, ${value}`,
      );
    }
    if (where !== revision) {
      contradict(
        faults,
        `${key}: ${value} is at revision ${where} and, at ${host}, at ${revision}`,
      );
    }
    const write = writes.get(value);
    if (write === undefined)
      contradict(faults, `${key} at ${host} is ${value}, which nobody wrote`);
    else if (write.outcome === 'conflict') {
      contradict(faults, `${key} at ${host} is ${value}, whose write was refused`);
    } else if (operation.endMs < write.startMs) {
      contradict(faults, `${key} at ${host} was ${value} before that was written`);
    }
    versions.set(revision, { value, write });
    revisions.set(value, revision);
  };
  for (const operation of operations) {
    if (operation.outcome !== 'done') continue;
    if (operation.value !== undefined) see(operation, operation.value);
    else if (operation.revision !== 0)
      contradict(faults, `${operation.key} is at a revision, but absent`);
  }
  return versions;
}

/** Law 3. */
function checkConditions(
  operations: readonly Operation[],
  versions: ReadonlyMap<number, Version>,
  faults: HistoryFault[],
): void {
  const order = [...versions.keys()].sort((a, b) => a - b);
  for (const [at, revision] of order.entries()) {
    const { value, write } = versions.get(revision) ?? {};
    const before = order[at - 1];
    if (write?.expected === undefined || before === write.expected) continue;
    contradict(
      faults,
      `${write.key}: ${value} was to follow revision ${write.expected} and follows ${before ?? 'nothing'}`,
    );
  }
  for (const refused of operations) {
    if (refused.kind !== 'write' || refused.outcome !== 'conflict') continue;
    const expected = refused.expected ?? 0;
    const made = versions.get(expected)?.write;
    const replaced = versions.get(order[order.indexOf(expected) + 1] ?? -1)?.write;
    const there = made?.outcome === 'done' && made.endMs < refused.startMs;
    const untouched = replaced === undefined || replaced.startMs > refused.endMs;
    // A write that nobody saw may have been in between: it is no version we know of.
    const hidden = operations.some(
      (other) =>
        other.outcome === 'unknown' &&
        other.startMs < refused.endMs &&
        ![...versions.values()].some(({ write }) => write === other),
    );
    if (there && untouched && !hidden) {
      contradict(
        faults,
        `${refused.key}: a write on revision ${expected} was refused, which it was at`,
      );
    }
  }
}

/** Law 4, in one sweep over calls and answers. */
function checkTime(
  operations: readonly Operation[],
  versions: ReadonlyMap<number, Version>,
  faults: HistoryFault[],
): void {
  type Placed = { operation: Operation; revision: number; startMs: number; endMs: number };
  const placed: Placed[] = [];
  for (const operation of operations) {
    if (operation.outcome !== 'done') continue;
    const { revision, startMs, endMs } = operation;
    placed.push({ operation, revision, startMs, endMs });
  }
  for (const [revision, { write }] of versions) {
    if (write?.outcome !== 'unknown') continue;
    placed.push({ operation: write, revision, startMs: write.startMs, endMs: Infinity });
  }
  const byStart = [...placed].sort((a, b) => a.startMs - b.startMs);
  const byEnd = [...placed].sort((a, b) => a.endMs - b.endMs);
  let answered = 0;
  let newest: Placed | undefined;
  for (const called of byStart) {
    for (let next = byEnd[answered]; next && next.endMs < called.startMs; ) {
      if (newest === undefined || next.revision > newest.revision) newest = next;
      answered++;
      next = byEnd[answered];
    }
    if (newest === undefined) continue;
    const { operation, revision } = called;
    const stale =
      operation.kind === 'read' ? revision < newest.revision : revision <= newest.revision;
    if (!stale) continue;
    const ms = Math.round(called.startMs - newest.endMs);
    const text =
      `${operation.kind} of ${operation.key} at ${operation.host} is at revision ${revision}, ${ms} ms after ` +
      `${newest.operation.host} answered with ${newest.revision}`;
    faults.push({ kind: 'stale', text });
  }
}

function contradict(faults: HistoryFault[], text: string): void {
  faults.push({ kind: 'contradiction', text });
}
