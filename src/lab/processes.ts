/**
 * Processes that outlive the command that started them, named by pid and start time, so that a reused pid is never mistaken
 * for ours.
 */

import { readFile } from 'node:fs/promises';

/** A process as the machine's own pid namespace sees it. `startTime` is field 22 of /proc/pid/stat. */
export type ProcessId = { readonly pid: number; readonly startTime: string };

const POLL_MS = 20;

/** The start time in the text of /proc/pid/stat; undefined for a zombie. Pure. */
export function startTimeOf(stat: string): string | undefined {
  // The second field is the program's name in parentheses and may hold anything: count from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

/** The identity of a living process, or undefined when it is gone or a zombie. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  const startTime = stat === undefined ? undefined : startTimeOf(stat);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** True while the very process that was started is alive. */
export async function isAlive(id: ProcessId | undefined): Promise<boolean> {
  return id !== undefined && (await identify(id.pid))?.startTime === id.startTime;
}

/** Sends `signal` unless the process is gone; true if it was sent. */
export async function signalProcess(
  id: ProcessId | undefined,
  signal: NodeJS.Signals,
): Promise<boolean> {
  if (!id || !(await isAlive(id))) return false;
  try {
    process.kill(id.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Waits until the process is gone; false when it outlives the deadline. */
export async function waitGone(id: ProcessId | undefined, deadlineMs: number): Promise<boolean> {
  const deadline = performance.now() + deadlineMs;
  while (await isAlive(id)) {
    if (performance.now() > deadline) return false;
    await pause(POLL_MS);
  }
  return true;
}

/** Lets `ms` pass between two looks at the world; less when the signal fires. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}
