import t from 'tap';
import { WorkQueue } from '../../src/client/work-queue.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { seededRandom } from '../../src/lib/random.ts';

function setUp() {
  const clock = new VirtualClock();
  const queue = new WorkQueue(
    { clock, random: seededRandom(1) },
    { initialMs: 100, maxMs: 1_000, factor: 2, jitter: 0 },
  );
  const abort = new AbortController();
  const taken: string[] = [];
  const take = async (): Promise<string> => {
    const key = await queue.take(abort.signal);
    taken.push(key);
    return key;
  };
  return { clock, queue, abort, taken, take };
}

t.test('work queue: a key that waits is queued once', async (t) => {
  const { queue, take } = setUp();
  queue.add('a');
  queue.add('b');
  queue.add('a');
  t.equal(queue.depth, 2);
  t.equal(await take(), 'a');
  t.equal(await take(), 'b');
  t.equal(queue.depth, 0);
});

t.test('work queue: keys come out in the order in which they were added', async (t) => {
  const { queue, take } = setUp();
  for (const key of ['c', 'a', 'b']) queue.add(key);
  t.strictSame([await take(), await take(), await take()], ['c', 'a', 'b']);
});

t.test('work queue: a key that is being worked on is not handed out again', async (t) => {
  const { queue, take, taken } = setUp();
  queue.add('a');
  await take();
  queue.add('a');
  const second = take();
  await Promise.resolve();
  t.strictSame(taken, ['a'], 'the second taker waits');
  queue.done('a');
  t.equal(await second, 'a', 'and gets the key once the first is done');
});

t.test('work queue: adds during work make exactly one more turn', async (t) => {
  const { queue, take } = setUp();
  queue.add('a');
  await take();
  queue.add('a');
  queue.add('a');
  queue.done('a');
  await take();
  queue.done('a');
  t.ok(queue.idle);
});

t.test('work queue: a taker that waits gets the next key at once', async (t) => {
  const { queue, take } = setUp();
  const first = take();
  const second = take();
  queue.add('a');
  queue.add('b');
  t.strictSame(await Promise.all([first, second]), ['a', 'b']);
});

t.test('work queue: of several delayed adds the earliest counts', async (t) => {
  const { queue, clock, take, taken } = setUp();
  queue.addAfter('a', 500);
  queue.addAfter('a', 200);
  queue.addAfter('a', 900);
  const turn = take();
  clock.advance(199);
  await Promise.resolve();
  t.strictSame(taken, []);
  clock.advance(1);
  t.equal(await turn, 'a');
  queue.done('a');
  clock.advance(10_000);
  t.ok(queue.idle, 'the later ones are gone');
});

t.test('work queue: an immediate add replaces a delayed one', async (t) => {
  const { queue, clock, take } = setUp();
  queue.addAfter('a', 500);
  queue.add('a');
  t.equal(await take(), 'a');
  queue.done('a');
  clock.advance(1_000);
  t.ok(queue.idle);
});

t.test(
  'work queue: failures of one key double its wait up to the limit, and no other key waits',
  async (t) => {
    const { queue } = setUp();
    const waits = Array.from({ length: 6 }, () => queue.addRateLimited('a'));
    t.strictSame(waits, [100, 200, 400, 800, 1_000, 1_000]);
    t.equal(queue.addRateLimited('b'), 100);
  },
);

t.test('work queue: a key that is forgotten starts with the initial wait', async (t) => {
  const { queue } = setUp();
  queue.addRateLimited('a');
  queue.addRateLimited('a');
  t.equal(queue.failures('a'), 2);
  queue.forget('a');
  t.equal(queue.failures('a'), 0);
  t.equal(queue.addRateLimited('a'), 100);
});

t.test('work queue: a taker leaves when its signal fires, and takes no key with it', async (t) => {
  const { queue, abort, take } = setUp();
  const waiting = take();
  abort.abort();
  await t.rejects(waiting, { code: 'aborted' });
  queue.add('a');
  t.equal(queue.depth, 1, 'the key waits for somebody else');
});

t.test('work queue: a closed queue drops what waits and takes nothing more', async (t) => {
  const { queue, clock } = setUp();
  queue.add('a');
  queue.addAfter('b', 100);
  queue.close();
  queue.add('c');
  clock.advance(1_000);
  t.ok(queue.idle);
});
