/**
 * Faults at random, from a seed: processes killed, ended and paused, links cut and mended, one thing after the
 * other, never so much at once that the cluster could not go on for long.
 */

import type { Random } from '../../../src/lib/random.ts';
import { type TestCluster, waitFor } from './cluster.ts';

export type ChaosOptions = {
  readonly cluster: TestCluster;
  readonly random: Random;
  /** Told of everything that is done, in words. */
  readonly report: (line: string) => void;
};

type Fault =
  | 'kill-leader'
  | 'kill'
  | 'power-cut'
  | 'stop'
  | 'pause-leader'
  | 'cut'
  | 'isolate'
  | 'isolate-leader';

const FAULTS: readonly Fault[] = [
  'kill-leader',
  'kill-leader',
  'kill',
  'power-cut',
  'stop',
  'pause-leader',
  'cut',
  'isolate',
  'isolate-leader',
];
const LAST_MS = { min: 300, max: 2500 };
const QUIET_MS = { min: 0, max: 1200 };

/** One fault after the other until the signal fires; ends with all hosts up and all links whole. */
export async function wreakHavoc(options: ChaosOptions, signal: AbortSignal): Promise<void> {
  const { cluster, random } = options;
  // Each fault kind comes once before any comes twice: a short run has them all.
  let bag: Fault[] = [];
  while (!signal.aborted) {
    if (bag.length === 0) bag = [...FAULTS];
    const fault = random.pick(bag);
    bag.splice(bag.indexOf(fault), 1);
    await doFault(options, fault, signal);
    await pause(random.int(QUIET_MS.min, QUIET_MS.max), signal);
  }
  await cluster.heal();
}

async function doFault(options: ChaosOptions, fault: Fault, signal: AbortSignal): Promise<void> {
  const { cluster, random, report } = options;
  const lastMs = random.int(LAST_MS.min, LAST_MS.max);
  const some = random.pick(cluster.hosts);
  const host = fault.endsWith('leader') ? await leaderOr(cluster, some) : some;
  const other = random.pick(cluster.hosts.filter((candidate) => candidate !== host));
  report(`${fault} ${host}${fault === 'cut' ? ` - ${other}` : ''} for ${lastMs} ms`);
  switch (fault) {
    case 'kill':
    case 'kill-leader':
      process.kill(await cluster.pid(host), 'SIGKILL');
      await pause(lastMs, signal);
      return cluster.startHost(host);
    case 'power-cut':
      await cluster.kill(host, true);
      await pause(lastMs, signal);
      return cluster.startHost(host);
    case 'stop':
      await cluster.stopHost(host);
      await pause(lastMs, signal);
      return cluster.startHost(host);
    case 'pause-leader':
      await cluster.pause(host, true);
      await pause(lastMs, signal);
      return cluster.pause(host, false);
    case 'cut':
      await cluster.cut(host, other);
      await pause(lastMs, signal);
      return cluster.heal();
    default:
      await cluster.isolate(host);
      await pause(lastMs, signal);
      return cluster.heal();
  }
}

/** Who leads, or `otherwise` while nobody does. */
async function leaderOr(cluster: TestCluster, otherwise: string): Promise<string> {
  return waitFor('a leader', () => cluster.leaderNow(), 1000).catch(() => otherwise);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
