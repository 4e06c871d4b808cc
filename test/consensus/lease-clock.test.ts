import t from 'tap';
import { LeaseClock } from '../../src/consensus/lease-clock.ts';
import type { Clock } from '../../src/lib/clock.ts';

function clocks() {
  const world = { wallMs: 1_000_000, monotonicMs: 500 };
  const clock: Clock = {
    nowMs: () => world.wallMs,
    monotonicMs: () => world.monotonicMs,
    after: () => ({ cancel: () => {} }),
    soon: () => {},
  };
  const lease = new LeaseClock(clock);
  const pass = (ms: number) => {
    world.wallMs += ms;
    world.monotonicMs += ms;
  };
  return { world, lease, pass };
}

t.test('lease clock: runs with the monotonic clock, grain by grain', async (t) => {
  const { lease, pass, world } = clocks();
  const startMs = lease.nowMs();
  for (let step = 0; step < 10_000; step++) {
    pass(0.1);
    world.wallMs = 1_000_000 + Math.floor(world.monotonicMs - 500);
    lease.nowMs();
  }
  t.ok(Math.abs(lease.nowMs() - startMs - 1000) < 1);
});

t.test('lease clock: time that the machine slept through has passed', async (t) => {
  const { lease, pass, world } = clocks();
  const startMs = lease.nowMs();
  world.wallMs += 60_000;
  t.equal(lease.nowMs() - startMs, 60_000);
  pass(10);
  t.equal(lease.nowMs() - startMs, 60_010, 'once');
});

t.test('lease clock: a wall clock that is set back changes nothing, now or later', async (t) => {
  const { lease, pass, world } = clocks();
  const startMs = lease.nowMs();
  world.wallMs -= 3_600_000;
  t.equal(lease.nowMs(), startMs);
  pass(100);
  t.equal(lease.nowMs() - startMs, 100);
  world.wallMs += 500;
  t.equal(lease.nowMs() - startMs, 600, 'a sleep after that is noticed as well');
});
