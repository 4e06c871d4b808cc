import { cp, readdir, readFile, rm, stat } from 'node:fs/promises';
import t from 'tap';
import { inspectStorage } from '../../../src/consensus/inspect-storage.ts';
import {
  type ClusterFile,
  dataPaths,
  logDirectory,
  readClusterFile,
  takeDataDir,
} from '../../../src/node/data-dir.ts';
import { readMembers } from '../../../src/node/members.ts';
import { REVISION_JUMP } from '../../../src/node/recovery/group-files.ts';
import { rebuildState } from '../../../src/node/recovery/offline-node.ts';
import {
  planRecovery,
  type RecoveryStep,
  recoverNode,
} from '../../../src/node/recovery/recover.ts';
import { verifyDataDir } from '../../../src/node/recovery/verify.ts';
import { readSuperseded } from '../../../src/node/superseded.ts';
import { CLUSTER_ID, nodeFiles } from '../../support/data-dir.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

async function clusterOf(root: string): Promise<ClusterFile> {
  const file = await readClusterFile(dataPaths(root).cluster);
  if (!file) throw new Error('no cluster.json');
  return file;
}

/** The state a start would begin with. */
async function stateOf(root: string) {
  const file = await clusterOf(root);
  const storage = await inspectStorage(logDirectory(dataPaths(root), file), {
    nodeId: file.peer,
    clusterId: file.clusterId,
  });
  return { storage, state: await rebuildState(storage, 'commit', file) };
}

t.test('recover: a plan tells how new the log is and who would be left behind', async (t) => {
  const node = await nodeFiles(t, { writes: 10, uncertain: 4 });
  const before = await readdir(node.root, { recursive: true });
  const plan = await planRecovery(node.root);
  t.match(plan, {
    node: 'node1',
    clusterId: CLUSTER_ID,
    standing: { lastTerm: 3, lastIndex: 12, commit: 8, uncertain: 4 },
    objects: 16,
  });
  t.strictSame(
    plan.others.map(({ node, votes }) => [node, votes]),
    [
      ['node2', true],
      ['node3', true],
    ],
  );
  t.strictSame(await readdir(node.root, { recursive: true }), before, 'and changes nothing');
});

t.test(
  'recover: the survivor is the only voter of a new cluster that holds its whole log',
  async (t) => {
    const node = await nodeFiles(t, { writes: 10, uncertain: 4 });
    const { clusterId, kept, revision } = await recoverNode(node.root, { nowMs: NOW_MS });
    t.not(clusterId, CLUSTER_ID);
    t.match(await verifyDataDir(node.root), {
      intact: true,
      clusterId,
      peer: node.peer,
      findings: [],
    });
    const { storage, state } = await stateOf(node.root);
    t.match(storage.state, {
      hardState: { term: 3, commit: 13 },
      snapshot: {
        index: 13,
        confState: { voters: [node.peer], learners: [], removed: ['peer2', 'peer3'] },
      },
      entries: [],
    });
    for (let n = 0; n < 10; n++) {
      t.ok(state.get(`/core/configmaps/default/c${n}`), `c${n}, known to be committed or not`);
    }
    t.strictSame(
      readMembers(state).map(({ node }) => node),
      ['node1'],
    );
    t.match(readSuperseded(state, 'peer2'), {
      node: 'node2',
      clusterId: CLUSTER_ID,
      supersededBy: clusterId,
    });
    t.equal(readSuperseded(state, node.peer), undefined);
    t.equal(state.revision(), revision);
    t.ok(revision > REVISION_JUMP, 'no revision that the lost members gave is given again');
    t.equal(state.oldestRevision(), revision, 'and watches of theirs are too old');
    t.equal(kept, `${node.root}/replaced-2026-01-02T03-04-05-000Z`);
  },
);

t.test('recover: what was replaced is kept whole, and can be put back', async (t) => {
  const node = await nodeFiles(t);
  const former = await verifyDataDir(node.root);
  const { kept } = await recoverNode(node.root, { nowMs: NOW_MS });
  const { log } = await clusterOf(node.root);
  await rm(`${node.root}/${log}`, { recursive: true });
  await cp(kept, node.root, { recursive: true });
  t.strictSame(await verifyDataDir(node.root), former);
  t.equal((await stat(kept)).mode & 0o777, 0o700);
  t.equal((await stat(`${kept}/cluster.json`)).mode & 0o777, 0o600, 'it holds keys');
});

const STEPS: readonly RecoveryStep[] = ['read', 'write', 'check', 'keep', 'commit', 'set-aside'];

for (const crashAt of STEPS) {
  t.test(`recover: a crash at "${crashAt}" leaves the old cluster or the new one`, async (t) => {
    const node = await nodeFiles(t);
    const before = await readFile(dataPaths(node.root).cluster);
    const onStep = (step: RecoveryStep) => {
      if (step === crashAt) throw new Error('power cut');
    };
    await t.rejects(recoverNode(node.root, { nowMs: NOW_MS, onStep }), { message: 'power cut' });
    const { intact, clusterId, state } = await verifyDataDir(node.root);
    t.equal(intact, true);
    if (crashAt === 'set-aside') {
      t.not(clusterId, CLUSTER_ID);
      t.equal(state?.members.length, 1);
      return;
    }
    t.strictSame(await readFile(dataPaths(node.root).cluster), before);
    t.equal(state?.members.length, 3);
    const again = await recoverNode(node.root, { nowMs: NOW_MS + 1 });
    t.equal((await verifyDataDir(node.root)).clusterId, again.clusterId, 'it is simply run again');
    const logs = (await readdir(node.root)).filter((name) => name.startsWith('consensus'));
    t.equal(logs.length, 1, 'and the attempt is cleared away');
  });
}

t.test('recover: twice in a row works, and revisions go on', async (t) => {
  const node = await nodeFiles(t);
  const first = await recoverNode(node.root, { nowMs: NOW_MS });
  const second = await recoverNode(node.root, { nowMs: NOW_MS + 1000 });
  t.not(second.clusterId, first.clusterId);
  t.ok(second.revision > first.revision);
  t.equal((await verifyDataDir(node.root)).intact, true);
});

t.test('recover: a node that runs, a damaged log and a removed node are refused', async (t) => {
  const running = await nodeFiles(t);
  const lock = await takeDataDir(running.root);
  await t.rejects(recoverNode(running.root, { nowMs: NOW_MS }), { message: /is in use/ });
  await t.rejects(planRecovery(running.root), { message: /is in use/ });
  await lock.release();
  const damaged = await nodeFiles(t);
  const [name = ''] = await readdir(`${damaged.log}/snapshots`);
  await rm(`${damaged.log}/snapshots/${name}`);
  await t.rejects(recoverNode(damaged.root, { nowMs: NOW_MS }), {
    code: 'data-damaged',
    message: /nothing can be recovered from .*recover from another survivor, or restore a backup/,
  });
  await t.rejects(recoverNode('/nowhere/at/all', { nowMs: NOW_MS }), {
    message: /is no data directory of a node/,
  });
});
