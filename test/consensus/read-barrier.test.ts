import t from 'tap';
import { asIndex } from '../../raft/types.ts';
import { ReadBarrier } from '../../src/consensus/read-barrier.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { type Random, seededRandom } from '../../src/lib/random.ts';

function bench(random: Random = seededRandom(1)) {
  const clock = new VirtualClock();
  const asked: number[] = [];
  const world = { applied: asIndex(10), reachable: true };
  const barrier = new ReadBarrier({
    clock,
    random,
    applied: () => world.applied,
    request: (id) => {
      if (world.reachable) asked.push(id);
      return world.reachable;
    },
  });
  const settled: string[] = [];
  const wait = (name: string, deadlineMs = 5000) =>
    void barrier.wait(deadlineMs).then(
      () => settled.push(name),
      (error) => settled.push(`${name}: ${error.code}`),
    );
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const confirm = (position: number, requestId = asked.at(-1) ?? 0) =>
    barrier.confirmed({ requestId, index: asIndex(position) });
  return { barrier, clock, asked, world, settled, wait, turn, confirm };
}

t.test(
  'read barrier: readers of one turn share a round, later ones wait for the next',
  async (t) => {
    const { asked, settled, wait, turn, confirm } = bench();
    wait('a');
    wait('b');
    await turn();
    t.equal(asked.length, 1);
    wait('late');
    await turn();
    t.equal(asked.length, 1, 'a position asked for before the call is not good enough');
    confirm(9);
    await turn();
    t.strictSame(settled, ['a', 'b']);
    t.equal(asked.length, 2);
    confirm(10);
    await turn();
    t.strictSame(settled, ['a', 'b', 'late']);
  },
);

t.test('read barrier: waits until the position is applied here', async (t) => {
  const { barrier, world, settled, wait, turn, confirm } = bench();
  wait('a');
  await turn();
  confirm(12);
  await turn();
  t.strictSame(settled, []);
  world.applied = asIndex(12);
  barrier.applied();
  await turn();
  t.strictSame(settled, ['a']);
});

t.test(
  'read barrier: a lost round is asked again, and an old answer counts for nothing',
  async (t) => {
    const { barrier, clock, asked, settled, wait, turn, confirm } = bench();
    wait('a');
    await turn();
    clock.advance(400);
    barrier.sweep();
    t.equal(asked.length, 2);
    barrier.leaderChanged();
    t.equal(asked.length, 3);
    confirm(5, asked[0]);
    await turn();
    t.strictSame(settled, []);
    confirm(5);
    await turn();
    t.strictSame(settled, ['a']);
  },
);

t.test('read barrier: without a leader a reader is refused at its deadline', async (t) => {
  const { barrier, clock, world, settled, wait, turn, confirm } = bench();
  world.reachable = false;
  wait('impatient', 100);
  wait('patient', 5000);
  await turn();
  clock.advance(150);
  barrier.sweep();
  await turn();
  t.strictSame(settled, ['impatient: no-leader']);
  world.reachable = true;
  barrier.sweep();
  confirm(10);
  await turn();
  t.strictSame(settled, ['impatient: no-leader', 'patient']);
});

t.test('read barrier: an answer to the process before this one confirms nothing', async (t) => {
  const random = seededRandom(7);
  const former = bench(random);
  former.wait('of the former process');
  await former.turn();
  const restarted = bench(random);
  restarted.wait('a');
  await restarted.turn();
  restarted.confirm(5, former.asked[0]);
  await restarted.turn();
  t.strictSame(restarted.settled, [], 'the position was asked for before the read');
  restarted.confirm(10);
  await restarted.turn();
  t.strictSame(restarted.settled, ['a']);
});

t.test('read barrier: request ids stay safe integers, wherever they start', async (t) => {
  const highest: Random = { ...seededRandom(1), int: (_min, max) => max };
  const { asked, wait, turn } = bench(highest);
  wait('a');
  await turn();
  t.ok(Number.isSafeInteger((asked[0] ?? 0) + 2 ** 50));
});
