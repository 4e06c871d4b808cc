import t from 'tap';
import { parseJournal, planLoss } from '../../src/lab/unsynced.ts';
import { seededRandom } from '../../src/lib/random.ts';

type Fields = {
  kind: number;
  at: number;
  inode: number;
  directory?: number;
  offset?: number;
  length?: number;
  old?: number;
  path: string;
  more?: string;
};

const WROTE = 1;
const SYNCED = 2;
const RENAMED = 3;
const CREATED = 4;
const REMOVED = 5;
const FILE = 7;
const DIRECTORY = 9;
const SECOND = 1e9;

/** A record as the shim writes it. */
function bytesOf(fields: Fields): Buffer {
  const {
    kind,
    at,
    inode,
    directory = 0,
    offset = 0,
    length = 0,
    old = 0,
    path,
    more = '',
  } = fields;
  const head = Buffer.alloc(64);
  head.writeUInt32LE(0x6c6e726a, 0);
  head.writeUInt32LE(kind, 4);
  for (const [place, value] of [at, inode, directory, offset, length, old].entries()) {
    head.writeBigUInt64LE(BigInt(value), 8 + place * 8);
  }
  head.writeUInt32LE(path.length, 56);
  head.writeUInt32LE(more.length, 60);
  return Buffer.concat([head, Buffer.from(path), Buffer.from(more)]);
}

const wrote = (at: number, offset: number, length: number): Fields => ({
  kind: WROTE,
  at,
  inode: FILE,
  path: '/d/f',
  offset,
  length,
  old: 4096,
});
const synced = (at: number, inode = FILE): Fields => ({ kind: SYNCED, at, inode, path: '/d/f' });
const renamed = (at: number): Fields => ({
  kind: RENAMED,
  at,
  inode: FILE,
  directory: DIRECTORY,
  path: '/d/f',
  more: '/d/f.new\nbefore\nthat',
  old: 1,
});

/** Every loss that a journal allows, over many draws: how often a write lost sectors, and names. */
function losses(fields: readonly Fields[], nowNs: number) {
  const records = parseJournal(Buffer.concat(fields.map(bytesOf)));
  return Array.from({ length: 60 }, (_, seed) =>
    planLoss(records, { nowNs, random: seededRandom(seed) }),
  );
}

t.test('unsynced: a journal is read back, and a record that was cut short is none', async (t) => {
  const fields: Fields[] = [
    { ...wrote(1, 512, 100), more: 'old bytes' },
    synced(2),
    { kind: CREATED, at: 3, inode: FILE, directory: DIRECTORY, path: '/d/new' },
    renamed(4),
    { kind: REMOVED, at: 5, inode: FILE, directory: DIRECTORY, path: '/d/gone', more: 'content' },
  ];
  const bytes = Buffer.concat(fields.map(bytesOf));
  const common = { inode: FILE };
  t.match(parseJournal(bytes), [
    { ...common, kind: 'wrote', atNs: 1, offset: 512, length: 100, path: '/d/f' },
    { ...common, kind: 'synced', atNs: 2 },
    { ...common, kind: 'created', directory: DIRECTORY, path: '/d/new' },
    {
      ...common,
      kind: 'renamed',
      path: '/d/f',
      from: '/d/f.new',
      replaced: Buffer.from('before\nthat'),
    },
    { ...common, kind: 'removed', path: '/d/gone', content: Buffer.from('content') },
  ]);
  for (let cut = 1; cut < bytesOf(fields[4] as Fields).length; cut++) {
    t.equal(parseJournal(bytes.subarray(0, bytes.length - cut)).length, 4);
  }
});

t.test('unsynced: what was synced is never lost', async (t) => {
  const all = losses([wrote(10, 0, 4096), wrote(20, 100, 10), synced(30)], 40);
  t.ok(all.every(({ writes }) => writes.length === 0));
});

t.test('unsynced: what was written after a sync began may be lost, whole or in part', async (t) => {
  const all = losses([wrote(10, 0, 512), synced(20), wrote(30, 1000, 2000)], 40);
  t.ok(all.every(({ writes }) => writes.every(({ record }) => record.atNs === 30)));
  const counts = new Set(all.map(({ writes }) => writes[0]?.sectors.length ?? 0));
  t.ok(counts.has(0) && counts.has(5) && counts.size > 3, [...counts].join(' '));
  const sectors = new Set(all.flatMap(({ writes }) => writes.flatMap((each) => each.sectors)));
  t.strictSame([...sectors].sort(), [1, 2, 3, 4, 5], 'those that the write touched');
});

t.test('unsynced: what is old is on the disk although nobody synced it', async (t) => {
  const all = losses([wrote(SECOND, 0, 512), renamed(SECOND)], 60 * SECOND);
  t.ok(all.every(({ writes, names }) => writes.length === 0 && names.length === 0));
});

t.test(
  'unsynced: names are lost from the newest back, until their directory is synced',
  async (t) => {
    const created = { kind: CREATED, at: 10, inode: 8, directory: DIRECTORY, path: '/d/a' };
    const loose = losses([created, renamed(20)], 30).map(({ names }) =>
      names.map(({ kind }) => kind),
    );
    t.strictSame([...new Set(loose.map((kinds) => kinds.join()))].sort(), [
      '',
      'renamed',
      'renamed,created',
    ]);
    // What comes before something durable is durable: names reach the disk in their order.
    const between = losses([created, renamed(20), { ...synced(25) }, { ...created, at: 26 }], 30);
    t.strictSame([...new Set(between.map(({ names }) => names.length))].sort(), [0, 1]);
    const safe = losses([created, renamed(20), synced(25, DIRECTORY)], 30);
    t.ok(safe.every(({ names }) => names.length === 0));
  },
);
