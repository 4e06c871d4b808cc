/** Pods and records for the tables of the pure parts. */

import type { Pod } from '../../../../../agents/node/pods/kinds.ts';
import {
  type ContainerExit,
  type ContainerRecord,
  newRecord,
  type PodRecord,
  withContainer,
} from '../../../../../agents/node/pods/record.ts';

export const NOW = 1_700_000_000_000;

/** A pod with one container `main`, and whatever the spec adds or replaces. */
export function pod(spec: Partial<Pod['spec']> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    metadata: { name: 'web', namespace: 'default', uid: 'uid-1', ...metadata },
    spec: { containers: [{ name: 'main', image: 'app:1' }], ...spec },
  };
}

/** A record of a pod whose volumes and sandbox are ready. */
export function started(of: Pod = pod()): PodRecord {
  return {
    ...newRecord(of, NOW),
    volumes: { kind: 'ready' },
    sandbox: { kind: 'ready', id: 'box', attempt: 0, ips: ['10.0.0.9'] },
  };
}

/** The record with a container in the given phase. */
export function withPhase(
  record: PodRecord,
  name: string,
  phase: ContainerRecord['phase'],
  more: Partial<ContainerRecord> = {},
): PodRecord {
  const created = phase.kind === 'running' || phase.kind === 'exited' || phase.kind === 'stopping';
  return withContainer(record, name, { phase, everCreated: created, ...more });
}

export function running(id = 'c1'): ContainerRecord['phase'] {
  return { kind: 'running', id, startedAtMs: NOW - 1_000, started: true, ready: true };
}

export function exit(exitCode: number, agoMs = 0, containerId = 'c1'): ContainerExit {
  return {
    containerId,
    exitCode,
    reason: exitCode === 0 ? 'Completed' : 'Error',
    startedAtMs: NOW - agoMs - 1_000,
    finishedAtMs: NOW - agoMs,
  };
}

export function exited(exitCode: number, agoMs = 0): ContainerRecord['phase'] {
  return { kind: 'exited', exit: exit(exitCode, agoMs) };
}
