/** What a run comes to: counts, pauses, and everything that must not be; in data and in words. Pure. */

import type { ClientsTally } from './clients.ts';
import type { FaultKind } from './fault-kinds.ts';

export type StepOutcome = {
  readonly kinds: readonly FaultKind[];
  /** The longest time without an acknowledged write, from the beginning of the fault until all was well again. */
  readonly pauseMs: number;
  /** How long after the fault's end until every host followed one leader again. */
  readonly recoveryMs: number;
};

export type Verdict = {
  readonly seed: number;
  readonly durationMs: number;
  readonly operations: ClientsTally;
  readonly steps: readonly StepOutcome[];
  readonly terms: number;
  readonly containers: number;
  readonly churn: { readonly scaled: number; readonly rolled: number; readonly deleted: number };
  /** The longest time without an acknowledged write in the whole run. */
  readonly longestPauseMs: number;
  /** What must not be, by law, in words; each list must be empty. */
  readonly violations: Readonly<Record<Law, readonly string[]>>;
};

export type Law = keyof typeof LAWS;

/** Violations by law, each in words. */
export const LAWS = {
  lost: 'lost writes',
  stale: 'stale reads',
  contradictions: 'histories that no order explains',
  leaders: 'terms with two leaders',
  answers: 'wrong answers',
  differences: 'differences between hosts',
  containers: 'containers made anew without need',
  availability: 'pauses that were too long',
  recovery: 'faults not recovered from',
  leftovers: 'things left behind by the lab',
} as const;

const SHOWN_MAX = 10;

/** True if nothing was violated. */
export function passed({ violations }: Verdict): boolean {
  return Object.values(violations).every((list) => list.length === 0);
}

/** The verdict for people: a table of faults, then counts, then laws with what broke them. */
export function describeVerdict(verdict: Verdict): readonly string[] {
  const { operations: ops, churn } = verdict;
  const lines = [
    '',
    'fault                times   pause of writes: median, longest   recovery: longest',
  ];
  for (const [kind, steps] of byKind(verdict.steps)) {
    const pauses = steps.map(({ pauseMs }) => pauseMs).sort((a, b) => a - b);
    const median = pauses[Math.floor(pauses.length / 2)] ?? 0;
    const recovery = Math.max(...steps.map(({ recoveryMs }) => recoveryMs));
    lines.push(
      `${kind.padEnd(20)} ${String(steps.length).padStart(5)}   ${seconds(median).padStart(23)}, ${seconds(pauses.at(-1) ?? 0).padStart(7)}   ${seconds(recovery).padStart(17)}`,
    );
  }
  lines.push(
    '',
    `${ops.writes} writes acknowledged, ${ops.conflicts} refused on condition, ${ops.refused} refused for want of a quorum, ` +
      `${ops.unknown} of unknown outcome, ${ops.unreached} not connected`,
    `${ops.reads} linearizable reads, ${ops.events} events over ${ops.watches} watches`,
    `work: scaled ${churn.scaled} times, rolled out ${churn.rolled} times, ${churn.deleted} pods deleted; ${verdict.containers} containers seen`,
    `${verdict.terms} terms; longest time without an acknowledged write: ${seconds(verdict.longestPauseMs)}`,
    '',
  );
  for (const [law, what] of Object.entries(LAWS) as [Law, string][]) {
    const broken = verdict.violations[law];
    lines.push(`${broken.length === 0 ? 'ok  ' : 'FAIL'} ${what}: ${broken.length}`);
    lines.push(...broken.slice(0, SHOWN_MAX).map((text) => `       ${text}`));
    if (broken.length > SHOWN_MAX) lines.push(`       and ${broken.length - SHOWN_MAX} more`);
  }
  return lines;
}

/** Milliseconds as people read them. */
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

function byKind(steps: readonly StepOutcome[]): [string, StepOutcome[]][] {
  const found = new Map<string, StepOutcome[]>();
  for (const step of steps) {
    // One that came with another is counted under the first, which is what was tried.
    const kind = step.kinds[0] ?? '';
    found.set(kind, [...(found.get(kind) ?? []), step]);
  }
  return [...found].sort(([a], [b]) => a.localeCompare(b));
}
