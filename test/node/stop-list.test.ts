import t from 'tap';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { STOP_PART_MS, StopList } from '../../src/node/stop-list.ts';

t.test('stop-list: parts stop one after the other, the newest first', async (t) => {
  const stops = new StopList(silentLogger, new VirtualClock());
  const order: string[] = [];
  for (const name of ['mesh', 'api', 'pods']) {
    stops.add(name, async () => {
      order.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${name} ends`);
    });
  }
  await stops.run();
  t.strictSame(order, [
    'pods begins',
    'pods ends',
    'api begins',
    'api ends',
    'mesh begins',
    'mesh ends',
  ]);
});

t.test('stop-list: a part that fails keeps no other from stopping', async (t) => {
  const stops = new StopList(silentLogger, new VirtualClock());
  const order: string[] = [];
  stops.add('mesh', async () => void order.push('mesh'));
  stops.add('pods', () => Promise.reject(new Error('oh')));
  stops.add('proxy', () => {
    throw new Error('at once');
  });
  await stops.run();
  t.strictSame(order, ['mesh']);
});

t.test('stop-list: a part that hangs is left behind at its deadline', async (t) => {
  const clock = new VirtualClock();
  const stops = new StopList(silentLogger, clock);
  let stopped = false;
  stops.add('mesh', async () => {
    stopped = true;
  });
  stops.add('pods', () => new Promise(() => {}));
  const done = stops.run();
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(STOP_PART_MS - 1);
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(stopped);
  clock.advance(1);
  await done;
  t.ok(stopped);
});

t.test(
  'stop-list: whoever stops a second time waits for the first, and nothing stops twice',
  async (t) => {
    const stops = new StopList(silentLogger, new VirtualClock());
    let count = 0;
    let finish = () => {};
    stops.add('mesh', async () => void count++);
    stops.add('pods', () => new Promise<void>((resolve) => (finish = resolve)));
    const first = stops.run();
    let ended = false;
    const second = stops.run().then(() => {
      ended = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    t.notOk(ended);
    finish();
    await Promise.all([first, second]);
    t.equal(count, 1);
  },
);

t.test('stop-list: a part that is started while everything stops is stopped too', async (t) => {
  const stops = new StopList(silentLogger, new VirtualClock());
  const order: string[] = [];
  stops.add('mesh', async () => void order.push('mesh'));
  stops.add('api', async () => {
    stops.add('late', async () => void order.push('late'));
    order.push('api');
  });
  await stops.run();
  t.strictSame(order, ['api', 'late', 'mesh']);
});

t.test(
  'stop-list: a part that is started when everything has stopped is stopped at once',
  async (t) => {
    const stops = new StopList(silentLogger, new VirtualClock());
    await stops.run();
    let stopped = false;
    stops.add('late', async () => {
      stopped = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    t.ok(stopped);
  },
);
