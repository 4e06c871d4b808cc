/** A pod's number for its priority class. */

import type { Pod } from '../../resources/generated/kinds.ts';
import type { KubeObject } from '../../resources/types.ts';
import { objectKey, resourcePrefix } from '../../store/keys.ts';
import { forbidden, subjectOf } from '../status.ts';
import type { VerbsContext } from '../verbs/components.ts';
import type { AdmissionPlugin } from './types.ts';

/** A PriorityClass as far as admission reads it. */
type PriorityClass = KubeObject & {
  readonly value?: number;
  readonly globalDefault?: boolean;
  readonly preemptionPolicy?: string;
};

/** Classes that exist in every cluster. */
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};
const PREEMPT = 'PreemptLowerPriority';

export const podPriority: AdmissionPlugin = {
  name: 'Priority',
  handles: ({ kind }, operation) =>
    kind.kind === 'Pod' && kind.group === '' && operation === 'create',
  admit({ object, verbs, target }) {
    const { spec, metadata } = object as Pod;
    const name = spec.priorityClassName ?? '';
    const found = name === '' ? globalDefault(verbs) : priorityClass(verbs, name);
    if (name !== '' && found === undefined) {
      const why = `no PriorityClass with name ${name} was found`;
      throw forbidden(subjectOf(target), metadata.name, why);
    }
    const value = found?.value ?? 0;
    if (spec.priority !== undefined && spec.priority !== value) {
      const why = `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`;
      throw forbidden(subjectOf(target), metadata.name, why);
    }
    if (name === '' && found !== undefined) spec.priorityClassName = found.metadata.name;
    spec.priority = value;
    spec.preemptionPolicy ??= found?.preemptionPolicy ?? PREEMPT;
  },
};

const GROUP = { group: 'scheduling.k8s.io', plural: 'priorityclasses' };

function priorityClass(verbs: VerbsContext, name: string): PriorityClass | undefined {
  const stored = verbs.store.get(objectKey({ ...GROUP, name }))?.object as
    | PriorityClass
    | undefined;
  const system = SYSTEM_CLASSES[name];
  return stored ?? (system === undefined ? undefined : { metadata: { name }, value: system });
}

/** Of several classes marked as default the lowest counts, as upstream has it. */
function globalDefault(verbs: VerbsContext): PriorityClass | undefined {
  const prefix = resourcePrefix(GROUP.group, GROUP.plural);
  if (verbs.store.count(prefix) === 0) return undefined;
  const listed = verbs.store.list(prefix);
  if (listed.kind !== 'listed') return undefined;
  return listed.items
    .map((item) => item.object as PriorityClass)
    .filter((one) => one.globalDefault === true)
    .sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
}
