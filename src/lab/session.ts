/** A lab under change: the plan, and the state that is written after every step that matters. */

import { controlSocketPath, DEFAULT_DATA_DIR } from '../cli/control-client.ts';
import { SkeinError } from '../lib/errors.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import { isAlive, type ProcessId } from './processes.ts';
import {
  type HostProcesses,
  type LabState,
  loadLab,
  planOf,
  withLabLock,
  writeState,
} from './state.ts';
import { findHostProcesses } from './strays.ts';

/** Where progress is told, one line a step. */
export type Report = (line: string) => void;

export class LabSession {
  readonly name: string;
  #plan: LabPlan;
  #state: LabState;
  #saved: Promise<void> = Promise.resolve();

  constructor(name: string, state: LabState) {
    this.name = name;
    this.#plan = planOf(name, state);
    this.#state = state;
  }

  get state(): LabState {
    return this.#state;
  }

  get plan(): LabPlan {
    return this.#plan;
  }

  processesOf(host: HostPlan): HostProcesses {
    return this.#state.hosts[host.name] ?? {};
  }

  /** Writes follow one another: hosts are worked on side by side. */
  save(change: Partial<LabState>): Promise<void> {
    this.#state = { ...this.#state, ...change };
    this.#plan = planOf(this.name, this.#state);
    this.#saved = this.#saved.then(() => writeState(this.name, this.#state));
    return this.#saved;
  }

  /** Remembers processes of a host, besides those it had. */
  saveHost(host: HostPlan, processes: HostProcesses): Promise<void> {
    const merged = { ...this.processesOf(host), ...processes };
    return this.save({ hosts: { ...this.#state.hosts, [host.name]: merged } });
  }

  /** Looks at a host and corrects the books: a command that was killed may have started what they do not name. */
  async look(host: HostPlan): Promise<void> {
    const known = this.processesOf(host);
    const found = await findHostProcesses(host.netns);
    const missed: { -readonly [role in keyof HostProcesses]: ProcessId } = {};
    for (const role of ['init', 'dockerd', 'skein'] as const) {
      const id = found[role];
      if (id && !(await isAlive(known[role]))) missed[role] = id;
    }
    if (Object.keys(missed).length > 0) await this.saveHost(host, missed);
  }

  /** The init process of a living host; throws config-invalid with the remedy when the host is down. */
  async initOf(host: HostPlan): Promise<ProcessId> {
    const { init } = this.processesOf(host);
    if (init && (await isAlive(init))) return init;
    throw new SkeinError(
      'config-invalid',
      `host ${host.name} is down; start it with: skein lab start ${host.name}${nameFlag(this.name)}`,
    );
  }
}

/** The flag that names a lab in a command to be shown; empty for the default lab. */
export const nameFlag = (name: string): string => (name === 'lab' ? '' : ` --name ${name}`);

/** The host's control socket, reached through the directory that the host mounts. */
export function controlSocketOf(host: HostPlan): string {
  return controlSocketPath(`${host.dir}/root${DEFAULT_DATA_DIR}`);
}

/** An existing lab, to look at. */
export async function openLab(name: string): Promise<LabSession> {
  return new LabSession(name, (await loadLab(name)).state);
}

/** Runs `work` on an existing lab, alone. */
export function onLab<T>(name: string, work: (lab: LabSession) => Promise<T>): Promise<T> {
  return withLabLock(name, async () => work(await openLab(name)));
}
