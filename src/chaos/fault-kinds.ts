/**
 * Every fault there is: what it does, how long it lasts, what is said of it. Each only begins here; the end is the same for
 * all: everything is mended, and whatever is down is started.
 */

import type { LabCluster } from '../lab/cluster.ts';
import { pause } from '../lab/processes.ts';
import { describeLoss } from '../lab/unsynced.ts';
import { waitUntil } from '../lab/wait.ts';
import type { Harm } from './harm.ts';

export type FaultScene = {
  readonly cluster: LabCluster;
  readonly harm: Harm;
  readonly victim: string;
  readonly other: string;
  /** From 0 to 1. */
  readonly amount: number;
  /** When the step is to end. */
  readonly signal: AbortSignal;
  /** Told of what else is worth a line. */
  readonly report: (line: string) => void;
};

type Fault = {
  /** What happens, in words that follow the name of the victim. */
  readonly says: (scene: Pick<FaultScene, 'other' | 'amount'>) => string;
  /** Default: the host that was drawn. */
  readonly victim?: 'leader';
  /** Whom it harms. Default: the victim. */
  readonly harms?: 'all';
  /** Shortest and longest duration in ms. */
  readonly lastMs: readonly [number, number];
  /** Nothing else is broken meanwhile: what it does takes all that can be spared. Default false. */
  readonly alone?: true;
  readonly begin: (scene: FaultScene) => Promise<void>;
};

const SHORT = [300, 2_500] as const;
/** Long enough for elections and for what waits five seconds. */
const LONG = [3_000, 10_000] as const;
const HOUR_MS = 3_600_000;
const FLAP_MS = 400;
const REMOVAL_DEADLINE_MS = 60_000;
const SKEIN = new URL('../../scripts/skein', import.meta.url).pathname;

const between = (min: number, max: number, amount: number): number =>
  Math.round(min + (max - min) * amount);
const slowDiskMs = (amount: number): number => between(50, 500, amount);
const slowLinkMs = (amount: number): number => between(5, 150, amount);
const lostPercent = (amount: number): number => between(1, 15, amount);
const clockMs = (amount: number): number => (amount < 0.5 ? -HOUR_MS : HOUR_MS);

const kill = ({ cluster, victim }: FaultScene) => cluster.kill(victim).then(() => {});
const isolate = ({ cluster, victim }: FaultScene) => cluster.isolate(victim);
const freeze = ({ cluster, victim }: FaultScene) => cluster.pause(victim, true);
const hang = ({ cluster, victim }: FaultScene) => cluster.disk(victim, { name: 'hung' });

async function powerCut({ cluster, harm, victim, report }: FaultScene): Promise<void> {
  const { lost } = await cluster.kill(victim, true);
  if (lost) report(`${victim}: ${describeLoss(lost)}`);
  // Afterwards: what was seen before, at the last moment too, was another life's.
  harm.loseContainers(victim);
}

async function flap({ cluster, victim, other, signal }: FaultScene): Promise<void> {
  while (!signal.aborted) {
    await cluster.cut(victim, other);
    await pause(FLAP_MS, signal);
    await cluster.heal();
    await pause(FLAP_MS, signal);
  }
}

/** For good, and back as a new member under the old name. */
async function removeAndJoin({ cluster, harm, victim, other }: FaultScene): Promise<void> {
  await waitUntil(
    `${victim} to be removed`,
    async () => {
      const { code, stderr } = await cluster.tryOnHost(other, [SKEIN, 'remove', victim]);
      if (code === 0) return true;
      // An earlier attempt whose answer was lost may have done it.
      if (/there is no node/.test(stderr)) return true;
      throw new Error(stderr.trim());
    },
    { deadlineMs: REMOVAL_DEADLINE_MS },
  );
  await waitUntil(`skein on ${victim} to end`, async () => !(await cluster.status(victim)));
  await waitUntil(`${victim} to be reset`, async () => {
    const { code, stderr } = await cluster.tryOnHost(victim, [SKEIN, 'reset', '--yes']);
    if (code !== 0) throw new Error(stderr.trim());
    return true;
  });
  harm.loseContainers(victim);
}

const all = (scene: FaultScene, one: (scene: FaultScene) => Promise<void>): Promise<void> =>
  Promise.all(scene.cluster.hosts.map((victim) => one({ ...scene, victim }))).then(() => {});

/** By name, as `--only` takes it. */
export const FAULTS = {
  kill: { says: () => 'SIGKILL to its skein', lastMs: SHORT, begin: kill },
  'kill-leader': {
    says: () => 'SIGKILL to its skein',
    victim: 'leader',
    lastMs: SHORT,
    begin: kill,
  },
  'kill-all': {
    says: () => 'and all others: SIGKILL to every skein at once',
    harms: 'all',
    alone: true,
    lastMs: SHORT,
    begin: (scene) => all(scene, kill),
  },
  'power-cut': { says: () => 'its power is cut', lastMs: SHORT, begin: powerCut },
  'power-cut-leader': {
    says: () => 'its power is cut',
    victim: 'leader',
    lastMs: SHORT,
    begin: powerCut,
  },
  blackout: {
    says: () => 'and all others lose power at once',
    harms: 'all',
    alone: true,
    lastMs: SHORT,
    begin: (scene) => all(scene, powerCut),
  },
  'stop-leader': {
    says: () => 'SIGTERM to its skein',
    victim: 'leader',
    lastMs: SHORT,
    begin: ({ cluster, victim }) => cluster.stopHost(victim),
  },
  freeze: { says: () => 'its skein freezes (SIGSTOP)', lastMs: LONG, begin: freeze },
  'freeze-leader': {
    says: () => 'its skein freezes (SIGSTOP)',
    victim: 'leader',
    lastMs: LONG,
    begin: freeze,
  },
  cut: {
    says: ({ other }) => `its link to ${other} is cut`,
    lastMs: SHORT,
    begin: ({ cluster, victim, other }) => cluster.cut(victim, other),
  },
  isolate: { says: () => 'it is cut off from all others', lastMs: SHORT, begin: isolate },
  'isolate-leader': {
    says: () => 'it is cut off from all others',
    victim: 'leader',
    lastMs: SHORT,
    begin: isolate,
  },
  deafen: {
    says: () => 'it hears nobody, but is heard',
    lastMs: SHORT,
    begin: async ({ cluster, victim }) => {
      for (const host of cluster.hosts) if (host !== victim) await cluster.cutOneWay(host, victim);
    },
  },
  'mute-leader': {
    says: () => 'nobody hears it, but it hears',
    victim: 'leader',
    lastMs: SHORT,
    begin: async ({ cluster, victim }) => {
      for (const host of cluster.hosts) if (host !== victim) await cluster.cutOneWay(victim, host);
    },
  },
  'deafen-leader': {
    says: () => 'it hears nobody, but is heard',
    victim: 'leader',
    lastMs: SHORT,
    begin: async ({ cluster, victim }) => {
      for (const host of cluster.hosts) if (host !== victim) await cluster.cutOneWay(host, victim);
    },
  },
  flap: {
    says: ({ other }) => `its link to ${other} comes and goes`,
    victim: 'leader',
    alone: true,
    lastMs: LONG,
    begin: flap,
  },
  'slow-link': {
    says: ({ other, amount }) => `its link to ${other} takes ${slowLinkMs(amount)} ms each way`,
    lastMs: LONG,
    begin: ({ cluster, victim, other, amount }) => cluster.delay(victim, other, slowLinkMs(amount)),
  },
  'lossy-link': {
    says: ({ other, amount }) =>
      `its link to ${other} loses ${lostPercent(amount)} % of all frames`,
    lastMs: LONG,
    begin: ({ cluster, victim, other, amount }) =>
      cluster.delay(victim, other, 1, lostPercent(amount)),
  },
  'slow-disk': {
    says: ({ amount }) => `its disk takes ${slowDiskMs(amount)} ms longer to sync`,
    lastMs: LONG,
    begin: ({ cluster, victim, amount }) =>
      cluster.disk(victim, { name: 'slow', delayMs: slowDiskMs(amount) }),
  },
  'slow-disk-leader': {
    says: ({ amount }) => `its disk takes ${slowDiskMs(amount)} ms longer to sync`,
    victim: 'leader',
    lastMs: LONG,
    begin: ({ cluster, victim, amount }) =>
      cluster.disk(victim, { name: 'slow', delayMs: slowDiskMs(amount) }),
  },
  'hang-disk': { says: () => 'its disk hangs', lastMs: LONG, begin: hang },
  'hang-disk-leader': {
    says: () => 'its disk hangs',
    victim: 'leader',
    lastMs: [7_000, 10_000],
    begin: hang,
  },
  'fail-disk': {
    says: () => 'its disk fails to sync (EIO)',
    lastMs: SHORT,
    begin: ({ cluster, victim }) => cluster.disk(victim, { name: 'failing' }),
  },
  'fail-disk-leader': {
    says: () => 'its disk fails to sync (EIO)',
    victim: 'leader',
    lastMs: SHORT,
    begin: ({ cluster, victim }) => cluster.disk(victim, { name: 'failing' }),
  },
  'fill-disk': {
    says: () => 'its disk is full (ENOSPC)',
    lastMs: LONG,
    begin: ({ cluster, victim }) => cluster.disk(victim, { name: 'full' }),
  },
  'read-only-disk': {
    says: () => 'its disk becomes read-only (EROFS)',
    lastMs: SHORT,
    begin: ({ cluster, victim }) => cluster.disk(victim, { name: 'read-only' }),
  },
  clock: {
    says: ({ amount }) => `its wall clock jumps an hour ${amount < 0.5 ? 'back' : 'ahead'}`,
    lastMs: LONG,
    begin: ({ cluster, victim, amount }) => cluster.clock(victim, clockMs(amount)),
  },
  'clock-leader': {
    says: ({ amount }) => `its wall clock jumps an hour ${amount < 0.5 ? 'back' : 'ahead'}`,
    victim: 'leader',
    lastMs: LONG,
    begin: ({ cluster, victim, amount }) => cluster.clock(victim, clockMs(amount)),
  },
  rejoin: {
    says: ({ other }) => `${other} removes it for good; it joins again as a new node`,
    alone: true,
    lastMs: [0, 500],
    begin: removeAndJoin,
  },
} as const satisfies Readonly<Record<string, Fault>>;

export type FaultKind = keyof typeof FAULTS;

/** Faults that may go with any other that is not alone: they take nobody away. */
export const COMPANIONS: readonly FaultKind[] = ['slow-link', 'lossy-link', 'slow-disk', 'clock'];

/** The fault of a kind, with all that it may say of itself. */
export const faultOf = (kind: FaultKind): Fault => FAULTS[kind];
