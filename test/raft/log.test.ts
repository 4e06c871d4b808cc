import t from 'tap';
import { emptyConfState } from '../../raft/config-change.ts';
import { RaftInvariantError } from '../../raft/invariant.ts';
import { RaftLog } from '../../raft/log.ts';
import { entryBytes } from '../../raft/log-tail.ts';
import type { Entry } from '../../raft/types.ts';
import { asIndex, asTerm } from '../../raft/types.ts';

const entry = (index: number, term: number, size = 0): Entry => ({
  index: asIndex(index),
  term: asTerm(term),
  kind: 'data',
  data: new Uint8Array(size),
});
const at = (index: number, term: number) => ({ index: asIndex(index), term: asTerm(term) });
const meta = (index: number, term: number) => ({ ...at(index, term), confState: emptyConfState });

/** A log behind index 1 of term 1, with durable entries of the given terms. */
function logOf(terms: readonly number[], commit = 1): RaftLog {
  return new RaftLog({
    hardState: { term: asTerm(9), vote: undefined, commit: asIndex(commit) },
    snapshot: meta(1, 1),
    entries: terms.map((term, position) => entry(position + 2, term)),
  });
}

t.test('log: entries that are there already stay, conflicting ones go', async (t) => {
  const log = logOf([2, 2, 2]);
  t.equal(log.maybeAppend(at(1, 1), [entry(2, 2), entry(3, 2)]), 3);
  t.equal(log.lastIndex, 4, 'an old message shortens nothing');
  t.equal(log.maybeAppend(at(2, 2), [entry(3, 3)]), 3);
  t.equal(log.lastIndex, 3);
  t.equal(log.tail.lastTerm, 3);
  t.equal(log.maybeAppend(at(3, 2), []), undefined, 'another term is another entry');
  t.equal(log.maybeAppend(at(9, 3), []), undefined, 'a gap cannot be bridged');
});

t.test('log: a committed entry is never replaced', async (t) => {
  const log = logOf([2, 2], 3);
  t.throws(() => log.maybeAppend(at(2, 2), [entry(3, 3)]), RaftInvariantError);
  t.throws(() => log.commitTo(asIndex(9)), /lost data needs a new identity/);
  t.throws(() => logOf([2], 9), /still holds every entry/);
});

t.test('log: an acknowledged write counts only as long as its entries are there', async (t) => {
  const log = logOf([]);
  // 1. Entry 2 of term 2 is being written.
  log.maybeAppend(at(1, 1), [entry(2, 2)]);
  t.same(log.beginWrite().entries, [entry(2, 2)]);
  // 2. Term 3 replaces it.
  log.maybeAppend(at(1, 1), [entry(2, 3)]);
  t.same(log.beginWrite().entries, [entry(2, 3)]);
  // 3. Term 4 brings back entry 2 of term 2.
  log.maybeAppend(at(1, 1), [entry(2, 2)]);
  t.same(log.beginWrite().entries, [entry(2, 2)]);
  log.commitTo(asIndex(2));
  // 4. The writes end, one after the other.
  log.endWrite(undefined);
  t.equal(log.stable, 1, 'the same entry is in the log, but the next write replaces it on disk');
  t.same(log.nextToApply(1000), []);
  log.endWrite(undefined);
  t.equal(log.stable, 1);
  log.endWrite(undefined);
  t.equal(log.stable, 2);
  t.same(log.nextToApply(1000), [entry(2, 2)]);
});

t.test('log: a snapshot takes the place of a conflicting, even a longer, log', async (t) => {
  const log = logOf([2, 2, 2, 2]);
  log.maybeAppend(at(5, 2), [entry(6, 2)]);
  log.beginWrite();
  log.restore(meta(4, 3));
  t.equal(log.firstIndex, 5);
  t.equal(log.lastIndex, 4);
  t.equal(log.commit, 4);
  log.endWrite(undefined);
  t.equal(log.stable, 4, 'the write of entries that are void says nothing');
  const write = log.beginWrite();
  t.match(write.snapshot, { index: 4, term: 3 });
  log.maybeAppend(at(4, 3), [entry(5, 3)]);
  log.commitTo(asIndex(5));
  log.beginWrite();
  log.endWrite(write.snapshot);
  t.equal(log.restoring, false);
  log.endWrite(undefined);
  t.same(log.nextToApply(1000), [entry(5, 3)]);
});

t.test('log: committed entries are handed out in pages', async (t) => {
  const log = logOf([]);
  const size = 100;
  const page = 2 * entryBytes(entry(2, 2, size));
  log.append(Array.from({ length: 7 }, (_, position) => entry(position + 2, 2, size)));
  log.commitTo(asIndex(8));
  t.equal(log.hasToApply(page), false, 'not before they are durable');
  log.beginWrite();
  log.endWrite(undefined);
  t.equal(log.nextToApply(page).length, 2);
  t.equal(log.hasToApply(page), false, 'nothing more before something is applied');
  log.appliedTo(asIndex(2));
  t.same(
    log.nextToApply(page).map(({ index }) => index),
    [4],
  );
  log.appliedTo(asIndex(4));
  t.equal(log.nextToApply(1).length, 1, 'one entry always goes');
  t.throws(() => log.appliedTo(asIndex(8)), RaftInvariantError);
});

t.test('log: what is committed and not durable is not handed out with what is', async (t) => {
  const log = logOf([2, 2]);
  log.append([entry(4, 2)]);
  log.commitTo(asIndex(4));
  t.same(
    log.nextToApply(1e6).map(({ index }) => index),
    [2, 3],
  );
});

t.test('log: whole terms are skipped when looking for the place to agree', async (t) => {
  const log = logOf([2, 2, 4, 4, 4, 7]);
  t.same(log.tail.lastNotAbove(asIndex(6), asTerm(3)), at(3, 2));
  t.same(log.tail.lastNotAbove(asIndex(7), asTerm(7)), at(7, 7));
  t.same(log.tail.lastNotAbove(asIndex(99), asTerm(6)), at(6, 4));
  t.same(log.tail.lastNotAbove(asIndex(5), asTerm(1)), at(1, 1));
});

t.test('log: compaction keeps the term right before the first entry', async (t) => {
  const log = logOf([2, 3, 4], 4);
  log.nextToApply(1000);
  log.appliedTo(asIndex(4));
  log.compact(meta(4, 4), asIndex(3));
  t.equal(log.firstIndex, 3);
  t.equal(log.tail.termAt(asIndex(2)), 2);
  t.equal(log.tail.termAt(asIndex(1)), undefined);
  t.same(log.tail.slice(asIndex(3), asIndex(4), 1e6), [entry(3, 3), entry(4, 4)]);
  t.throws(() => log.compact(meta(4, 4), asIndex(6)), RaftInvariantError);
});

t.test('log: a slice stays within its bytes, but is never empty', async (t) => {
  const log = logOf([2, 2, 2]);
  const each = entryBytes(entry(2, 2));
  const sizes = [1, each, 2 * each, 3 * each - 1, 3 * each];
  const counts = sizes.map((bytes) => log.tail.slice(asIndex(2), asIndex(4), bytes).length);
  t.same(counts, [1, 1, 2, 2, 3]);
  t.throws(() => log.tail.slice(asIndex(1), asIndex(4), 1), RaftInvariantError);
});
