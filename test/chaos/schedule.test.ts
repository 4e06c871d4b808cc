import t from 'tap';
import { COMPANIONS, FAULTS, type FaultKind, faultOf } from '../../src/chaos/fault-kinds.ts';
import { planSteps, type ScheduleOptions, type Step } from '../../src/chaos/schedule.ts';

const KINDS = Object.keys(FAULTS) as FaultKind[];

function take(options: ScheduleOptions, count: number): Step[] {
  const planned = planSteps(options);
  return Array.from({ length: count }, () => planned.next().value);
}

t.test('chaos: a seed gives the same faults every time, another gives others', async (t) => {
  t.strictSame(take({ seed: 7, hosts: 3 }, 100), take({ seed: 7, hosts: 3 }, 100));
  t.notSame(take({ seed: 7, hosts: 3 }, 100), take({ seed: 8, hosts: 3 }, 100));
});

t.test('chaos: every kind of fault comes before any comes twice', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const first = take({ seed, hosts: 3 }, KINDS.length).map(({ faults }) => faults[0]?.kind);
    t.strictSame([...first].sort(), [...KINDS].sort());
  }
});

t.test('chaos: what is drawn fits the hosts and the kind', async (t) => {
  for (const hosts of [3, 5]) {
    for (const { faults, lastMs } of take({ seed: hosts, hosts }, 500)) {
      const [first, second] = faults;
      if (first === undefined) return t.fail('a step without a fault');
      const [min, max] = faultOf(first.kind).lastMs;
      t.ok(lastMs >= min && lastMs <= max, first.kind);
      for (const { victim, other } of faults) {
        t.ok(victim >= 0 && victim < hosts && other >= 0 && other < hosts && victim !== other);
      }
      if (second === undefined) continue;
      t.notOk(faultOf(first.kind).alone, `${first.kind} has no companion`);
      t.ok(COMPANIONS.includes(second.kind), `${second.kind} takes nobody away`);
      t.not(second.victim, first.victim, 'and is done to another host');
    }
  }
});

t.test('chaos: only the kinds that are asked for are done', async (t) => {
  const steps = take({ seed: 1, hosts: 3, kinds: ['kill', 'blackout'] }, 40);
  t.strictSame(new Set(steps.map(({ faults }) => faults[0]?.kind)), new Set(['kill', 'blackout']));
});
