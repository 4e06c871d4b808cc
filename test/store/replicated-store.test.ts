import t from 'tap';
import type { ProposeResult } from '../../src/consensus/types.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { seededRandom } from '../../src/lib/random.ts';
import { applyAtOnce } from '../../src/store/local-store.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { StoreState } from '../../src/store/state.ts';
import { put } from '../support/store-values.ts';

type Fate = 'applied' | 'dropped' | 'no-leader' | 'lost-before' | 'lost-after';

/** A store whose proposals meet the given fates, one after the other; then all are applied. */
function storeWith(fates: readonly Fate[]) {
  const clock = new VirtualClock();
  const state = new StoreState();
  const log = applyAtOnce(state);
  const left = [...fates];
  let barriers = 0;
  const propose = async (data: Uint8Array): Promise<ProposeResult> => {
    const fate = left.shift() ?? 'applied';
    if (fate === 'dropped') return { kind: 'dropped', reason: 'full' };
    if (fate === 'no-leader') return { kind: 'dropped', reason: 'nobody leads', code: 'no-leader' };
    const result = fate === 'lost-before' ? undefined : await log.propose(data);
    return fate === 'applied' && result ? result : { kind: 'unknown', reason: 'the link broke' };
  };
  const readBarrier = async () => void barriers++;
  const store = createReplicatedStore(
    { state, consensus: { propose, readBarrier }, clock, random: seededRandom(1) },
    { clientId: 'me' },
  );
  /** Lets pauses pass until `work` is done. */
  const settle = async <T>(work: Promise<T>): Promise<T> => {
    let done = false;
    const end = () => {
      done = true;
    };
    work.then(end, end);
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(50);
    }
    return work;
  };
  return { store, state, settle, barriers: () => barriers };
}

const create = (key: string) => ({
  checks: [{ key, is: 'absent' as const }],
  operations: [put(key, {})],
});

t.test('store: a write is repeated until its fate is known, and applied once', async (t) => {
  for (const fates of [
    ['lost-after'],
    ['lost-before', 'lost-after', 'dropped'],
    ['dropped', 'lost-after', 'no-leader', 'lost-after'],
  ] satisfies Fate[][]) {
    const { store, settle } = storeWith(fates);
    const result = await settle(store.transact(create('/x/y//k')));
    t.strictSame(result, { kind: 'committed', revision: 1 }, fates.join(', '));
    t.equal(store.revision(), 1);
  }
});

t.test('store: the deadline tells a write without effect from an unknown one', async (t) => {
  const never = (fate: Fate) => Array<Fate>(1000).fill(fate);
  const attempt = async (fates: Fate[]) => {
    const { store, settle } = storeWith(fates);
    return settle(store.transact(create('/x/y//k'), { deadlineMs: 1000 }));
  };
  await t.rejects(attempt(never('dropped')), { code: 'proposal-dropped', retryable: true });
  await t.rejects(attempt(never('no-leader')), { code: 'no-leader', retryable: true });
  await t.rejects(attempt(['lost-before', ...never('dropped')]), { code: 'outcome-unknown' });
});

t.test('store: a write that nobody leads for is refused long before its deadline', async (t) => {
  const clock = new VirtualClock();
  const asked: (number | undefined)[] = [];
  const store = createReplicatedStore({
    state: new StoreState(),
    clock,
    consensus: {
      readBarrier: async () => {},
      propose: async (_data, options) => {
        asked.push(options?.leaderWaitMs);
        return { kind: 'dropped', reason: 'nobody leads', code: 'no-leader' };
      },
    },
  });
  await t.rejects(store.transact(create('/x/y//k')), { code: 'no-leader', retryable: true });
  t.strictSame(asked, [4000], 'one attempt that waits for an election, no more');
});

t.test('store: a write given up as unknown cannot surface after the next one', async (t) => {
  const { store, state, settle } = storeWith(Array<Fate>(40).fill('lost-before'));
  const given: Uint8Array[] = [];
  const log = applyAtOnce(state);
  const first = createReplicatedStore(
    {
      state,
      clock: new VirtualClock(),
      consensus: {
        readBarrier: async () => {},
        propose: async (data) => {
          given.push(data);
          if (given.length === 1) return { kind: 'unknown', reason: 'delayed' };
          return log.propose(data);
        },
      },
    },
    { clientId: 'me' },
  );
  await t.rejects(first.transact(create('/x/y//late'), { deadlineMs: 0 }), {
    code: 'outcome-unknown',
  });
  await first.transact(create('/x/y//next'));
  const delayed = await log.propose(given[0] ?? Buffer.alloc(0));
  t.match(delayed, { result: { kind: 'expired' } });
  t.equal(state.get('/x/y//late'), undefined);
  t.ok(store && settle);
});

t.test('store: a replica too far behind catches up and makes the command anew', async (t) => {
  const { store, state, settle, barriers } = storeWith(['dropped']);
  const other = createReplicatedStore(
    { state, consensus: applyAtOnce(state) },
    { clientId: 'other' },
  );
  const late = settle(store.transact(create('/x/y//b')));
  await other.transact(create('/x/y//a'));
  // The other client's session expires: from then on commands made before it are refused.
  const term = 1 as never;
  state.apply([{ index: 2_000_000 as never, term, data: Buffer.alloc(0) }]);
  const third = createReplicatedStore(
    { state, consensus: applyAtOnce(state) },
    { clientId: 'third' },
  );
  await third.transact(create('/x/y//c'));
  t.match(await late, { kind: 'committed' });
  t.equal(barriers(), 1);
  t.equal(state.revision(), 3);
});

t.test('store: a caller may withdraw', async (t) => {
  const { store, settle } = storeWith(Array<Fate>(1000).fill('dropped'));
  const controller = new AbortController();
  const written = store.transact(create('/x/y//k'), { signal: controller.signal });
  controller.abort();
  await t.rejects(settle(written), { code: 'aborted' });
});
