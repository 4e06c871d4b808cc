/** What is broken, when and for how long: follows from a seed and the number of hosts alone. Pure. */

import { type Random, seededRandom } from '../lib/random.ts';
import { COMPANIONS, FAULTS, type FaultKind, faultOf } from './fault-kinds.ts';

export type PlannedFault = {
  readonly kind: FaultKind;
  /** Index of the host it concerns, unless the kind concerns whoever leads. */
  readonly victim: number;
  /** Index of another host. */
  readonly other: number;
  /** What the kind makes of it: milliseconds of delay, the direction of a clock, ... from 0 to 1. */
  readonly amount: number;
};

export type Step = {
  readonly number: number;
  /** One, or two at the same time on different hosts. */
  readonly faults: readonly PlannedFault[];
  /** How long they last. */
  readonly lastMs: number;
  /** Peace afterwards, once the cluster is well. */
  readonly quietMs: number;
};

export type ScheduleOptions = {
  readonly seed: number;
  readonly hosts: number;
  /** Default: every kind. */
  readonly kinds?: readonly FaultKind[];
};

const QUIET_MS_MAX = 1_500;
const COMPANY = 0.3;

/** Steps without end. Each kind comes once before any comes twice, so that a short run has seen most. */
export function* planSteps(options: ScheduleOptions): Generator<Step, never> {
  const { seed, hosts, kinds = Object.keys(FAULTS) as FaultKind[] } = options;
  const random = seededRandom(seed);
  const companions = COMPANIONS.filter((kind) => kinds.includes(kind));
  let bag: FaultKind[] = [];
  for (let number = 1; ; number++) {
    if (bag.length === 0) bag = [...kinds];
    const kind = random.pick(bag);
    bag.splice(bag.indexOf(kind), 1);
    const { lastMs, alone = false } = faultOf(kind);
    const first = planFault(kind, hosts, random);
    const fitting = companions.filter((companion) => companion !== kind);
    const accompanied = random.chance(COMPANY) && !alone && fitting.length > 0;
    const companion = accompanied ? random.pick(fitting) : undefined;
    const second =
      companion === undefined ? [] : [planFault(companion, hosts, random, first.other)];
    yield {
      number,
      faults: [first, ...second],
      lastMs: random.int(...lastMs),
      quietMs: random.int(0, QUIET_MS_MAX),
    };
  }
}

function planFault(
  kind: FaultKind,
  hosts: number,
  random: Random,
  victim = random.int(0, hosts - 1),
): PlannedFault {
  const other = (victim + random.int(1, hosts - 1)) % hosts;
  return { kind, victim, other, amount: random.float() };
}
