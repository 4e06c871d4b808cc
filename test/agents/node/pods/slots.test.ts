/** The bound on starts at once, and what keeps it from becoming a jam. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { Slots } from '../../../../agents/node/pods/slots.ts';
import { VirtualClock } from '../../../../src/lib/clock.ts';

const signal = new AbortController().signal;

function work(): { run: () => Promise<void>; end: () => void; started: () => boolean } {
  let end = () => {};
  let started = false;
  const done = new Promise<void>((resolve) => {
    end = resolve;
  });
  const run = () => {
    started = true;
    return done;
  };
  return { run, end, started: () => started };
}

t.test('slots: no more run at once than there are, the rest in order', async (t) => {
  const slots = new Slots(new VirtualClock(), { slotsMax: 2 });
  const works = [work(), work(), work(), work()];
  const all = works.map(({ run }) => slots.run(run, signal));
  await nextTurn();
  t.same(
    works.map(({ started }) => started()),
    [true, true, false, false],
  );
  works[1]?.end();
  await nextTurn();
  t.same(
    works.map(({ started }) => started()),
    [true, true, true, false],
  );
  for (const { end } of works) end();
  await Promise.all(all);
});

t.test('slots: one that hangs gives its place away and returns nothing twice', async (t) => {
  const clock = new VirtualClock();
  const slots = new Slots(clock, { slotsMax: 1, heldMsMax: 1_000 });
  const [hung, second, third] = [work(), work(), work()];
  const first = slots.run(hung.run, signal);
  const next = slots.run(second.run, signal);
  await nextTurn();
  clock.advance(1_000);
  await nextTurn();
  t.equal(second.started(), true);
  hung.end();
  await first;
  const last = slots.run(third.run, signal);
  await nextTurn();
  t.equal(third.started(), false, 'the place is still taken by the second');
  second.end();
  await next;
  third.end();
  await last;
});

t.test('slots: whoever stops waiting leaves the line', async (t) => {
  const slots = new Slots(new VirtualClock(), { slotsMax: 1 });
  const [first, second, third] = [work(), work(), work()];
  const running = slots.run(first.run, signal);
  const given = new AbortController();
  const waiting = slots.run(second.run, given.signal);
  const behind = slots.run(third.run, signal);
  given.abort();
  await t.rejects(waiting, { code: 'aborted' });
  first.end();
  await running;
  await nextTurn();
  t.equal(second.started(), false);
  t.equal(third.started(), true);
  third.end();
  await behind;
});
