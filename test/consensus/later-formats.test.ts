/** What a later version wrote is no damage: it is refused as what it is, and never passed over. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t, { type Test } from 'tap';
import { asIndex, asTerm } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { SEGMENT_HEADER_BYTES } from '../../src/consensus/wal-format.ts';
import { crc32c } from '../../src/lib/crc32c.ts';

const RECORD_HEADER_BYTES = 24;

/** A closed storage with one entry and one snapshot, and the means to change its files. */
async function stored(t: Test) {
  const directory = await mkdtemp(`${tmpdir()}/skein-formats-`);
  t.teardown(() => rm(directory, { recursive: true }));
  const options = { directory, nodeId: 'a', clusterId: 'c', segmentBytes: 16 * 1024 };
  const storage = createFileStorage(options);
  await storage.open();
  const data = Buffer.from('data');
  await storage.append({
    entries: [{ index: asIndex(1), term: asTerm(1), kind: 'data', data }],
    hardState: { term: asTerm(1), vote: undefined, commit: asIndex(1) },
  });
  const lists = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const confState = { ...lists, voters: ['a'] };
  const writer = await storage.writeSnapshot({ index: asIndex(1), term: asTerm(1), confState });
  await writer.commit();
  await storage.close();
  const edit = async (folder: string, change: (bytes: Buffer) => void) => {
    const [name = ''] = (await readdir(`${directory}/${folder}`)).filter((one) => !/tmp/.test(one));
    const path = `${directory}/${folder}/${name}`;
    const bytes = await readFile(path);
    change(bytes);
    await writeFile(path, bytes);
  };
  /** Changes the first record, and makes its checksum fit again. */
  const editRecord = (change: (record: Buffer) => void) =>
    edit('wal', (bytes) => {
      const record = bytes.subarray(SEGMENT_HEADER_BYTES);
      const before = record.readUInt32LE(0);
      const end = RECORD_HEADER_BYTES + record.readUInt32LE(4);
      const salt = saltOf(record.subarray(4, end), before, bytes);
      change(record);
      record.writeUInt32LE(crc32c(record.subarray(4, end), salt), 0);
    });
  const open = () => createFileStorage(options).open();
  return { edit, editRecord, open };
}

/** The salt is somewhere in the header: the number whose checksum of the record fits. */
function saltOf(record: Buffer, checksum: number, segment: Buffer): number {
  for (let at = 20; at < 256; at++) {
    for (const salt of [segment.readUInt32BE(at), segment.readUInt16BE(at)]) {
      if (crc32c(record, salt) === checksum) return salt;
    }
  }
  throw new Error('no salt was found');
}

t.test('formats: an entry of a kind that is not known yet', async (t) => {
  const { editRecord, open } = await stored(t);
  await editRecord((record) => record.writeUInt8(9, RECORD_HEADER_BYTES + 12));
  await t.rejects(open(), {
    code: 'version-unsupported',
    message: /entry of kind 9, written by a later version.*start this node with the version that/,
  });
});

t.test('formats: a record of a type that is not known yet', async (t) => {
  const { editRecord, open } = await stored(t);
  await editRecord((record) => record.writeUInt8(7, 14));
  await t.rejects(open(), {
    code: 'version-unsupported',
    message: /record of type 7.*types 1 to 3/,
  });
});

t.test('formats: a log of a format that is not known yet', async (t) => {
  const { edit, open } = await stored(t);
  await edit('wal', (bytes) => bytes.writeUInt32LE(2, 8));
  await t.rejects(open(), { code: 'version-unsupported', message: /segment has format 2/ });
  await edit('wal', (bytes) => bytes.writeUInt32LE(65_537, 8));
  await t.rejects(open(), { code: 'data-damaged' }, 'but a flipped bit is damage');
});

t.test('formats: a snapshot of a format that is not known yet', async (t) => {
  const { edit, open } = await stored(t);
  await edit('snapshots', (bytes) => bytes.write('2', bytes.length - 1, 'latin1'));
  await t.rejects(open(), { code: 'version-unsupported', message: /\.snap has format 2/ });
  await edit('snapshots', (bytes) => bytes.write('x', bytes.length - 8, 'latin1'));
  await t.rejects(open(), { code: 'data-damaged' });
});
