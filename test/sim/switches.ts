/** Every kind of trouble has a switch, so that a failing story can be told without it. */

import type { SwarmOptions } from './world/swarm.ts';

type Off = (options: SwarmOptions) => SwarmOptions;

const never = { everyMs: Number.POSITIVE_INFINITY } as const;
const network = (change: Partial<SwarmOptions['network']>): Off => {
  return (options) => ({ ...options, network: { ...options.network, ...change } });
};
const clients = (change: Partial<SwarmOptions['clients']>): Off => {
  return (options) => ({ ...options, clients: { ...options.clients, ...change } });
};
const crash = (change: Partial<SwarmOptions['crash']>): Off => {
  return (options) => ({ ...options, crash: { ...options.crash, ...change } });
};

/** What each switch takes away. */
export const switches: Readonly<Record<string, Off>> = {
  partition: (options) => ({ ...options, partition: { ...options.partition, ...never } }),
  clog: (options) => ({ ...options, clog: { ...options.clog, ...never } }),
  'disk-stall': (options) => ({ ...options, diskStall: { ...options.diskStall, ...never } }),
  'disk-trouble': (options) => ({ ...options, diskTrouble: { ...options.diskTrouble, ...never } }),
  'disk-loss': (options) => ({ ...options, loseDisk: { ...options.loseDisk, ...never } }),
  crash: crash(never),
  'crash-of-all': crash({ all: 0 }),
  power: crash({ power: 0 }),
  moved: crash({ moved: 0 }),
  orderly: crash({ orderly: 0 }),
  pause: (options) => ({ ...options, pause: { ...options.pause, ...never } }),
  'slow-loop': (options) => ({ ...options, slowLoop: { ...options.slowLoop, ...never } }),
  'clock-jump': (options) => ({ ...options, clockJump: { ...options.clockJump, ...never } }),
  drift: (options) => ({ ...options, drift: 0 }),
  strikes: (options) => ({ ...options, strikes: { ...options.strikes, odds: 0 } }),
  'torn-tails': (options) => ({ ...options, disk: { ...options.disk, tornOdds: 0 } }),
  loss: network({ loss: 0 }),
  replay: network({ replay: 0 }),
  reorder: network({ reorder: 0 }),
  'one-way': (options) => ({ ...options, partition: { ...options.partition, oneWay: 0 } }),
  'held-by-cut': network({ heldByCut: 0 }),
  'full-links': network({ linkCapacity: 1_000, bytesPerMs: 100_000 }),
  changes: (options) => ({ ...options, changeEveryMs: Number.POSITIVE_INFINITY }),
  transfers: (options) => ({ ...options, transferEveryMs: Number.POSITIVE_INFINITY }),
  hints: (options) => ({ ...options, hintEveryMs: Number.POSITIVE_INFINITY }),
  floods: clients({ floodEveryMs: Number.POSITIVE_INFINITY }),
  watchers: clients({ watchers: 0 }),
  singleton: clients({ singletonMs: Number.POSITIVE_INFINITY }),
  padding: clients({ paddingBytesMax: 0 }),
  'loop-lag': (options) => ({ ...options, loopLagMs: 0 }),
  snapshots: (options) => ({ ...options, snapshotEntries: 1_000_000 }),
  releases: (options) => ({ ...options, releases: { ...options.releases, olds: 0 } }),
  limits: (options) => ({ ...options, raft: {} }),
};

/** Switches off what `names` name. Throws RangeError for an unknown one. */
export function switchOff(names: readonly string[]): Off {
  const chosen = names.map((name) => {
    const off = switches[name];
    if (off === undefined) throw new RangeError(`there is no switch ${name}`);
    return off;
  });
  return (options) => chosen.reduce((left, off) => off(left), options);
}
