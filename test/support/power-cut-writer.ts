/**
 * A member's disk at work, to be killed: opens the storage in a directory, says what it found, and then appends, takes snapshots
 * and compacts for ever, saying what was acknowledged. Lines on standard output: `opened <last>`, `acknowledged <index>`.
 * Arguments: directory, seed.
 */

import { asIndex, asTerm, type Entry } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import type { Storage } from '../../src/consensus/storage.ts';
import { invariant } from '../../src/lib/invariant.ts';
import { seededRandom } from '../../src/lib/random.ts';

const [, , directory = '', seed = '1'] = process.argv;
const random = seededRandom(Number(seed));
const TERM = asTerm(1);
const SEGMENT_BYTES = 16 * 1024;
const confState = {
  voters: ['a'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** Follows from the index, so that whoever reads it back knows. */
const dataOf = (index: number): Buffer => Buffer.alloc((index * 37) % 900, `${index} `);
const entry = (index: number): Entry => ({
  index: asIndex(index),
  term: TERM,
  kind: 'data',
  data: dataOf(index),
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function takeSnapshot(storage: Storage, last: number): Promise<void> {
  const writer = await storage.writeSnapshot({ index: asIndex(last), term: TERM, confState });
  await writer.write(Buffer.alloc(3_000, `${last} `));
  await writer.commit();
  await storage.compact(asIndex(last));
}

const storage = createFileStorage({
  directory,
  nodeId: 'a',
  clusterId: 'c',
  segmentBytes: SEGMENT_BYTES,
});
const { entries, snapshot, hardState } = await storage.open();
for (const { index, data } of entries) {
  invariant(dataOf(index).equals(data), 'an entry holds what was written', { index });
}
const reader = await storage.readSnapshot();
if (reader) {
  const chunks: Uint8Array[] = [];
  for await (const chunk of reader.chunks()) chunks.push(chunk);
  await reader.release();
  const whole = Buffer.alloc(3_000, `${reader.meta.index} `);
  invariant(Buffer.concat(chunks).equals(whole), 'a snapshot holds what was written');
}
let last: number = entries.at(-1)?.index ?? snapshot?.index ?? 0;
invariant((hardState?.commit ?? 0) <= last, 'what is known to be committed is there', { last });
say(`opened ${last}`);
for (;;) {
  const batches = random.int(1, 3);
  const appended: Promise<void>[] = [];
  for (let batch = 0; batch < batches; batch++) {
    const count = random.int(1, 4);
    const added = Array.from({ length: count }, (_, at) => entry(last + 1 + at));
    const upTo = last + count;
    const commit = asIndex(last);
    const done = storage.append({ entries: added, hardState: { term: TERM, vote: 'a', commit } });
    appended.push(done.then(() => say(`acknowledged ${upTo}`)));
    last = upTo;
  }
  await Promise.all(appended);
  if (random.chance(0.04)) await takeSnapshot(storage, last);
}
