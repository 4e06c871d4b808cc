/** What a lab is for: dead processes, dead hosts, cut, slow and lossy links. */

import { SkeinError } from '../lib/errors.ts';
import { ensureDelayLine, stopDelayLine } from './delay.ts';
import { killHost, removeCgroups } from './host.ts';
import { applyCuts, removeHostLink, unplug } from './network.ts';
import { hostOf } from './plan.ts';
import { signalProcess, waitGone } from './processes.ts';
import { type LabSession, onLab } from './session.ts';
import type { DelayRule, LabState } from './state.ts';
import { leaderOf } from './status.ts';

const KILL_DEADLINE_MS = 15_000;

export type LabKillOptions = {
  readonly name: string;
  /** A host's name, or `leader`. */
  readonly host: string;
  readonly wholeHost: boolean;
};

/** SIGKILLs the Skein process of a host, or everything on it. Returns the host's name. */
export async function labKill(options: LabKillOptions): Promise<string> {
  return onLab(options.name, async (lab) => {
    const host = options.host === 'leader' ? await leaderOf(lab) : hostOf(lab.plan, options.host);
    const processes = lab.processesOf(host);
    if (options.wholeHost) {
      await unplug(lab.plan, host); // First: a dead machine does not refuse connections, it is silent.
      await killHost(host, processes);
      await removeHostLink(lab.plan, host);
      await removeCgroups(lab.plan, host);
    } else {
      await signalProcess(processes.skein, 'SIGKILL');
      if (!(await waitGone(processes.skein, KILL_DEADLINE_MS))) {
        throw new SkeinError('deadline-exceeded', `skein on ${host.name} outlives SIGKILL`);
      }
    }
    return host.name;
  });
}

/** Cuts the link between two hosts in both directions. */
export async function labCut(name: string, a: string, b: string): Promise<void> {
  await onLab(name, async (lab) => {
    const pair = [hostOf(lab.plan, a).name, hostOf(lab.plan, b).name] as const;
    await setCuts(lab, [...lab.state.cuts, pair]);
  });
}

/** Cuts a host off from every other host; the machine itself still reaches it. */
export async function labIsolate(name: string, hostName: string): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    const others = lab.plan.hosts.filter((other) => other !== host);
    await setCuts(lab, [
      ...lab.state.cuts,
      ...others.map((other) => [host.name, other.name] as const),
    ]);
  });
}

/** Mends every cut and removes every delay. */
export async function labHeal(name: string): Promise<void> {
  await onLab(name, async (lab) => {
    await setCuts(lab, []);
    await setDelays(lab, []);
  });
}

/** Each pair once, whichever way round it was named. Pure. */
export function distinctPairs(cuts: LabState['cuts']): LabState['cuts'] {
  const unique = new Map(cuts.map((pair) => [[...pair].sort().join(' '), pair]));
  return [...unique.values()];
}

async function setCuts(lab: LabSession, cuts: LabState['cuts']): Promise<void> {
  const distinct = distinctPairs(cuts);
  await applyCuts(lab.plan, distinct);
  await lab.save({ cuts: distinct });
}

/** Delays (and loses a share of) the frames between two hosts, both ways; 0 ms and 0 % remove the rule. */
export async function labDelay(name: string, rule: DelayRule): Promise<void> {
  await onLab(name, async (lab) => {
    const a = hostOf(lab.plan, rule.a).name;
    const b = hostOf(lab.plan, rule.b).name;
    if (a === b) throw new SkeinError('config-invalid', `${a} has no link to itself`);
    await setDelays(lab, replaceRule(lab.state.delays, { ...rule, a, b }));
  });
}

/** `rules` with `rule` in the place of what held for its link; without it when it asks for nothing. Pure. */
export function replaceRule(rules: readonly DelayRule[], rule: DelayRule): readonly DelayRule[] {
  const link = [rule.a, rule.b].sort().join(' ');
  const others = rules.filter(({ a, b }) => [a, b].sort().join(' ') !== link);
  return rule.delayMs > 0 || rule.lossPercent > 0 ? [...others, rule] : others;
}

async function setDelays(lab: LabSession, delays: readonly DelayRule[]): Promise<void> {
  await lab.save({ delays });
  const delayLine = await ensureDelayLine(lab.plan, delays);
  await lab.save({ delayLine });
}

/** Makes cuts and delays hold again after a host was plugged in, or the switch was made anew. */
export async function restoreFaults(lab: LabSession): Promise<void> {
  const { cuts, delays } = lab.state;
  await applyCuts(lab.plan, cuts);
  if (delays.length > 0) await setDelays(lab, delays);
}

/** Ends the delay line of a lab that goes down; the switch may be gone already. */
export async function endFaults(lab: LabSession): Promise<void> {
  await stopDelayLine(lab.plan).catch(() => {});
  await signalProcess(lab.state.delayLine, 'SIGKILL');
}
