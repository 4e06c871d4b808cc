import { createHash } from 'node:crypto';
import { cp, mkdtemp, open, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { asIndex, asTerm } from '../../../raft/types.ts';
import { createFileStorage } from '../../../src/consensus/file-storage.ts';
import type { Storage } from '../../../src/consensus/storage.ts';
import { seededRandom } from '../../../src/lib/random.ts';
import { dataPaths, takeDataDir, writeClusterFile } from '../../../src/node/data-dir.ts';
import { verifyDataDir } from '../../../src/node/recovery/verify.ts';
import { StoreState } from '../../../src/store/state.ts';
import { CLUSTER_ID, type NodeFiles, nodeFiles, scratch } from '../../support/data-dir.ts';

/** Every file below `root` with a hash of its content and its time of change. */
async function contents(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const hash = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    found.push(`${path} ${(await stat(path)).mtimeMs} ${hash}`);
  }
  return found.sort();
}

const segmentOf = ({ log }: NodeFiles) => `${log}/wal/000000000001.wal`;

async function snapshotOf({ log }: NodeFiles): Promise<string> {
  const [name = ''] = await readdir(`${log}/snapshots`);
  return `${log}/snapshots/${name}`;
}

async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

t.test('verify: a good directory is intact, and told in full', async (t) => {
  const node = await nodeFiles(t, { writes: 20, uncertain: 3 });
  const report = await verifyDataDir(node.root);
  t.match(report, {
    intact: true,
    node: 'node1',
    peer: node.peer,
    clusterId: CLUSTER_ID,
    findings: [],
    snapshot: { index: 1, term: 1 },
    log: {
      segments: [{ records: 23, firstIndex: 2, lastIndex: 22 }],
      standing: { term: 3, commit: 19, lastIndex: 22, lastTerm: 3, uncertain: 3 },
    },
  });
  t.strictSame(report.log.standing?.voters.toSorted(), [node.peer, 'peer2', 'peer3'].sort());
  // Three members with their names, and what is committed of the writes.
  t.equal(report.state?.objects, 6 + 17);
  t.strictSame(report.state?.members.map(({ node }) => node).sort(), ['node1', 'node2', 'node3']);
});

t.test('verify: nothing is ever written', async (t) => {
  const node = await nodeFiles(t);
  await overwrite(segmentOf(node), (await recordsEnd(node)) + 40, Buffer.from('torn'));
  const before = await contents(node.root);
  await verifyDataDir(node.root);
  t.strictSame(await contents(node.root), before);
});

t.test('verify: a torn end is harmless, and told with its place', async (t) => {
  const node = await nodeFiles(t);
  const end = await recordsEnd(node);
  await overwrite(segmentOf(node), end, Buffer.from('half a record'));
  const report = await verifyDataDir(node.root);
  t.equal(report.intact, true);
  t.match(report.findings, [{ kind: 'torn', file: segmentOf(node), offset: end }]);
});

t.test('verify: a damaged middle is told with file and offset', async (t) => {
  const node = await nodeFiles(t);
  const end = await recordsEnd(node);
  const middle = 4096 + Math.floor((end - 4096) / 2);
  await overwrite(segmentOf(node), middle, Buffer.from('bent'));
  const report = await verifyDataDir(node.root);
  t.equal(report.intact, false);
  t.equal(report.log.standing, undefined, 'no figures of a log that cannot be trusted');
  const [finding] = report.findings;
  t.match(finding, { kind: 'damaged', file: segmentOf(node) });
  t.ok((finding?.offset ?? 0) >= 4096 && (finding?.offset ?? 0) <= middle);
});

t.test('verify: every damage is told, not only the first', async (t) => {
  const node = await nodeFiles(t, { writes: 60, segmentBytes: 8192 });
  const names = (await readdir(`${node.log}/wal`)).filter((name) => name.endsWith('.wal')).sort();
  t.ok(names.length > 3);
  for (const name of [names[0], names[2]]) {
    await overwrite(`${node.log}/wal/${name}`, 4096 + 30, Buffer.from('bent'));
  }
  const snapshot = await snapshotOf(node);
  await truncate(snapshot, (await stat(snapshot)).size - 1);
  const report = await verifyDataDir(node.root);
  t.strictSame(
    report.findings.map(({ file }) => file),
    [snapshot, `${node.log}/wal/${names[0]}`, `${node.log}/wal/${names[2]}`],
  );
});

t.test(
  'verify: a snapshot with a flipped bit, a missing segment and a foreign log are damage',
  async (t) => {
    const bent = await nodeFiles(t);
    await overwrite(await snapshotOf(bent), 20, Buffer.from('?'));
    t.match(await verifyDataDir(bent.root), {
      intact: false,
      findings: [{ kind: 'damaged', what: /fail their checksum/ }],
    });
    const gap = await nodeFiles(t, { writes: 60, segmentBytes: 8192 });
    await rm(`${gap.log}/wal/000000000002.wal`);
    t.match(await verifyDataDir(gap.root), {
      intact: false,
      findings: [
        {
          kind: 'damaged',
          file: segmentOf(gap),
          what: /records before the next segment are missing/,
        },
      ],
    });
    const [mine, other] = [await nodeFiles(t), await nodeFiles(t)];
    await cp(segmentOf(other), segmentOf(mine));
    t.match(await verifyDataDir(mine.root), {
      intact: false,
      findings: [{ what: /belongs to nodeId/ }],
    });
  },
);

t.test('verify: a lost log, a lost key and another node’s key are told', async (t) => {
  const lost = await nodeFiles(t);
  await rm(lost.log, { recursive: true });
  t.match(await verifyDataDir(lost.root), {
    intact: false,
    findings: [{ what: /the log in .* is gone, but this node was a member/ }],
  });
  const keyless = await nodeFiles(t);
  await rm(`${keyless.root}/identity.key`);
  t.match(await verifyDataDir(keyless.root), {
    intact: false,
    findings: [{ file: `${keyless.root}/identity.key`, what: 'it is missing' }],
  });
  const [one, two] = [await nodeFiles(t), await nodeFiles(t)];
  await cp(`${two.root}/identity.key`, `${one.root}/identity.key`);
  t.match(await verifyDataDir(one.root), {
    intact: false,
    findings: [{ what: /it is the key of/ }],
  });
});

t.test('verify: a directory that a process uses, and one that is none, are refused', async (t) => {
  const node = await nodeFiles(t);
  const lock = await takeDataDir(node.root);
  await t.rejects(verifyDataDir(node.root), {
    code: 'config-invalid',
    message: new RegExp(`is in use: process ${process.pid} runs a node there; stop it first`),
  });
  await lock.release();
  t.equal((await verifyDataDir(node.root)).intact, true);
  await t.rejects(verifyDataDir(await scratch(t)), { message: /is no data directory of a node/ });
});

t.test('verify: what it says is what a start does, whatever became of the files', async (t) => {
  const node = await nodeFiles(t, { writes: 40, segmentBytes: 8192 });
  const random = seededRandom(7);
  const outcomes = { intact: 0, damaged: 0 };
  for (let round = 0; round < 30; round++) {
    const root = await mkdtemp(`${tmpdir()}/skein-bent-`);
    await cp(node.root, root, { recursive: true });
    const files = (await readdir(`${root}/consensus`, { recursive: true }))
      .filter((name) => /\.(wal|snap)$/.test(name))
      .sort();
    const path = `${root}/consensus/${random.pick(files)}`;
    const { size } = await stat(path);
    if (random.chance(0.3)) await truncate(path, random.int(0, size - 1));
    else await overwrite(path, random.int(0, size - 1), Buffer.from([random.int(0, 255)]));
    const report = await verifyDataDir(root);
    const storage = createFileStorage({
      directory: `${root}/consensus`,
      nodeId: node.peer,
      clusterId: CLUSTER_ID,
      segmentBytes: 8192,
    });
    const starts = await startsFrom(storage);
    t.equal(report.intact, starts, `round ${round}: ${path} ${JSON.stringify(report.findings)}`);
    outcomes[starts ? 'intact' : 'damaged']++;
    await storage.close().catch(() => {});
    await rm(root, { recursive: true });
  }
  t.ok(outcomes.intact > 2 && outcomes.damaged > 2, JSON.stringify(outcomes));
});

/** What recoverState does, without a group. */
async function startsFrom(storage: Storage): Promise<boolean> {
  try {
    await storage.open();
    const reader = await storage.readSnapshot();
    if (!reader) return false;
    await new StoreState().restore(reader.chunks()).finally(() => reader.release());
    return true;
  } catch {
    return false;
  }
}

/** Where the records of the only segment end. */
async function recordsEnd(node: NodeFiles): Promise<number> {
  const bytes = await readFile(segmentOf(node));
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  return Math.ceil(end / 8) * 8;
}

t.test('verify: a directory that its start would refuse for who it is, is told so', async (t) => {
  const faults = [
    [{ removed: true }, /this node was removed from cluster/],
    [{ supersededBy: 'another' }, /was left behind when its cluster was recovered/],
  ] as const;
  for (const [change, what] of faults) {
    const node = await nodeFiles(t);
    await writeClusterFile(dataPaths(node.root).cluster, { ...node.cluster, ...change });
    t.match(await verifyDataDir(node.root), { intact: false, findings: [{ what }] });
  }
});

t.test(
  'verify: another node’s snapshot, and a log shorter than its commit index, are damage',
  async (t) => {
    const [mine, other] = [await nodeFiles(t), await nodeFiles(t)];
    await cp(await snapshotOf(other), await snapshotOf(mine));
    t.match(await verifyDataDir(mine.root), {
      intact: false,
      findings: [{ what: new RegExp(`it belongs to node ${other.peer}`) }],
    });
    const short = await nodeFiles(t, { writes: 10 });
    const storage = createFileStorage({
      directory: short.log,
      nodeId: short.peer,
      clusterId: CLUSTER_ID,
      segmentBytes: 65_536,
    });
    await storage.open();
    const hardState = { term: asTerm(3), vote: undefined, commit: asIndex(20) };
    await storage.append({ entries: [], hardState });
    await storage.close();
    t.match(await verifyDataDir(short.root), {
      intact: false,
      findings: [{ what: /entries 13 to 20 are missing/ }],
    });
  },
);
