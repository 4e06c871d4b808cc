import t from 'tap';
import { Ticker } from '../../src/consensus/ticker.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { VirtualClock } from '../../src/lib/clock.ts';

/** A clock whose timers all wait while the process is paused, and fire once when it goes on. */
function pausable(): { clock: Clock; run(ms: number): void; pause(ms: number): void } {
  const inner = new VirtualClock();
  let pausedMs = 0;
  const clock: Clock = {
    nowMs: () => inner.nowMs() + pausedMs,
    monotonicMs: () => inner.monotonicMs() + pausedMs,
    after: (delayMs, action) => inner.after(delayMs, action),
    soon: (action) => inner.soon(action),
  };
  return {
    clock,
    run: (ms) => inner.advance(ms),
    pause: (ms) => {
      pausedMs += ms;
    },
  };
}

function tickerOn(clock: Clock, lenient = true) {
  const seen = { ticks: 0, stalls: 0 };
  const ticker = new Ticker(
    clock,
    () => seen.ticks++,
    () => lenient,
    { tickMs: 50, onStall: () => seen.stalls++ },
  );
  ticker.start();
  return { ticker, seen };
}

t.test('ticker: ticks once per period until stopped', async (t) => {
  const { clock, run } = pausable();
  const { ticker, seen } = tickerOn(clock);
  run(500);
  t.equal(seen.ticks, 10);
  ticker.stop();
  run(500);
  t.equal(seen.ticks, 10);
});

t.test('ticker: a pause counts for nothing, however long', async (t) => {
  const { clock, run, pause } = pausable();
  const { seen } = tickerOn(clock);
  run(500);
  pause(60_000);
  run(50);
  t.strictSame(seen, { ticks: 10, stalls: 1 }, 'the late tick is left out: first read, then judge');
  run(50);
  t.strictSame(seen, { ticks: 11, stalls: 1 });
});

t.test('ticker: a leader ticks also when late', async (t) => {
  const { clock, run, pause } = pausable();
  const { seen } = tickerOn(clock, false);
  pause(60_000);
  run(50);
  t.equal(seen.ticks, 1);
});

t.test('ticker: a process that is always late still ticks', async (t) => {
  const { clock, run, pause } = pausable();
  const { seen } = tickerOn(clock);
  for (let round = 0; round < 20; round++) {
    pause(500);
    run(50);
  }
  t.strictSame(seen, { ticks: 10, stalls: 20 });
});

t.test('ticker: every tick says how late it is', async (t) => {
  const { clock, run, pause } = pausable();
  const late: number[] = [];
  const ticker = new Ticker(
    clock,
    () => {},
    () => true,
    { tickMs: 50, onLate: (lateMs) => void late.push(lateMs) },
  );
  ticker.start();
  run(100);
  pause(30);
  run(50);
  ticker.stop();
  t.strictSame(late, [0, 0, 30]);
});
