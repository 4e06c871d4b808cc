/** What the commands of recovery print for people. */

import type { RecoveryPlan } from '../node/recovery/recover.ts';
import type { DataDirReport } from '../node/recovery/verify.ts';

const line = (label: string, text: string): string => `${label.padEnd(10)}${text}`;
const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;

/** A size as people read it. */
export function humanBytes(bytes: number): string {
  if (bytes < 1024) return plural(bytes, 'byte');
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

/** `skein verify <data-dir>`. */
export function describeDataDir(report: DataDirReport): string {
  const { log, snapshot, state, findings, leftovers } = report;
  const { standing, segments } = log;
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const names = new Map(state?.members.map(({ peer, node }) => [peer, node]));
  const voters = standing?.voters.map((peer) => names.get(peer) ?? peer).sort() ?? [];
  const learners = standing?.learners.map((peer) => names.get(peer) ?? peer).sort() ?? [];
  const lines = [
    line('node', `${report.node ?? 'unknown'} (${report.peer ?? 'without a key'})`),
    line('cluster', report.clusterId ?? 'unknown'),
    line('log', `${log.directory}: ${plural(segments.length, 'segment')}, ${humanBytes(bytes)}`),
    snapshot &&
      line(
        'snapshot',
        `at term ${snapshot.term}, index ${snapshot.index}: ${humanBytes(snapshot.bytes)}`,
      ),
    standing?.firstIndex !== undefined
      ? line('entries', `${standing.firstIndex} to ${standing.lastIndex} behind the snapshot`)
      : undefined,
    ...(standing ? describeStanding(standing) : []),
    state && line('revision', String(state.revision)),
    state && line('objects', String(state.objects)),
    standing && line('voters', voters.join(', ')),
    learners.length > 0 ? line('learners', learners.join(', ')) : undefined,
    '',
    ...findings.map(({ kind, file, offset, what }) => {
      const place = offset === undefined ? file : `${file}, byte ${offset}`;
      return `${kind === 'torn' ? 'torn   ' : 'DAMAGED'} ${place}: ${what}`;
    }),
    ...leftovers.map((file) => `unused  ${file}`),
    report.intact
      ? 'intact: the node can start from this'
      : 'damaged: the node must not start from this, because it may have forgotten what it acknowledged.\n' +
        'If the others are a majority: skein remove <node> there, skein reset --yes here, and join anew.\n' +
        'If they are none: see the drills in docs/operations.md.',
  ];
  return lines.filter((text) => text !== undefined).join('\n');
}

function describeStanding(standing: NonNullable<DataDirReport['log']['standing']>): string[] {
  const { term, lastTerm, lastIndex, commit, uncertain } = standing;
  return [
    line('newest', `term ${lastTerm}, index ${lastIndex}`),
    line('committed', `index ${commit} at least${describeUncertain(uncertain)}`),
    line('term', String(term)),
  ];
}

const describeUncertain = (count: number): string =>
  count === 0 ? '' : `; ${plural(count, 'entry', 'entries')} behind it may have been acknowledged`;

/** What `skein recover` is about to do. */
export function describePlan(plan: RecoveryPlan, answering: readonly string[]): string {
  const { standing, others } = plan;
  const described = others.map(({ node, votes }) => {
    const traits = [votes ? 'votes' : 'follows', ...(answering.includes(node) ? ['ANSWERS'] : [])];
    return `${node} (${traits.join(', ')})`;
  });
  return [
    line('survivor', `${plan.node} (${plan.peer})`),
    line('cluster', plan.clusterId),
    ...describeStanding(standing),
    line('state', `revision ${plan.revision}, ${plural(plan.objects, 'object')}`),
    line('others', described.join(', ') || 'none'),
    '',
    'Compare the line "newest" of all survivors: the highest term wins, then the highest index.',
  ].join('\n');
}
