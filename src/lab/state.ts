/**
 * What a lab remembers between commands: one JSON file per lab with the plan's parameters and, per
 * host, the processes started. A process is named by pid and start time, so that a reused pid is
 * never mistaken for ours.
 */

import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { SkeinError } from '../lib/errors.ts';
import { checkLabName, freeIndex, type LabPlan, planLab } from './plan.ts';

/** A process as the machine's own pid namespace sees it. `startTime` is field 22 of /proc/pid/stat. */
export type ProcessId = { readonly pid: number; readonly startTime: string };

export type HostProcesses = {
  /** Process 1 of the host's pid namespace: its death is the host's death. */
  readonly init?: ProcessId;
  readonly dockerd?: ProcessId;
  readonly skein?: ProcessId;
};

export type DelayRule = {
  readonly a: string;
  readonly b: string;
  readonly delayMs: number;
  readonly lossPercent: number;
};

export type LabState = {
  readonly index: number;
  readonly nodes: number;
  readonly hosts: Readonly<Record<string, HostProcesses>>;
  /** Pairs of hosts whose link is cut. */
  readonly cuts: readonly (readonly [string, string])[];
  readonly delays: readonly DelayRule[];
  /** The delay line, while any delay is set. */
  readonly delayLine?: ProcessId;
  /** Extra flags of every host's `skein up`. */
  readonly flags: readonly string[];
};

/** Directory of all labs: SKEIN_LAB_DIR or /var/lib/skein-lab. */
export function labRoot(): string {
  return process.env['SKEIN_LAB_DIR'] ?? '/var/lib/skein-lab';
}

const stateFile = (name: string): string => `${labRoot()}/${name}/lab.json`;

/** The state of lab `name`, or undefined when there is none. */
export async function readState(name: string): Promise<LabState | undefined> {
  checkLabName(name);
  try {
    return JSON.parse(await readFile(stateFile(name), 'utf8')) as LabState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Replaces the state atomically. */
export async function writeState(name: string, state: LabState): Promise<void> {
  const temporary = `${stateFile(name)}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(state, null, 2)}\n`);
  } finally {
    await file.close();
  }
  await rename(temporary, stateFile(name));
}

/** The state and plan of an existing lab; throws config-invalid with the remedy when there is none. */
export async function loadLab(name: string): Promise<{ state: LabState; plan: LabPlan }> {
  const state = await readState(name);
  if (!state) {
    const hint = name === 'lab' ? '' : ` --name ${name}`;
    throw new SkeinError(
      'config-invalid',
      `there is no lab "${name}"; start it with: skein lab up${hint}`,
    );
  }
  return { state, plan: planLab(labRoot(), name, state.index, state.nodes) };
}

/** Names of all labs that have a state, sorted. */
export async function listLabs(): Promise<string[]> {
  const entries = await readdir(labRoot(), { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** Creates the state of a new lab with a free index. */
export async function createState(
  name: string,
  nodes: number,
  flags: readonly string[],
): Promise<LabState> {
  checkLabName(name);
  const taken = new Set<number>();
  for (const other of await listLabs()) {
    const state = await readState(other);
    if (state) taken.add(state.index);
  }
  const state = { index: freeIndex(taken), nodes, hosts: {}, cuts: [], delays: [], flags };
  planLab(labRoot(), name, state.index, nodes);
  await mkdir(`${labRoot()}/${name}`, { recursive: true, mode: 0o700 });
  await writeState(name, state);
  return state;
}

/** Forgets a lab with all that its hosts kept on disk. */
export async function removeLab(name: string): Promise<void> {
  checkLabName(name);
  await rm(`${labRoot()}/${name}`, {
    recursive: true,
    force: true,
    maxRetries: 5,
    retryDelay: 200,
  });
}

const LOCK_WAIT_MS = 60_000;

/**
 * Runs `work` while no other command changes labs. The lock file names its holder; one whose holder is gone
 * is taken over.
 */
export async function withLabLock<T>(work: () => Promise<T>): Promise<T> {
  const path = `${labRoot()}/lock`;
  await mkdir(labRoot(), { recursive: true, mode: 0o700 });
  const deadline = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(String(process.pid));
      await file.close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''));
    const gone = holder > 0 && (await processStartTime(holder)) === undefined;
    if (gone) await rm(path, { force: true });
    else if (performance.now() > deadline) {
      throw new SkeinError(
        'deadline-exceeded',
        `another lab command (pid ${holder}) holds ${path}; try again when it has ended`,
      );
    } else await new Promise((resolve) => setTimeout(resolve, 100));
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** Start time of a living process, or undefined when it is gone or a zombie. */
export async function processStartTime(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The second field is the program's name in parentheses and may hold anything: count from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

export async function identify(pid: number): Promise<ProcessId | undefined> {
  const startTime = await processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** True while the very process that was started is alive. */
export async function isAlive(id: ProcessId | undefined): Promise<boolean> {
  return id !== undefined && (await processStartTime(id.pid)) === id.startTime;
}

/** Sends `signal` unless the process is gone. */
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
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
