/** What a list of the runtime says about a pod, beside what its record holds. Pure. */

import { ownedBy } from './labels.ts';
import type { ContainerSummary } from './ports.ts';
import type { ContainerRecord, PodRecord } from './record.ts';

export type Observation = {
  /** The sandbox is not running although the record says so. */
  readonly sandboxLost: boolean;
  /** Containers that should run and do not: their exits must be found out. */
  readonly ended: readonly { readonly container: ContainerRecord; readonly id: string }[];
  /** Containers of the pod that the record knows nothing of. */
  readonly strays: readonly string[];
};

/** Compares the record with all containers the runtime has of the pod. */
export function compareWithRuntime(
  record: PodRecord,
  found: readonly ContainerSummary[],
): Observation {
  const { sandbox } = record;
  const states = new Map(found.map(({ id, state }) => [id, state]));
  const known = new Set('id' in sandbox ? [sandbox.id] : []);
  const ended: { container: ContainerRecord; id: string }[] = [];
  let busy = sandbox.kind === 'creating';
  for (const container of record.containers.values()) {
    const { phase, last } = container;
    if (last) known.add(last.containerId);
    if (phase.kind === 'exited') known.add(phase.exit.containerId);
    if (phase.kind === 'starting') busy = true;
    if (phase.kind !== 'running' && phase.kind !== 'stopping') continue;
    known.add(phase.id);
    if (states.get(phase.id) !== 'running') ended.push({ container, id: phase.id });
  }
  const unknown = found.filter(({ id, labels }) => !known.has(id) && ownedBy(labels));
  return {
    sandboxLost: sandbox.kind === 'ready' && states.get(sandbox.id) !== 'running',
    ended,
    // What is being made is not a stray.
    strays: busy ? [] : unknown.map(({ id }) => id),
  };
}

/** The container whose current run has this id. */
export function containerWithRun(record: PodRecord, id: string): ContainerRecord | undefined {
  return [...record.containers.values()].find(
    ({ phase }) => (phase.kind === 'running' || phase.kind === 'stopping') && phase.id === id,
  );
}
