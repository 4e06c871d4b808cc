import t from 'tap';
import { applyAtOnce } from '../../src/store/local-store.ts';
import { createReplicatedStore } from '../../src/store/replicated-store.ts';
import { SpaceQuota } from '../../src/store/space-quota.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Operation } from '../../src/store/types.ts';
import { del, put } from '../support/store-values.ts';

const QUOTA_BYTES = 100_000;
const text = (bytes: number) => ({ text: 'x'.repeat(bytes) });

function setUp() {
  const state = new StoreState();
  const quota = new SpaceQuota(state, { quotaBytes: QUOTA_BYTES });
  const store = createReplicatedStore({ state, consensus: applyAtOnce(state), gates: [quota] });
  const write = (...operations: Operation[]) => store.transact({ checks: [], operations });
  return { state, quota, store, write };
}

/** A store with less than 2 kB of room. */
async function nearlyFull() {
  const made = setUp();
  for (let n = 0; n < 10; n++) await made.write(put(`/core/configmaps/n/a${n}`, text(9_700)));
  return made;
}

t.test(
  'quota: what is used is the text and keys of the present objects, whatever came before',
  async (t) => {
    const { state, write } = setUp();
    const expected = () => {
      let bytes = 0;
      for (const object of state.view('/').values())
        bytes += object.key.length + object.bytes.length;
      return bytes;
    };
    await write(put('/x/y//a', text(100)), put('/x/y//b', text(200)));
    await write(put('/x/y//a', text(5_000)));
    await write(del('/x/y//b'), put('/x/y//c', {}));
    t.equal(state.usage().bytes, expected());
    const copy = new StoreState();
    await copy.restore(state.snapshot().chunks());
    t.equal(copy.usage().bytes, expected(), 'also by way of a snapshot');
    t.equal(copy.usage().objects, 2);
  },
);

t.test('quota: nothing new fits into a full store, and the refusal names the remedy', async (t) => {
  const { write, state } = await nearlyFull();
  const before = state.digest();
  await t.rejects(write(put('/core/configmaps/n/more', text(5_000))), {
    code: 'store-full',
    message: /store is full: .* MiB; delete objects, or raise the setting storeQuotaMib/,
  });
  const grown = put('/core/configmaps/n/a1', text(20_000));
  await t.rejects(write(grown), { code: 'store-full' }, 'nor does an update that grows much');
  t.equal(state.digest(), before, 'nothing was changed');
});

t.test('quota: a full store can be managed, and recovers by itself', async (t) => {
  const { write, quota } = await nearlyFull();
  await write(put('/core/configmaps/n/last', text(900)));
  t.equal(quota.problem(), undefined);
  await write(put('/core/configmaps/n/a1', text(12_000)), del('/core/configmaps/n/nothing'));
  t.ok(quota.problem(), 'the last step of an object may use the reserve');
  t.match(await write(put('/core/nodes//n1', text(500))), { kind: 'committed' }, 'a node joins');
  t.match(await write(put('/coordination.k8s.io/leases/kube-node-lease/n1', text(300))), {
    kind: 'committed',
  });
  t.match(await write(put('/core/configmaps/n/a2', text(100))), { kind: 'committed' }, 'shrinks');
  t.equal(quota.problem(), undefined);
  t.match(await write(del('/core/configmaps/n/a3')), { kind: 'committed' });
  t.match(await write(put('/core/configmaps/n/new', text(5_000))), { kind: 'committed' });
});

t.test('quota: far above a quota that was lowered, what shrinks is still taken', async (t) => {
  const { state } = await nearlyFull();
  const quota = new SpaceQuota(state, { quotaBytes: 10_000 });
  const store = createReplicatedStore({ state, consensus: applyAtOnce(state), gates: [quota] });
  const write = (...operations: Operation[]) => store.transact({ checks: [], operations });
  t.match(await write(del('/core/configmaps/n/a3')), { kind: 'committed' });
  t.match(await write(put('/core/configmaps/n/a4', text(9_000))), { kind: 'committed' });
  await t.rejects(write(put('/core/nodes//n1', text(500))), { code: 'store-full' });
});

t.test('quota: the reserve is bounded too', async (t) => {
  const { write, state } = await nearlyFull();
  const outcomes: unknown[] = [];
  for (let n = 0; n < 60; n++) {
    const wrote = write(put(`/coordination.k8s.io/leases/x/l${n}`, text(300)));
    outcomes.push(await wrote.catch((error: unknown) => error));
  }
  t.ok(state.usage().bytes <= QUOTA_BYTES * 1.05 + 1_000);
  t.match(outcomes.at(-1), { code: 'store-full' });
  t.match(await write(del('/core/configmaps/n/a0')), { kind: 'committed' });
});
