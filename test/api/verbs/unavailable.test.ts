import t from 'tap';
import { SkeinError } from '../../../src/lib/errors.ts';
import { applyAtOnce, createLocalStore } from '../../../src/store/local-store.ts';
import { createReplicatedStore } from '../../../src/store/replicated-store.ts';
import { SpaceQuota } from '../../../src/store/space-quota.ts';
import { StoreState } from '../../../src/store/state.ts';
import type { Store } from '../../../src/store/types.ts';
import { configMap, failing, names, setUp } from './harness.ts';

/** A store whose quorum can be taken away. */
function fallible() {
  const real = createLocalStore();
  const fault: { error: SkeinError | undefined } = { error: undefined };
  const store: Store = {
    ...real,
    transact: (transaction, options) =>
      fault.error === undefined ? real.transact(transaction, options) : Promise.reject(fault.error),
    readBarrier: () =>
      fault.error === undefined ? real.readBarrier() : Promise.reject(fault.error),
  };
  return { store, fault };
}

t.test('no quorum: writes and current reads answer 503 and say so', async (t) => {
  const { store, fault } = fallible();
  const { create, get } = await setUp({}, { store });
  await create('configmaps', 'default', configMap('a'));
  fault.error = new SkeinError('no-leader', 'no leader is known');
  const expected = {
    code: 503,
    reason: 'ServiceUnavailable',
    message: /no quorum of the cluster is reachable/,
  };
  const answers = [
    await failing(create('configmaps', 'default', configMap('b'))),
    await failing(get('configmaps', 'default', 'a')),
  ];
  for (const answer of answers) {
    t.match(answer, expected);
    // kubectl would wait for the missing majority eleven times before it says a word.
    t.notHas(
      answer,
      { details: { retryAfterSeconds: Number } },
      'and clients are not told to wait',
    );
  }
});

t.test('no quorum: whatever this replica has can be read with resourceVersion 0', async (t) => {
  const { store, fault } = fallible();
  const { create, verbs, context, target } = await setUp({}, { store });
  await create('configmaps', 'default', configMap('a'));
  fault.error = new SkeinError('no-leader', 'no leader is known');
  const where = target('configmaps', 'default', 'a');
  t.ok(await verbs.get(context(), where, { resourceVersion: '0' }));
  const list = await verbs.list(context(), target('configmaps', 'default'), {
    resourceVersion: '0',
  });
  t.strictSame(names(list), ['a']);
});

t.test('a write whose fate is unknown answers 504 and says so', async (t) => {
  const { store, fault } = fallible();
  const { create } = await setUp({}, { store });
  fault.error = new SkeinError('outcome-unknown', 'the deadline passed');
  t.match(await failing(create('configmaps', 'default', configMap('b'))), {
    code: 504,
    reason: 'Timeout',
    message: /its outcome is unknown/,
  });
});

t.test('a write that is too large for the log answers 413', async (t) => {
  const { store, fault } = fallible();
  const { create } = await setUp({}, { store });
  fault.error = new SkeinError('frame-too-large', 'a proposal of 3000000 bytes exceeds the limit');
  t.match(await failing(create('configmaps', 'default', configMap('b'))), {
    code: 413,
    reason: 'RequestEntityTooLarge',
  });
});

t.test('a bug below answers 500 and not a crash', async (t) => {
  const real = createLocalStore();
  const store: Store = {
    ...real,
    get: (key) => {
      if (key.includes('broken')) throw new TypeError('bug');
      return real.get(key);
    },
  };
  const { get } = await setUp({}, { store });
  t.match(await failing(get('configmaps', 'default', 'broken')), {
    code: 500,
    reason: 'InternalError',
  });
});

t.test(
  'no room: 507 with the reason and the remedy; what shrinks is taken, and room comes back',
  async (t) => {
    const state = new StoreState();
    const quota = new SpaceQuota(state, { quotaBytes: 400_000 });
    const store = createReplicatedStore({ state, consensus: applyAtOnce(state), gates: [quota] });
    const { create, get, update, verbs, context, target } = await setUp({}, { store });
    const text = 'x'.repeat(100_000);
    for (const name of ['a', 'b', 'c'])
      await create('configmaps', 'default', configMap(name, { text }));
    t.match(await failing(create('configmaps', 'default', configMap('d', { text }))), {
      code: 507,
      reason: 'InsufficientStorage',
      message: /the cluster's store is full: .* delete objects, or raise the setting storeQuotaMib/,
    });
    await update('configmaps', {
      ...(await get('configmaps', 'default', 'a')),
      data: { text: 'short' },
    });
    await create('configmaps', 'default', configMap('d', { text }));
    t.match(await failing(create('configmaps', 'default', configMap('e', { text }))), {
      code: 507,
    });
    await verbs.delete(context(), target('configmaps', 'default', 'b'));
    await create('configmaps', 'default', configMap('e', { text }));
  },
);

t.test('an object is refused when it is larger than the store takes, with its size', async (t) => {
  const { create } = await setUp();
  const annotations = { a: 'x'.repeat(200 * 1024) };
  const env = Array.from({ length: 30 }, (_, n) => ({ name: `E${n}`, value: 'x'.repeat(50_000) }));
  const pod = {
    metadata: { name: 'big', annotations },
    spec: { containers: [{ name: 'main', image: 'busybox', env }] },
  };
  t.match(await failing(create('pods', 'default', pod)), {
    code: 413,
    reason: 'RequestEntityTooLarge',
    message: /the object takes 17\d{5} bytes in the store, and the limit is 1572864/,
  });
});
