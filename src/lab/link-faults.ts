/** Links of a lab that are cut, one-way, slow and lossy. */

import { SkeinError } from '../lib/errors.ts';
import { ensureDelayLine, stopDelayLine } from './delay.ts';
import { applyCuts } from './network.ts';
import { hostOf } from './plan.ts';
import { signalProcess } from './processes.ts';
import { type LabSession, onLab } from './session.ts';
import type { DelayRule, LabState } from './state.ts';

type LinkCuts = Required<Pick<LabState, 'cuts' | 'oneWayCuts'>>;

export type LabCutOptions = {
  /** Drop only what `a` sends to `b`. Default: both ways. */
  readonly oneWay?: boolean;
};

/** Cuts the link between two hosts, in both directions or in one. */
export async function labCut(
  name: string,
  [a, b]: readonly [string, string],
  { oneWay = false }: LabCutOptions = {},
): Promise<void> {
  await onLab(name, async (lab) => {
    const pair = [hostOf(lab.plan, a).name, hostOf(lab.plan, b).name] as const;
    const { cuts, oneWayCuts } = cutsOf(lab);
    await setCuts(
      lab,
      oneWay ? { cuts, oneWayCuts: [...oneWayCuts, pair] } : { cuts: [...cuts, pair], oneWayCuts },
    );
  });
}

/** Cuts a host off from every other host; the machine itself still reaches it. */
export async function labIsolate(name: string, hostName: string): Promise<void> {
  await onLab(name, async (lab) => {
    const host = hostOf(lab.plan, hostName);
    const others = lab.plan.hosts.filter((other) => other !== host);
    const { cuts, oneWayCuts } = cutsOf(lab);
    const all = [...cuts, ...others.map((other) => [host.name, other.name] as const)];
    await setCuts(lab, { cuts: all, oneWayCuts });
  });
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

/** Mends every cut and removes every delay. */
export async function healLinks(lab: LabSession): Promise<void> {
  await setCuts(lab, { cuts: [], oneWayCuts: [] });
  await setDelays(lab, []);
}

/** Each pair once, whichever way round it was named. Pure. */
export function distinctPairs(cuts: LabState['cuts']): LabState['cuts'] {
  const unique = new Map(cuts.map((pair) => [[...pair].sort().join(' '), pair]));
  return [...unique.values()];
}

/** What is dropped, as sender and receiver, each once. Pure. */
export function droppedDirections({ cuts, oneWayCuts }: LinkCuts): LabState['cuts'] {
  const both = cuts.flatMap(([a, b]) => [[a, b] as const, [b, a] as const]);
  const unique = new Map([...both, ...oneWayCuts].map((pair) => [pair.join(' '), pair]));
  return [...unique.values()];
}

/** `rules` with `rule` in the place of what held for its link; without it when it asks for nothing. Pure. */
export function replaceRule(rules: readonly DelayRule[], rule: DelayRule): readonly DelayRule[] {
  const link = [rule.a, rule.b].sort().join(' ');
  const others = rules.filter(({ a, b }) => [a, b].sort().join(' ') !== link);
  return rule.delayMs > 0 || rule.lossPercent > 0 ? [...others, rule] : others;
}

/** Makes cuts and delays hold again after a host was plugged in, or the switch was made anew. */
export async function restoreFaults(lab: LabSession): Promise<void> {
  await applyCuts(lab.plan, droppedDirections(cutsOf(lab)));
  const { delays } = lab.state;
  if (delays.length > 0) await setDelays(lab, delays);
}

/** Ends the delay line of a lab that goes down; the switch may be gone already. */
export async function endFaults(lab: LabSession): Promise<void> {
  await stopDelayLine(lab.plan).catch(() => {});
  await signalProcess(lab.state.delayLine, 'SIGKILL');
}

const cutsOf = ({ state: { cuts, oneWayCuts = [] } }: LabSession): LinkCuts => ({
  cuts,
  oneWayCuts,
});

async function setCuts(lab: LabSession, { cuts, oneWayCuts }: LinkCuts): Promise<void> {
  const distinct = { cuts: distinctPairs(cuts), oneWayCuts };
  await applyCuts(lab.plan, droppedDirections(distinct));
  await lab.save(distinct);
}

async function setDelays(lab: LabSession, delays: readonly DelayRule[]): Promise<void> {
  await lab.save({ delays });
  const delayLine = await ensureDelayLine(lab.plan, delays);
  await lab.save({ delayLine });
}
