import t from 'tap';
import { SkeinError } from '../../../src/lib/errors.ts';
import { createLocalStore } from '../../../src/store/local-store.ts';
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
