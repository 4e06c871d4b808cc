/** What a lab remembers between commands: one JSON file per lab with the plan's parameters and, per host, the processes started. */

import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { messageOf, SkeinError } from '../lib/errors.ts';
import { withLock } from './lock.ts';
import { checkLabName, freeIndex, type LabPlan, planLab } from './plan.ts';
import type { ProcessId } from './processes.ts';

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

/**
 * How each host's Docker is set up. `bare`: no bridge, no firewall rules, as suits a machine for Skein. `stock`: with both, as
 * Debian installs it: forwarded packets are dropped unless a rule admits them.
 */
export type DockerSetup = 'bare' | 'stock';

export type LabState = {
  readonly index: number;
  readonly nodes: number;
  readonly hosts: Readonly<Record<string, HostProcesses>>;
  /** Pairs of hosts whose link is cut. */
  readonly cuts: readonly (readonly [string, string])[];
  /** Senders and receivers between which nothing arrives; the other way round it does. */
  readonly oneWayCuts?: readonly (readonly [string, string])[];
  readonly delays: readonly DelayRule[];
  /** The delay line, while any delay is set. */
  readonly delayLine?: ProcessId | undefined;
  /** Extra flags of every host's `skein up`. */
  readonly flags: readonly string[];
  /** Default bare. */
  readonly docker?: DockerSetup;
  /** Skein runs over a shim that can break its disk and clock. Default false. */
  readonly faults?: boolean;
  /** Addresses of hosts that were given another than their first. */
  readonly addresses?: Readonly<Record<string, string>>;
};

export type NewLab = Pick<LabState, 'nodes' | 'flags' | 'docker' | 'faults'>;

/** Directory of all labs: SKEIN_LAB_DIR or /var/lib/skein-lab. Throws config-invalid when it is no absolute path. */
export function labRoot(): string {
  const root = process.env['SKEIN_LAB_DIR'] || '/var/lib/skein-lab';
  if (root.startsWith('/')) return root;
  throw new SkeinError('config-invalid', `SKEIN_LAB_DIR: expected an absolute path, got "${root}"`);
}

/** Directory of the lock files; an underscore keeps it apart from any lab. */
const LOCKS = '_locks';

const stateFile = (name: string): string => `${labRoot()}/${name}/lab.json`;

/** The plan that follows from a lab's state. */
export function planOf(name: string, { index, nodes, addresses }: LabState): LabPlan {
  return planLab({ root: labRoot(), name, index, nodes, ...(addresses ? { addresses } : {}) });
}

/** The state of lab `name`, or undefined when there is none. Throws data-damaged when it cannot be read. */
export async function readState(name: string): Promise<LabState | undefined> {
  checkLabName(name);
  const path = stateFile(name);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as LabState;
  } catch (cause) {
    throw new SkeinError('data-damaged', `${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Replaces the state atomically and durably. */
export async function writeState(name: string, state: LabState): Promise<void> {
  const temporary = `${stateFile(name)}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(state, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, stateFile(name));
}

/** The state and plan of an existing lab; throws config-invalid with the remedy when there is none. */
export async function loadLab(name: string): Promise<{ state: LabState; plan: LabPlan }> {
  const state = await readState(name);
  if (!state) {
    const others = await listLabs();
    const hint = name === 'lab' ? '' : ` --name ${name}`;
    const known = others.length === 0 ? '' : `; there is: ${others.join(', ')}`;
    throw new SkeinError(
      'config-invalid',
      `there is no lab "${name}"; start it with: skein lab up${hint}${known}`,
    );
  }
  return { state, plan: planOf(name, state) };
}

/** Names of all labs, sorted. */
export async function listLabs(): Promise<string[]> {
  const entries = await readdir(labRoot(), { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() && entry.name !== LOCKS)
    .map((entry) => entry.name)
    .sort();
}

/** Creates the state of a new lab with a free index. */
export async function createState(name: string, lab: NewLab): Promise<LabState> {
  checkLabName(name);
  // Labs are locked one by one; which index is free concerns them all.
  return withLock({ directory: `${labRoot()}/${LOCKS}`, name: '_index' }, async () => {
    const taken = new Set<number>();
    for (const other of await listLabs()) {
      const state = await readState(other);
      if (state) taken.add(state.index);
    }
    const state = { ...lab, index: freeIndex(taken), hosts: {}, cuts: [], delays: [] };
    planOf(name, state);
    await mkdir(`${labRoot()}/${name}`, { recursive: true, mode: 0o700 });
    await writeState(name, state);
    return state;
  });
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

/** Runs `work` while no other command changes lab `name`. */
export function withLabLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  checkLabName(name);
  return withLock({ directory: `${labRoot()}/${LOCKS}`, name }, work);
}
