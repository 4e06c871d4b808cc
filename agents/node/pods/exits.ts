/** How a container's run ended, from the runtime's facts and its termination message. */

import { open } from 'node:fs/promises';
import { bounded } from './deadlines.ts';
import type { PodServices } from './deps.ts';
import { terminationLogPath } from './etc-writer.ts';
import type { Pod } from './kinds.ts';
import { LABEL } from './labels.ts';
import type { ContainerInspection } from './ports.ts';
import { type ContainerExit, containerSpec } from './record.ts';

const MESSAGE_BYTES_MAX = 4096;
const LOG_LINES_MAX = 80;
const LOG_BYTES_MAX = 2048;

/** The exit of a container that the runtime reports as ended. */
export async function exitOf(
  services: PodServices,
  pod: Pod,
  name: string,
  info: ContainerInspection,
  signal: AbortSignal,
): Promise<ContainerExit> {
  const { clock } = services;
  const { id, exitCode, startedAtMs, finishedAtMs } = info;
  if (startedAtMs === 0) {
    // Created, but its process never came up.
    return {
      containerId: id,
      exitCode: exitCode || 128,
      reason: 'ContainerCannotRun',
      ...(info.error ? { message: info.error } : {}),
      startedAtMs: 0,
      finishedAtMs: finishedAtMs || clock.nowMs(),
    };
  }
  const reason = info.oomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error';
  const message = await terminationMessage(services, pod, name, info, signal).catch(() => '');
  return {
    containerId: id,
    exitCode,
    reason,
    ...(message ? { message } : {}),
    startedAtMs,
    finishedAtMs: finishedAtMs || clock.nowMs(),
  };
}

/** The exit of a run that nothing is known of any more. */
export function lostExit(containerId: string, startedAtMs: number, nowMs: number): ContainerExit {
  return {
    containerId,
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
    startedAtMs,
    finishedAtMs: nowMs,
  };
}

async function terminationMessage(
  services: PodServices,
  pod: Pod,
  name: string,
  info: ContainerInspection,
  signal: AbortSignal,
): Promise<string> {
  const restartCount = Number(info.labels[LABEL.restartCount] ?? 0);
  const path = terminationLogPath(services.settings, pod, name, restartCount);
  const text = await head(path);
  if (text !== '') return text;
  const policy = containerSpec(pod, name)?.terminationMessagePolicy;
  if (policy !== 'FallbackToLogsOnError' || info.exitCode === 0) return '';
  return bounded('logsTail', { clock: services.clock, signal }, async (inner) => {
    const logs = await services.runtime.logs(info.id, { tailLines: LOG_LINES_MAX }, inner);
    const chunks: Uint8Array[] = [];
    for await (const chunk of logs) chunks.push(chunk);
    return Buffer.concat(chunks).subarray(-LOG_BYTES_MAX).toString('utf8');
  });
}

async function head(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(MESSAGE_BYTES_MAX),
      0,
      MESSAGE_BYTES_MAX,
      0,
    );
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}
