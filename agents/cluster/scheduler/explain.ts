/** Upstream's sentences about pods that fit nowhere: users and tools search for these words. Pure. */

import type { Refusal } from './plugin.ts';

/** The message when the cluster has no node at all. */
export const NO_NODES = 'no nodes available to schedule pods';

/** `0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.` */
export function explainRefusals(
  nodeCount: number,
  refused: readonly (readonly Refusal[])[],
): string {
  const reasons = refused.flatMap((refusals) => refusals.map((refusal) => refusal.reason));
  return `0/${nodeCount} nodes are available: ${histogram(reasons)}.`;
}

/** What preemption adds: ` preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.` */
export function explainPreemption(nodeCount: number, reasons: readonly string[]): string {
  return ` preemption: 0/${nodeCount} nodes are available: ${histogram(reasons)}.`;
}

/** Each reason with the number of its nodes, in the order of the resulting texts. */
function histogram(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(', ');
}
