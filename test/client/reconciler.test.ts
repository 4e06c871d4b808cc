import t from 'tap';
import { keyOf } from '../../src/client/keys.ts';
import { type ReconcilerOptions, runReconciler } from '../../src/client/reconciler.ts';
import type { ReconcileResult } from '../../src/client/types.ts';
import { InvariantError } from '../../src/lib/invariant.ts';
import { type ClientHarness, configMap, settle, setUp } from './harness.ts';

function start(
  harness: ClientHarness,
  reconcile: ReconcilerOptions['reconcile'],
  more: Partial<ReconcilerOptions> = {},
) {
  const abort = new AbortController();
  const reconciler = runReconciler({
    name: 'test',
    ...harness,
    signal: abort.signal,
    watches: [{ kind: 'ConfigMap', keys: (object) => [keyOf(object)] }],
    backoff: { initialMs: 100, maxMs: 1_000, factor: 2, jitter: 0 },
    reconcile,
    ...more,
  });
  return { reconciler, abort };
}

const done: ReconcileResult = { kind: 'done' };

t.test(
  'reconciler: sees every object present at the start and every change, as keys',
  async (t) => {
    const harness = await setUp();
    const { client } = harness;
    await client.create('ConfigMap', configMap('a'));
    const seen: string[] = [];
    const { abort, reconciler } = start(harness, async (key) => {
      seen.push(key);
      return done;
    });
    await settle();
    await client.create('ConfigMap', configMap('b'));
    await settle();
    await client.delete('ConfigMap', { namespace: 'default', name: 'a' });
    await settle();
    t.strictSame(seen, ['default/a', 'default/b', 'default/a']);
    abort.abort();
    await reconciler.stopped;
  },
);

t.test('reconciler: one key is never worked on twice at once, others go on', async (t) => {
  const harness = await setUp();
  let release: () => void = () => {};
  const running = new Set<string>();
  const log: string[] = [];
  const { abort, reconciler } = start(harness, async (key) => {
    t.notOk(running.has(key));
    running.add(key);
    log.push(key);
    if (key === 'slow' && log.length === 1) {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    }
    running.delete(key);
    return done;
  });
  await settle();
  reconciler.add('slow');
  await settle();
  reconciler.add('slow');
  reconciler.add('fast');
  await settle();
  t.strictSame(log, ['slow', 'fast']);
  release();
  await settle();
  t.strictSame(log, ['slow', 'fast', 'slow']);
  abort.abort();
  await reconciler.stopped;
});

t.test('reconciler: works on no more keys at once than its concurrency', async (t) => {
  const harness = await setUp();
  let running = 0;
  let most = 0;
  const work = async (): Promise<ReconcileResult> => {
    most = Math.max(most, ++running);
    await settle();
    running--;
    return done;
  };
  const { abort, reconciler } = start(harness, work, { concurrency: 2 });
  await settle();
  for (let n = 0; n < 10; n++) reconciler.add(`k${n}`);
  while (!reconciler.queue.idle) await settle();
  t.equal(most, 2);
  abort.abort();
  await reconciler.stopped;
});

t.test('reconciler: a throw is tried again with a growing wait, success forgets it', async (t) => {
  const harness = await setUp();
  const { clock } = harness;
  const atMs: number[] = [];
  const { abort, reconciler } = start(harness, async () => {
    atMs.push(clock.monotonicMs());
    if (atMs.length < 4) throw new Error('not yet');
    return done;
  });
  await settle();
  reconciler.add('a');
  for (let step = 0; step < 20; step++) {
    await settle();
    clock.advance(50);
  }
  await settle();
  t.strictSame(atMs, [0, 100, 300, 700]);
  t.equal(reconciler.queue.failures('a'), 0);
  abort.abort();
  await reconciler.stopped;
});

t.test('reconciler: again comes back after its time, terminal does not come back', async (t) => {
  const harness = await setUp();
  const { clock } = harness;
  const seen: string[] = [];
  const { abort, reconciler } = start(harness, async (key) => {
    seen.push(`${key}@${clock.monotonicMs()}`);
    if (key === 'bad') return { kind: 'terminal', reason: 'nonsense' };
    return seen.length < 3 ? { kind: 'again', afterMs: 1_000 } : done;
  });
  await settle();
  reconciler.add('bad');
  reconciler.add('poll');
  await settle();
  clock.advance(1_000);
  await settle();
  clock.advance(100_000);
  await settle();
  t.strictSame(seen, ['bad@0', 'poll@0', 'poll@1000']);
  abort.abort();
  await reconciler.stopped;
});

t.test('reconciler: work that exceeds its time is aborted and tried again', async (t) => {
  const harness = await setUp();
  const { clock } = harness;
  let tries = 0;
  let aborted = false;
  const work = (_key: string, signal: AbortSignal): Promise<ReconcileResult> => {
    if (++tries > 1) return Promise.resolve(done);
    signal.addEventListener('abort', () => {
      aborted = true;
    });
    return new Promise(() => {});
  };
  const { abort, reconciler } = start(harness, work, { timeoutMs: 5_000 });
  await settle();
  reconciler.add('a');
  await settle();
  clock.advance(5_000);
  await settle();
  t.ok(aborted);
  clock.advance(100);
  await settle();
  t.equal(tries, 2);
  abort.abort();
  await reconciler.stopped;
});

t.test('reconciler: a law that does not hold ends the run with it', async (t) => {
  const harness = await setUp();
  const { reconciler } = start(harness, async () => {
    throw new InvariantError('replicas are counted once', {});
  });
  const outcome = t.rejects(reconciler.stopped, { name: 'InvariantError' });
  await settle();
  reconciler.add('a');
  await outcome;
});

t.test(
  'reconciler: its signal aborts the work in progress and ends the run in order',
  async (t) => {
    const harness = await setUp();
    let innerAborted = false;
    const { abort, reconciler } = start(harness, (_key, signal) => {
      signal.addEventListener('abort', () => {
        innerAborted = true;
      });
      return new Promise(() => {});
    });
    await settle();
    reconciler.add('a');
    await settle();
    abort.abort();
    await reconciler.stopped;
    t.ok(innerAborted);
  },
);

t.test('reconciler: a filter keeps changes away that do not matter', async (t) => {
  const harness = await setUp();
  const { client } = harness;
  const seen: string[] = [];
  const { abort, reconciler } = start(
    harness,
    async (key) => {
      seen.push(key);
      return done;
    },
    {
      watches: [
        {
          kind: 'ConfigMap',
          keys: (object) => [keyOf(object)],
          filter: ({ object }) => object.data?.['matters'] === 'yes',
        },
      ],
    },
  );
  await settle();
  await client.create('ConfigMap', configMap('a'));
  await client.create('ConfigMap', configMap('b', { matters: 'yes' }));
  await settle();
  t.strictSame(seen, ['default/b']);
  abort.abort();
  await reconciler.stopped;
});
