/** Tolerations that let a pod outlive a short failure of its node, unless it says otherwise. */

import type { Pod, Toleration } from '../../resources/generated/kinds.ts';
import type { AdmissionPlugin } from './types.ts';

const TAINTS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'] as const;

export const podDefaults: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  handles: ({ kind }, operation) =>
    kind.kind === 'Pod' && kind.group === '' && operation === 'create',
  admit({ object, verbs }) {
    // The target's kind says what the object is.
    const { spec } = object as Pod;
    const tolerations = spec.tolerations ?? [];
    const missing = TAINTS.filter((taint) => !tolerations.some((one) => covers(one, taint)));
    if (missing.length === 0) return;
    const tolerationSeconds = verbs.settings.evictionTolerationSeconds;
    const added = missing.map((key) => ({
      key,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds,
    }));
    spec.tolerations = [...tolerations, ...added];
  },
};

function covers(toleration: Toleration, taint: string): boolean {
  const { key = '', effect = '' } = toleration;
  return (key === taint || key === '') && (effect === 'NoExecute' || effect === '');
}
