/**
 * What many objects cost: a tenth of the hundred thousand pods that `scripts/bench memory` measures on a real node. Memory is
 * counted after a collection; time is the processor's, so that a busy machine does not matter.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createLocalClient } from '../../src/client/local-client.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { Pod } from '../../src/resources/generated/kinds.ts';
import { allKinds } from '../../src/resources/registry.ts';
import { applyAtOnce } from '../../src/store/local-store.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import { type Harness, setUp } from '../api/verbs/harness.ts';

const PODS = 10_000;
const MIB = 1024 ** 2;
/** Of the 700 MiB for ten times as many, without the process itself. */
const MEMORY_MIB_MAX = 55;
const SNAPSHOT_TURN_MS_MAX = 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
function usedMib(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / MIB;
}

const pod = (n: number) => ({
  metadata: {
    name: `web-${n}`,
    labels: { app: 'web', 'pod-template-hash': `${n % 100}` },
    annotations: { 'example.org/note': `${n} `.repeat(200).slice(0, 900) },
  },
  spec: {
    schedulerName: 'nobody',
    containers: [
      {
        name: 'main',
        image: 'registry.example.org/team/web:1.2.3',
        env: [{ name: 'INDEX', value: String(n) }],
        resources: { requests: { cpu: '10m', memory: '16Mi' } },
      },
    ],
  },
});

/** An API over `state`, and informers of every kind with the listeners and indexes that agents have. */
async function node(state: StoreState): Promise<Harness> {
  const store = createReplicatedStore({ state, consensus: applyAtOnce(state) });
  const harness = await setUp({}, { store });
  const { verbs, clock } = harness;
  const components = { verbs, kinds: allKinds, store, clock, logger: silentLogger };
  const client = createLocalClient(
    { ...components, random: seededRandom(1) },
    { user: 'system:skein', groups: ['system:masters'] },
  );
  const pods = client.informer('Pod');
  pods.addIndex('node', (one: Pod) => [one.spec.nodeName ?? '']);
  pods.addIndex('owner', ({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid));
  pods.subscribe(() => {});
  return harness;
}

t.test('memory: ten thousand pods, held, listed and watched', async (t) => {
  const state = new StoreState();
  const harness = await node(state);
  await harness.create('pods', 'default', pod(PODS));
  const { verbs, context, target, store } = harness;
  const watch = await verbs.watch(context(), target('pods'), {
    resourceVersion: String(store.revision()),
  });
  let watched = 0;
  const reading = (async () => {
    for await (const batch of watch) watched += batch.length;
  })();
  const before = usedMib();
  for (let n = 0; n < PODS; n++) await harness.create('pods', 'default', pod(n));
  const listed = await verbs.list(context(), target('pods'));
  t.equal(listed.items.length, PODS + 1);
  while (watched < PODS) await new Promise<void>((resolve) => setImmediate(resolve));
  const grown = usedMib() - before;
  const text = state.usage().bytes / MIB;
  t.ok(text > 18, `${text.toFixed(0)} MiB of text`);
  t.ok(grown < MEMORY_MIB_MAX, `${grown.toFixed(0)} MiB of memory for it`);
  watch.close();
  await reading;

  const turns: number[] = [];
  for (let round = 0; round < 3; round++) turns.push(await longestTurnMs(state));
  t.ok(Math.min(...turns) < SNAPSHOT_TURN_MS_MAX, `snapshot: ${turns.map(Math.round)} ms at once`);
});

/** Processor time of the longest turn of the event loop that a snapshot takes. */
async function longestTurnMs(state: StoreState): Promise<number> {
  collect();
  let longest = 0;
  let started = process.cpuUsage();
  const lap = () => {
    const { user, system } = process.cpuUsage(started);
    longest = Math.max(longest, (user + system) / 1000);
  };
  const source = state.snapshot();
  for await (const chunk of source.chunks({ overwrite: true })) {
    if (chunk.length === 0) throw new Error('a chunk is never empty');
    lap();
    await new Promise<void>((resolve) => setImmediate(resolve));
    started = process.cpuUsage();
  }
  lap();
  source.release();
  return longest;
}
