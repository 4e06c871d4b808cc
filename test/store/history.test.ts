import fc from 'fast-check';
import t from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import { encodeCommand } from '../../src/store/commands.ts';
import { StoreState, type StoreStateOptions } from '../../src/store/state.ts';
import type { Operation, Revision, StoreEvent } from '../../src/store/types.ts';
import { del, put } from '../support/store-values.ts';

const revision = (value: number) => value as Revision;

/** A state and its log. */
class Replica {
  readonly state: StoreState;
  #index = 0;

  constructor(options: StoreStateOptions = {}) {
    this.state = new StoreState(options);
  }

  write(...operations: Operation[]): void {
    const index = ++this.#index;
    const data = encodeCommand({
      client: 'c',
      sequence: index,
      acknowledged: index - 1,
      born: 0,
      kind: 'transaction',
      transaction: { checks: [], operations },
    });
    this.state.apply([{ index: asIndex(index), term: asTerm(1), data }]);
  }
}

const things = (state: StoreState, from: number) => {
  const names: string[] = [];
  const watching = state.watch('/x/y/', revision(from), (events) => names.push(...events.map(of)));
  if (watching.kind === 'too-old') return `too old, ${watching.oldest} is not`;
  watching.watch.close();
  return names.join(' ');
};
const of = ({ object, type }: StoreEvent) =>
  `${type === 'delete' ? '-' : ''}${object.key.slice(6)}`;

t.test(
  'history: bounded by number, a watch resumes from any revision inside and none outside',
  async (t) => {
    const log = new Replica({ historyEventsMax: 3 });
    for (let n = 1; n <= 10; n++) log.write(put(`/x/y//k${n}`, {}));
    t.equal(log.state.oldestRevision(), 7);
    t.equal(things(log.state, 7), 'k8 k9 k10');
    t.equal(things(log.state, 9), 'k10');
    t.equal(things(log.state, 10), '');
    t.equal(things(log.state, 6), 'too old, 7 is not');
  },
);

t.test('history: events of one revision leave together', async (t) => {
  const log = new Replica({ historyEventsMax: 4 });
  for (let n = 1; n <= 4; n++) log.write(put(`/x/y//a${n}`, {}), put(`/x/y//b${n}`, {}));
  t.equal(log.state.oldestRevision(), 2);
  t.equal(things(log.state, 2), 'a3 b3 a4 b4');
});

t.test('history: what counts is what only the window keeps', async (t) => {
  const text = 'x'.repeat(10_000);
  const created = new Replica({ historyBytesMax: 100_000 });
  for (let n = 1; n <= 100; n++) created.write(put(`/x/y//k${n}`, { text }));
  t.equal(created.state.oldestRevision(), 0, 'present objects cost the window nothing');
  const updated = new Replica({ historyBytesMax: 100_000 });
  for (let n = 1; n <= 100; n++) updated.write(put('/x/y//k', { text, n }));
  t.equal(updated.state.oldestRevision(), 91, 'former ones do');
  t.ok(updated.state.usage().historyBytes <= 100_000);
  const deleted = new Replica({ historyBytesMax: 100_000 });
  for (let n = 1; n <= 20; n++) deleted.write(put(`/x/y//k${n}`, { text }));
  for (let n = 1; n <= 20; n++) deleted.write(del(`/x/y//k${n}`));
  t.equal(deleted.state.oldestRevision(), 36, 'and the last ones of deleted objects');
});

t.test('history: events leave at their age, not before, by the clock that is given', async (t) => {
  let nowMs = 0;
  const log = new Replica({ historyAgeMs: 60_000, monotonicMs: () => nowMs });
  for (let n = 1; n <= 100; n++) {
    log.write(put(`/x/y//k${n}`, {}));
    nowMs += 1_000;
  }
  const oldest = log.state.oldestRevision();
  t.ok(oldest >= 37 && oldest <= 40, `a minute of history remains: ${oldest}`);
  t.equal(things(log.state, 98), 'k99 k100');
  nowMs += 3_600_000;
  t.equal(log.state.oldestRevision(), oldest, 'a quiet cluster forgets nothing');
  log.write(put('/x/y//late', {}));
  nowMs += 61_000;
  log.write(put('/x/y//later', {}));
  t.equal(things(log.state, 101), 'later');
  t.match(things(log.state, 100), /too old/);
});

t.test('history: pages lead through the window in whole revisions', async (t) => {
  const writes = fc.array(
    fc.array(fc.record({ key: fc.nat(5), other: fc.boolean() }), { minLength: 1, maxLength: 4 }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(writes, fc.nat(30), fc.integer({ min: 1, max: 6 }), (batches, from, eventsMax) => {
      const log = new Replica();
      for (const batch of batches) {
        log.write(...batch.map(({ key, other }) => put(`/x/${other ? 'z' : 'y'}//k${key}`, {})));
      }
      const start = revision(Math.min(from, log.state.revision()));
      const whole: string[] = [];
      const watching = log.state.watch('/x/y/', start, (events) => whole.push(...events.map(id)));
      if (watching.kind === 'watching') watching.watch.close();
      const paged: string[] = [];
      for (let at = start; ; ) {
        const page = log.state.eventsSince('/x/y/', at, eventsMax);
        if (page.kind !== 'events') return false;
        paged.push(...page.events.map(id));
        if (page.complete) return paged.join() === whole.join();
        if (page.through <= at) return false;
        at = page.through;
      }
    }),
    { numRuns: 300 },
  );
  t.pass();
});
const id = ({ object }: StoreEvent) => `${object.key}@${object.revision}`;

t.test('history: a prefix without a slash at its end is one key', async (t) => {
  const log = new Replica();
  for (const name of ['a', 'ab', 'a', 'b']) log.write(put(`/x/y//${name}`, {}));
  const page = log.state.eventsSince('/x/y//a', revision(0), 10);
  t.match(page, { kind: 'events', complete: true });
  if (page.kind === 'events') t.strictSame(page.events.map(id), ['/x/y//a@1', '/x/y//a@3']);
});

t.test(
  'history: a jump to a later state can be watched across, and neither watched nor listed from inside',
  async (t) => {
    const leader = new Replica();
    const follower = new Replica();
    for (const replica of [leader, follower]) {
      for (const name of ['kept', 'gone', 'anew', 'changed'])
        replica.write(put(`/x/y//${name}`, {}));
    }
    leader.write(put('/x/y//changed', { n: 1 }));
    leader.write(del('/x/y//gone'));
    leader.write(del('/x/y//anew'));
    leader.write(put('/x/y//anew', {}));
    leader.write(put('/x/y//fresh', {}));
    await follower.state.restore(leader.state.snapshot().chunks());
    t.equal(follower.state.oldestRevision(), 0);
    t.equal(things(follower.state, 4), '-anew -gone changed anew fresh');
    t.equal(things(follower.state, 2), 'anew changed -anew -gone changed anew fresh');
    t.equal(things(follower.state, 9), '');
    t.equal(follower.state.list('/x/', { atRevision: revision(6) }).kind, 'too-old');
    t.equal(follower.state.list('/x/', { atRevision: revision(3) }).kind, 'too-old');
    t.equal(follower.state.list('/x/', { atRevision: revision(9) }).kind, 'listed');
  },
);

t.test('history: whoever saw inside a jump what it passed over is sent back to list', async (t) => {
  const leader = new Replica();
  const follower = new Replica();
  for (const replica of [leader, follower]) replica.write(put('/x/y//kept', {}));
  leader.write(put('/x/y//passing', {}));
  leader.write(put('/x/y//kept', { n: 1 }));
  leader.write(del('/x/y//passing'));
  leader.write(put('/x/y//kept', { n: 2 }));
  await follower.state.restore(leader.state.snapshot().chunks());
  // Told by another member of the creation at 2, it would never hear of the deletion at 4 here.
  const expected = { kind: 'too-old', oldest: 5 };
  for (const from of [2, 3, 4]) {
    t.match(follower.state.eventsSince('/x/', revision(from), 10), expected);
    t.match(
      follower.state.watch('/x/', revision(from), () => {}),
      expected,
    );
  }
  t.match(follower.state.eventsSince('/x/', revision(1), 1), { kind: 'events', complete: true });
  t.equal(things(follower.state, 5), '');
});

t.test('history: who watches an empty replica is told of the state it jumps to', async (t) => {
  const leader = new Replica();
  leader.write(put('/x/y//there', {}));
  const follower = new Replica();
  const seen: string[] = [];
  follower.state.watch('/x/', revision(0), (events) => {
    for (const { object } of events) seen.push(object.key);
  });
  await follower.state.restore(leader.state.snapshot().chunks());
  t.strictSame(seen, ['/x/y//there']);
});

t.test(
  'history: a window that fills up names the revision that is about to be left behind',
  async (t) => {
    const log = new Replica({ historyEventsMax: 10 });
    for (let n = 1; n <= 4; n++) log.write(put('/x/y//k', { n }));
    t.equal(log.state.endangeredRevision(), 0, 'there is room');
    for (let n = 5; n <= 30; n++) log.write(put('/x/y//k', { n }));
    t.equal(log.state.endangeredRevision(), 26);
  },
);
