/**
 * Rebuilds a pod's record from what the runtime still has of it, after the process or the actor
 * started anew: running containers are adopted as they are.
 */

import { bounded } from './deadlines.ts';
import type { PodServices } from './deps.ts';
import { exitOf } from './exits.ts';
import type { Pod } from './kinds.ts';
import { ownedBy } from './labels.ts';
import type { ContainerInspection, ContainerSummary } from './ports.ts';
import {
  type ContainerExit,
  containerSpec,
  newRecord,
  type PodRecord,
  withContainer,
} from './record.ts';
import { adoptSandbox } from './sandbox.ts';
import { containerExited, containerRunning, initDone, probed } from './transitions.ts';

/** Runs of one container, oldest first. */
type Runs = Map<string, ContainerInspection[]>;

/** The record of a pod given its containers; a new pod has none. */
export async function adopt(
  services: PodServices,
  pod: Pod,
  found: readonly ContainerSummary[],
  signal: AbortSignal,
): Promise<PodRecord> {
  const { clock } = services;
  const record = newRecord(pod, clock.nowMs());
  const phase = pod.status?.phase;
  const over = phase === 'Succeeded' || phase === 'Failed';
  if (found.length === 0) return over ? frozen(record) : record;
  const { sandboxes, runs } = await inspectAll(services, found, signal);
  let next = await withSandbox(services, record, sandboxes, signal);
  for (const [name, list] of runs) next = await withRuns(services, next, { name, list }, signal);
  const begun = [...next.containers.values()].some(
    ({ role, everCreated }) => role === 'main' && everCreated,
  );
  next = { ...next, initialized: begun || initDone(next) };
  return over ? frozen(next) : next;
}

/** A pod whose outcome the API already has: what is left of it is ended, its status stays. */
function frozen(record: PodRecord): PodRecord {
  const { reason, message } = record.pod.status ?? {};
  return {
    ...record,
    frozen: true,
    lifecycle: {
      kind: 'stopping',
      cause: record.pod.status?.phase === 'Failed' ? 'failed' : 'completed',
      deadlineMs: 0,
      ...(reason ? { reason } : {}),
      ...(message ? { message } : {}),
    },
  };
}

async function inspectAll(
  services: PodServices,
  found: readonly ContainerSummary[],
  signal: AbortSignal,
): Promise<{ sandboxes: ContainerInspection[]; runs: Runs }> {
  const { runtime, clock } = services;
  const infos = await Promise.all(
    found.map(({ id }) =>
      bounded('inspect', { clock, signal }, (inner) => runtime.inspect(id, inner)),
    ),
  );
  const sandboxes: ContainerInspection[] = [];
  const runs: Runs = new Map();
  for (const info of infos) {
    const owner = info && ownedBy(info.labels);
    if (info === undefined || owner === undefined) continue;
    if (owner.container === undefined) {
      sandboxes.push(info);
      continue;
    }
    runs.set(owner.container, [...(runs.get(owner.container) ?? []), info]);
  }
  const byAge = (a: ContainerInspection, b: ContainerInspection) => a.createdAtMs - b.createdAtMs;
  sandboxes.sort(byAge);
  for (const list of runs.values()) list.sort(byAge);
  return { sandboxes, runs };
}

async function withSandbox(
  services: PodServices,
  record: PodRecord,
  sandboxes: readonly ContainerInspection[],
  signal: AbortSignal,
): Promise<PodRecord> {
  const newest = sandboxes.at(-1);
  if (newest === undefined) return record;
  const attempt = ownedBy(newest.labels)?.restartCount ?? 0;
  const { id } = newest;
  if (newest.state !== 'running') {
    return { ...record, sandbox: { kind: 'lost', id, attempt, ips: [], notBeforeMs: 0 } };
  }
  const { ips } = await adoptSandbox(services, record.pod, id, signal);
  return { ...record, sandbox: { kind: 'ready', id, attempt, ips } };
}

async function withRuns(
  services: PodServices,
  record: PodRecord,
  runs: { readonly name: string; readonly list: readonly ContainerInspection[] },
  signal: AbortSignal,
): Promise<PodRecord> {
  const { name, list } = runs;
  const newest = list.at(-1);
  if (newest === undefined || containerSpec(record.pod, name) === undefined) return record;
  const before = list.at(-2);
  const last: ContainerExit | undefined =
    before && (await exitOf(services, record.pod, name, before, signal));
  const withLast = last ? withContainer(record, name, { last }) : record;
  const owner = ownedBy(newest.labels);
  const restartCount = owner?.restartCount ?? 0;
  const imageId = `docker://${newest.imageId}`;
  const { id, startedAtMs } = newest;
  const hash = owner?.hash ?? '';
  const run = { id, startedAtMs, restartCount, imageId, hash };
  if (newest.state === 'running') {
    const running = containerRunning(withLast, name, run);
    // What probes had found out holds until they find otherwise: adopting must not unready a pod.
    const shown = shownStatus(record.pod, id);
    return shown ? probed(running, name, shown) : running;
  }
  const exit = await exitOf(services, record.pod, name, newest, signal);
  const counted = withContainer(withLast, name, { restartCount, imageId, hash });
  return containerExited(counted, name, exit);
}

function shownStatus(pod: Pod, id: string): { started: boolean; ready: boolean } | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const status = [...containerStatuses, ...initContainerStatuses].find(
    ({ containerID }) => containerID === `docker://${id}`,
  );
  return status && { started: status.started ?? false, ready: status.ready };
}
