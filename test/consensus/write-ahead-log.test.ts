import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { asIndex, asTerm, type Entry } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { SEGMENT_HEADER_BYTES } from '../../src/consensus/wal-format.ts';

const owner = { nodeId: 'node-a', clusterId: 'cluster-1' };
const SEGMENT_BYTES = 16 * 1024;

const entry = (index: number, size = 20): Entry => ({
  index: asIndex(index),
  term: asTerm(1),
  kind: 'data',
  data: Buffer.alloc(size, index),
});

async function scratch(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'skein-wal-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const storageIn = (directory: string, of = owner) =>
  createFileStorage({ ...of, directory, segmentBytes: SEGMENT_BYTES });

/** Appends each group as one commit. */
async function fill(directory: string, groups: readonly (readonly Entry[])[]): Promise<void> {
  const storage = storageIn(directory);
  await storage.open();
  for (const entries of groups) await storage.append({ entries });
  await storage.close();
}

async function indexesIn(directory: string): Promise<number[]> {
  const storage = storageIn(directory);
  try {
    return (await storage.open()).entries.map((entry) => entry.index);
  } finally {
    await storage.close();
  }
}

const firstSegment = (directory: string) => join(directory, 'wal', '000000000001.wal');
const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1);

/** Offsets of the records of a segment, from their lengths. */
function recordOffsets(bytes: Buffer): number[] {
  const offsets: number[] = [];
  for (let at = SEGMENT_HEADER_BYTES; bytes.readUInt32LE(at) !== 0; ) {
    offsets.push(at);
    at = (at + 24 + bytes.readUInt32LE(at + 4) + 7) & ~7;
  }
  return offsets;
}

t.test('wal: a last record torn at any byte is cut off, and the log goes on', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)], [entry(2)], [entry(3)]]);
  const path = firstSegment(directory);
  const whole = await readFile(path);
  const last = recordOffsets(whole).at(-1) ?? 0;
  const end = last + 24 + whole.readUInt32LE(last + 4);
  for (let cut = last; cut < end; cut++) {
    for (const remains of ['zeros', 'nothing'] as const) {
      const torn = Buffer.from(whole);
      torn.fill(0, cut);
      await writeFile(path, remains === 'zeros' ? torn : torn.subarray(0, cut));
      t.strictSame(await indexesIn(directory), [1, 2], `cut at ${cut}, then ${remains}`);
    }
  }
  await fill(directory, [[entry(3, 40)], [entry(4)]]);
  t.strictSame(await indexesIn(directory), upTo(4));
});

t.test('wal: a torn group loses its tail only, wherever its pages were lost', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)], [2, 3, 4, 5, 6].map((index) => entry(index))]);
  const path = firstSegment(directory);
  const whole = await readFile(path);
  const offsets = recordOffsets(whole);
  const torn = Buffer.from(whole);
  torn.fill(0, offsets[2], offsets[3]);
  await writeFile(path, torn);
  t.strictSame(await indexesIn(directory), [1, 2], 'record 3 never reached the disk');
  t.strictSame(await indexesIn(directory), [1, 2], 'and 4 to 6 do not come back');
  const storage = storageIn(directory);
  await storage.open();
  await storage.append({ entries: [entry(3)] });
  await storage.close();
  t.strictSame(await indexesIn(directory), upTo(3), 'old bytes are no records again');
});

t.test('wal: a flipped bit in the middle is refused with the place and a remedy', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)], [entry(2)], [entry(3)], [entry(4)]]);
  const path = firstSegment(directory);
  const whole = await readFile(path);
  const [first = 0, second = 0] = recordOffsets(whole);
  for (const bit of [0, 33, 64, 112, 8 * 24, 8 * 40]) {
    const flipped = Buffer.from(whole);
    const at = first + (bit >>> 3);
    flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (bit & 7)), at);
    await writeFile(path, flipped);
    await t.rejects(
      indexesIn(directory),
      { code: 'data-damaged', message: new RegExp(`${path}.*byte ${first}.*join it anew`) },
      `bit ${bit} of the first record`,
    );
    t.strictSame(await readFile(path), flipped, 'evidence is left as it is');
  }
  const erased = Buffer.from(whole);
  erased.fill(0, first, second);
  await writeFile(path, erased);
  await t.rejects(indexesIn(directory), { code: 'data-damaged' }, 'a record wiped to zeros');
});

t.test('wal: damage in an older segment is refused, also at its very end', async (t) => {
  const directory = await scratch(t);
  await fill(
    directory,
    upTo(60).map((index) => [entry(index, 500)]),
  );
  t.ok((await readdir(join(directory, 'wal'))).length > 2);
  const path = firstSegment(directory);
  const whole = await readFile(path);
  for (const at of [10, recordOffsets(whole)[3] ?? 0, recordOffsets(whole).at(-1) ?? 0]) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 4, at);
    await writeFile(path, damaged);
    await t.rejects(indexesIn(directory), { code: 'data-damaged' }, `byte ${at}`);
  }
  await writeFile(path, whole);
  t.strictSame(await indexesIn(directory), upTo(60));
});

t.test('wal: a missing segment is refused', async (t) => {
  const directory = await scratch(t);
  await fill(
    directory,
    upTo(90).map((index) => [entry(index, 500)]),
  );
  await rm(join(directory, 'wal', '000000000002.wal'));
  await t.rejects(indexesIn(directory), { code: 'data-damaged' });
});

t.test('wal: the directory of another node or cluster is refused', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)]]);
  for (const of of [
    { ...owner, nodeId: 'node-b' },
    { ...owner, clusterId: 'cluster-2' },
  ]) {
    const storage = storageIn(directory, of);
    await t.rejects(storage.open(), { code: 'data-damaged', message: /belongs to/ });
    await storage.close();
  }
  t.strictSame(await indexesIn(directory), [1]);
});

t.test('wal: an intact record in the place of another is refused', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)], [entry(2)], [entry(3)]]);
  const path = firstSegment(directory);
  const whole = await readFile(path);
  const [, second = 0, third = 0] = recordOffsets(whole);
  const swapped = Buffer.from(whole);
  whole.copy(swapped, second, third, third + (third - second));
  await writeFile(path, swapped);
  await t.rejects(indexesIn(directory), { code: 'data-damaged' });
});

t.test('wal: a log that lost what it knows to be committed is refused', async (t) => {
  const directory = await scratch(t);
  const storage = storageIn(directory);
  await storage.open();
  const commit = asIndex(2);
  const hardState = { term: asTerm(1), vote: undefined, commit };
  await storage.append({ entries: [entry(1)], hardState });
  await storage.close();
  await t.rejects(indexesIn(directory), { code: 'data-damaged', message: /entries 2 to 2/ });
});

t.test('wal: a record larger than a segment fits', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)], [entry(2, 3 * SEGMENT_BYTES)], [entry(3)]]);
  t.strictSame(await indexesIn(directory), upTo(3));
});

t.test('wal: compaction deletes whole segments', async (t) => {
  const directory = await scratch(t);
  const storage = storageIn(directory);
  await storage.open();
  for (const index of upTo(200)) await storage.append({ entries: [entry(index, 500)] });
  const before = (await readdir(join(directory, 'wal'))).length;
  await storage.compact(asIndex(150));
  const after = (await readdir(join(directory, 'wal'))).length;
  t.ok(after < before - 3, `${before} files became ${after}`);
  await storage.close();
});

t.test('wal: nobody else may read the files', async (t) => {
  const directory = await scratch(t);
  const storage = storageIn(directory);
  await storage.open();
  await storage.append({ entries: [entry(1)] });
  const mode = async (...parts: string[]) => (await stat(join(directory, ...parts))).mode & 0o777;
  t.equal(await mode(), 0o700);
  t.equal(await mode('wal'), 0o700);
  t.equal(await mode('wal', '000000000001.wal'), 0o600);
  t.equal(await mode('lock'), 0o600);
  await storage.close();
});

t.test('wal: a failed write is final', async (t) => {
  const directory = await scratch(t);
  const storage = storageIn(directory);
  await storage.open();
  await rm(join(directory, 'wal'), { recursive: true });
  const failed = upTo(40).map((index) => storage.append({ entries: [entry(index, 900)] }));
  await t.rejects(Promise.all(failed), { code: 'disk-failed' });
  await t.rejects(storage.append({ entries: [entry(99)] }), { code: 'disk-failed' });
  await storage.close();
});

t.test('wal: a directory in use by a living process is refused', async (t) => {
  const directory = await scratch(t);
  await fill(directory, [[entry(1)]]);
  const statText = await readFile('/proc/1/stat', 'utf8');
  const start = statText.slice(statText.lastIndexOf(')') + 2).split(' ')[19];
  await writeFile(join(directory, 'lock'), `1 ${start}\n`);
  const storage = storageIn(directory);
  await t.rejects(storage.open(), { code: 'config-invalid', message: /process 1 uses/ });
  await writeFile(join(directory, 'lock'), '1 12345\n');
  t.strictSame(await indexesIn(directory), [1], 'the lock of an earlier process is taken over');
});

t.test(
  'wal: the lock of a process that is dead, but whose parent has not noticed, is taken over',
  async (t) => {
    const directory = await scratch(t);
    await fill(directory, [[entry(1)]]);
    // The program that takes the shell's place does not know of the child it inherits.
    const parent = spawn('sh', ['-c', 'sleep 0 & exec sleep 60'], { stdio: 'ignore' });
    t.teardown(() => parent.kill('SIGKILL'));
    const fieldsOf = async (pid: string) => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8');
      return text.slice(text.lastIndexOf(')') + 2).split(' ');
    };
    const children = `/proc/${parent.pid}/task/${parent.pid}/children`;
    let pid = '';
    let fields: string[] = [];
    while (fields[0] !== 'Z') {
      await new Promise((resolve) => setTimeout(resolve, 5));
      pid = (await readFile(children, 'utf8')).trim();
      fields = pid === '' ? [] : await fieldsOf(pid);
    }
    await writeFile(join(directory, 'lock'), `${pid} ${fields[19]}\n`);
    t.strictSame(await indexesIn(directory), [1]);
  },
);
