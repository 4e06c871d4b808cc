import t from 'tap';
import { CLUSTER_FENCE, controller } from '../../../agents/cluster/controller.ts';
import { isFenced } from '../../../src/client/errors.ts';
import { sleep } from '../../../src/lib/async.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { TestCluster } from './support.ts';

const NAMES = { name: 'probe', component: 'probe-controller' };

function depsOf({ client, clock, random }: TestCluster) {
  return { client, clock, random, logger: silentLogger };
}

t.test('controller: what a former leader writes is refused', async (t) => {
  const cluster = await TestCluster.start();
  t.teardown(() => cluster.stop());
  const outcomes: unknown[] = [];
  const write = controller(depsOf(cluster), NAMES, async ({ client, clock, signal, term }) => {
    for (let round = 0; !signal.aborted; round++) {
      const metadata = { name: `${term}-${round}`, namespace: 'default' };
      outcomes.push(
        await client.create('ConfigMap', { metadata }).catch((error: unknown) => error),
      );
      await sleep(100, clock, signal);
    }
  });
  await cluster.store.claimFence(CLUSTER_FENCE, 1);
  cluster.spawn('first', write, 1);
  await cluster.until('it writes', () => cluster.list('ConfigMap').length === 2);
  await cluster.store.claimFence(CLUSTER_FENCE, 2);
  await cluster.pass(500);
  t.equal(cluster.list('ConfigMap').length, 2);
  t.ok(isFenced(outcomes.at(-1)));
  cluster.spawn('second', write, 2);
  await cluster.until('the new leader writes', () => cluster.list('ConfigMap').length === 3);
});

t.test('controller: one that fails is started again with everything new', async (t) => {
  const cluster = await TestCluster.start();
  let starts = 0;
  const signals: AbortSignal[] = [];
  const failing = controller(depsOf(cluster), NAMES, async ({ signal, clock }) => {
    starts++;
    signals.push(signal);
    await sleep(1000, clock, signal);
    throw new Error('broken');
  });
  cluster.spawn('failing', failing, 1);
  await cluster.until('the third start', () => starts === 3);
  t.same(
    signals.map(({ aborted }) => aborted),
    [true, true, false],
    'what ran before is ended',
  );
  await t.rejects(cluster.stop(), { message: /crashed: .*broken/ });
  t.equal(signals.at(-1)?.aborted, true);
});
