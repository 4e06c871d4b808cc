/** What a lab is for: processes that die and hang, hosts that die, disks and clocks that go wrong; and the end of it all. */

import { readFile } from 'node:fs/promises';
import { SkeinError } from '../lib/errors.ts';
import { entropyRandom } from '../lib/random.ts';
import { type DiskCondition, diskFaultsOf } from './disk-condition.ts';
import { killHost, removeCgroups } from './host.ts';
import {
  CLOCK_OFFSET_MS_MAX,
  type HostFaults,
  NO_FAULTS,
  readFaults,
  writeFaults,
} from './host-faults.ts';
import { healLinks } from './link-faults.ts';
import { removeHostLink, unplug } from './network.ts';
import { type HostPlan, hostOf } from './plan.ts';
import { identify, type ProcessId, signalProcess, waitGone } from './processes.ts';
import { type LabSession, nameFlag, onLab } from './session.ts';
import { leaderOf } from './status.ts';
import { type LossCount, loseUnsynced } from './unsynced.ts';

const KILL_DEADLINE_MS = 15_000;

export type LabKillOptions = {
  readonly name: string;
  /** A host's name, or `leader`. */
  readonly host: string;
  readonly wholeHost: boolean;
};

/** `lost`: what a power cut took from the host's disk, in a lab with faults. */
export type LabKilled = { readonly host: string; readonly lost?: LossCount | undefined };

/**
 * SIGKILLs the Skein process of a host, or cuts its power: everything on it ends, and in a lab with faults what nobody had
 * synced is lost.
 */
export async function labKill(options: LabKillOptions): Promise<LabKilled> {
  return onLab(options.name, async (lab) => {
    const host = await namedHost(lab, options.host);
    const processes = lab.processesOf(host);
    if (options.wholeHost) {
      await unplug(lab.plan, host); // First: a dead machine does not refuse connections, it is silent.
      await killHost(host, processes);
      await removeHostLink(lab.plan, host);
      await removeCgroups(lab.plan, host);
      return { host: host.name, lost: await loseUnsynced(host, entropyRandom()) };
    } else {
      const parent = await parentOf(processes.skein);
      await signalProcess(processes.skein, 'SIGKILL');
      // One that was paused is reaped by a parent that must go on itself.
      await signalProcess(parent, 'SIGCONT');
      if (!(await waitGone(processes.skein, KILL_DEADLINE_MS))) {
        throw new SkeinError('deadline-exceeded', `skein on ${host.name} outlives SIGKILL`);
      }
    }
    return { host: host.name };
  });
}

/** Stops a host's Skein process in its tracks, as an overloaded machine would, until labResume. Returns the host's name. */
export async function labPause(name: string, hostName: string): Promise<string> {
  return onLab(name, async (lab) => {
    const host = await namedHost(lab, hostName);
    if (await signalProcess(lab.processesOf(host).skein, 'SIGSTOP')) return host.name;
    throw new SkeinError(
      'config-invalid',
      `skein does not run on ${host.name}; start it with: skein lab start ${host.name}${nameFlag(name)}`,
    );
  });
}

/** Lets a process that was paused go on; does nothing to one that runs. */
export async function labResume(name: string, hostName: string): Promise<void> {
  await onLab(name, async (lab) => resume(lab, hostOf(lab.plan, hostName)));
}

async function resume(lab: LabSession, host: HostPlan): Promise<void> {
  const { skein } = lab.processesOf(host);
  const parent = await parentOf(skein);
  await signalProcess(skein, 'SIGCONT');
  // nsenter, which waits for it, stops itself together with its child.
  await signalProcess(parent, 'SIGCONT');
}

/** Puts a host's disk (its Skein process' data directory) into a condition. Returns the host's name. */
export async function labDisk(
  name: string,
  hostName: string,
  condition: DiskCondition,
): Promise<string> {
  return changeFaults(name, hostName, { disk: diskFaultsOf(condition) });
}

/** Sets how far a host's wall clock is ahead of the machine's, in ms; negative: behind. Returns the host's name. */
export async function labClock(
  name: string,
  hostName: string,
  clockOffsetMs: number,
): Promise<string> {
  if (!(Math.abs(clockOffsetMs) <= CLOCK_OFFSET_MS_MAX)) {
    throw new SkeinError('config-invalid', 'a clock can be wrong by a day at most, either way');
  }
  return changeFaults(name, hostName, { clockOffsetMs });
}

/** Ends every fault that lasts: cuts, delays, pauses, disks, clocks. What was killed stays down. */
export async function labHeal(name: string): Promise<void> {
  await onLab(name, async (lab) => {
    for (const host of lab.plan.hosts) {
      if ((await readFaults(host)) !== undefined) await writeFaults(host, NO_FAULTS);
      await resume(lab, host);
    }
    await healLinks(lab);
  });
}

function changeFaults(name: string, hostName: string, change: Partial<HostFaults>) {
  return onLab(name, async (lab) => {
    const host = await namedHost(lab, hostName);
    const { disk, clockOffsetMs } = (await readFaults(host)) ?? NO_FAULTS;
    await writeFaults(host, { disk, clockOffsetMs, ...change });
    return host.name;
  });
}

const namedHost = async (lab: LabSession, name: string): Promise<HostPlan> =>
  name === 'leader' ? leaderOf(lab) : hostOf(lab.plan, name);

async function parentOf(id: ProcessId | undefined): Promise<ProcessId | undefined> {
  const status = await readFile(`/proc/${id?.pid}/status`, 'utf8').catch(() => '');
  const pid = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0);
  return pid > 1 ? identify(pid) : undefined;
}
