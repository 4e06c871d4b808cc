/** What a namespace that is going away reports about what is left in it. Pure. */

import type { KubeObject } from '../../../src/resources/types.ts';
import type { NamespaceCondition } from '../kinds.ts';
import { isoSeconds } from '../times.ts';

/** The finalizer in a namespace's spec that this controller removes when the namespace is empty. */
export const FINALIZER = 'kubernetes';

/** Namespaces that always exist. */
export const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** The objects of one kind that are left. */
export type Remaining = { readonly plural: string; readonly objects: readonly KubeObject[] };

export type EmptyingReport = {
  readonly remaining: readonly Remaining[];
  /** Messages of deletions that failed. */
  readonly failures: readonly string[];
};

/** The conditions that tell a user why the namespace is still there. */
export function decideConditions(
  present: readonly NamespaceCondition[],
  report: EmptyingReport,
  nowMs: number,
): NamespaceCondition[] {
  const left = report.remaining.filter(({ objects }) => objects.length > 0);
  const finalizers = countFinalizers(left);
  const news = [
    fact('NamespaceDeletionDiscoveryFailure', false, {
      reason: 'ResourcesDiscovered',
      message: 'All resources successfully discovered',
    }),
    fact('NamespaceDeletionGroupVersionParsingFailure', false, {
      reason: 'ParsedGroupVersions',
      message: 'All legacy kube types successfully parsed',
    }),
    report.failures.length === 0
      ? fact('NamespaceDeletionContentFailure', false, {
          reason: 'ContentDeleted',
          message: 'All content successfully deleted, may be waiting on finalization',
        })
      : fact('NamespaceDeletionContentFailure', true, {
          reason: 'ContentDeletionFailed',
          message: `Failed to delete all resource types, ${report.failures.length} remaining: ${report.failures.join(', ')}`,
        }),
    left.length === 0
      ? fact('NamespaceContentRemaining', false, {
          reason: 'ContentRemoved',
          message: 'All content successfully removed',
        })
      : fact('NamespaceContentRemaining', true, {
          reason: 'SomeResourcesRemain',
          message: `Some resources are remaining: ${describe(left)}`,
        }),
    finalizers.size === 0
      ? fact('NamespaceFinalizersRemaining', false, {
          reason: 'ContentHasNoFinalizers',
          message: 'All content-preserving finalizers finished',
        })
      : fact('NamespaceFinalizersRemaining', true, {
          reason: 'SomeFinalizersRemain',
          message: `Some content in the namespace has finalizers remaining: ${[...finalizers]
            .map(([name, count]) => `${name} in ${count} resource instances`)
            .join(', ')}`,
        }),
  ];
  return news.map((condition) => withTime(present, condition, nowMs));
}

/** True when nothing is left. */
export function isEmpty({ remaining }: EmptyingReport): boolean {
  return remaining.every(({ objects }) => objects.length === 0);
}

function fact(
  type: string,
  holds: boolean,
  said: { readonly reason: string; readonly message: string },
): NamespaceCondition {
  return { type, status: holds ? 'True' : 'False', ...said };
}

function withTime(
  present: readonly NamespaceCondition[],
  condition: NamespaceCondition,
  nowMs: number,
): NamespaceCondition {
  const known = present.find(({ type }) => type === condition.type);
  const same = known?.status === condition.status && known.reason === condition.reason;
  const lastTransitionTime = same ? known.lastTransitionTime : undefined;
  return { ...condition, lastTransitionTime: lastTransitionTime ?? isoSeconds(nowMs) };
}

function describe(left: readonly Remaining[]): string {
  return left
    .map(({ plural, objects }) => `${plural} has ${objects.length} resource instances`)
    .sort()
    .join(', ');
}

function countFinalizers(left: readonly Remaining[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { objects } of left) {
    for (const finalizer of objects.flatMap(({ metadata }) => metadata.finalizers ?? [])) {
      counts.set(finalizer, (counts.get(finalizer) ?? 0) + 1);
    }
  }
  return counts;
}
