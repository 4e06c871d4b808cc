/**
 * `skein recover`: a survivor of a cluster that lost its majority for good goes on alone, as a new cluster with everything
 * this member's log holds.
 *
 * What becomes of the log's tail: entries behind the commit index may have been acknowledged, because a leader tells its
 * followers of a commit only with its next message. They are all kept and applied: dropping one that was acknowledged would
 * lose a write, while applying one that was not is what any new leader does (its writer was told that the outcome is
 * unknown). What this member never received is lost, and nobody can tell from here whether there is such a thing.
 *
 * The old group is fenced: the new one has another cluster id, knows no other member, and remembers those it left
 * behind, so that one that comes back is told so and ends.
 */

import { randomUUID } from 'node:crypto';
import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { membersOf } from '../../../raft/config-change.ts';
import { inspectStorage, newestConfState } from '../../consensus/inspect-storage.ts';
import { SkeinError } from '../../lib/errors.ts';
import type { StoreState } from '../../store/state.ts';
import type { Operation, Revision } from '../../store/types.ts';
import {
  type ClusterFile,
  dataPaths,
  logDirectory,
  type MemberRecord,
  shareDataDir,
  syncDirectory,
  takeDataDir,
  writeClusterFile,
} from '../data-dir.ts';
import { memberKey, memberNameKey, readMembers } from '../members.ts';
import { type SupersededRecord, supersededKey } from '../superseded.ts';
import { clearAttempt, edit, putRecord, REVISION_JUMP, writeGroup } from './group-files.ts';
import {
  type LogStanding,
  type OfflineNode,
  readOfflineNode,
  rebuildState,
  standingOf,
} from './offline-node.ts';

export type RecoveryPlan = {
  readonly node: string;
  readonly peer: string;
  readonly clusterId: string;
  readonly standing: LogStanding;
  /** Of the state with everything that the log holds. */
  readonly revision: number;
  readonly objects: number;
  /** Members that would be left behind. */
  readonly others: readonly (MemberRecord & { readonly votes: boolean })[];
};

export type Recovered = {
  readonly clusterId: string;
  readonly revision: number;
  /** Where what was replaced is kept. */
  readonly kept: string;
};

/** Steps of a recovery, in their order, as they begin. */
export type RecoveryStep = 'read' | 'write' | 'check' | 'keep' | 'commit' | 'set-aside';

export type RecoverOptions = {
  /** Called as each step begins; a throw ends the recovery there. Default: nothing. */
  readonly onStep?: (step: RecoveryStep) => void;
  /** For the name of the directory that keeps what is replaced. */
  readonly nowMs: number;
};

type Survivor = OfflineNode & {
  readonly cluster: ClusterFile;
  readonly standing: LogStanding;
  /** Everybody who is or was a member of the group. */
  readonly former: readonly string[];
};

/** What a recovery of the node in `root` would begin with. Changes nothing. Rejects as recoverNode does. */
export async function planRecovery(root: string): Promise<RecoveryPlan> {
  const lock = await shareDataDir(root);
  try {
    const survivor = await readSurvivor(root);
    return planOf(survivor, await rebuildState(survivor.storage, 'end', survivor.cluster));
  } finally {
    await lock.release();
  }
}

/**
 * Makes the node in `root` the only member of a new cluster. Until the step `commit` nothing has changed for the node, and
 * from it on everything has. Rejects with config-invalid while the node runs, with data-damaged when its log cannot be trusted.
 */
export async function recoverNode(root: string, options: RecoverOptions): Promise<Recovered> {
  const { onStep = () => {}, nowMs } = options;
  await access(root).catch(() => {
    throw new SkeinError('config-invalid', `${root} is no data directory of a node`);
  });
  const lock = await takeDataDir(root);
  try {
    onStep('read');
    const survivor = await readSurvivor(root);
    const { cluster, paths, standing } = survivor;
    await clearAttempt(root, cluster.log);
    const clusterId = randomUUID();
    const state = await rebuildState(survivor.storage, 'end', cluster);
    const start = { index: standing.lastIndex, term: Math.max(standing.term, standing.lastTerm) };
    const position = edit(state, start, leaveBehind(state, cluster, clusterId), clusterId);
    state.skipTo((state.revision() + REVISION_JUMP) as Revision);
    onStep('write');
    const log = await writeGroup(root, {
      clusterId,
      nodeId: cluster.peer,
      state,
      position,
      former: survivor.former,
    });
    const own = readMembers(state);
    const recovered: ClusterFile = { ...cluster, clusterId, log, members: own, settled: true };
    onStep('check');
    await checkWritten(root, recovered, state);
    onStep('keep');
    const kept = await keepClusterFile(root, cluster, nowMs);
    onStep('commit');
    await writeClusterFile(paths.cluster, recovered);
    onStep('set-aside');
    // Tidiness alone: nothing refers to the old log any more.
    await clearAttempt(root, log);
    await rename(logDirectory(paths, cluster), `${kept}/${cluster.log ?? 'consensus'}`);
    return { clusterId, revision: state.revision(), kept };
  } finally {
    await lock.release();
  }
}

async function readSurvivor(root: string): Promise<Survivor> {
  const node = await readOfflineNode(root);
  const { cluster, storage, faults } = node;
  const refuse = (file: string, what: string): never => {
    throw new SkeinError(
      'data-damaged',
      `nothing can be recovered from ${root}: ${file}: ${what}. See: skein verify ${root}; recover from another survivor, or restore a backup`,
    );
  };
  const [fault] = faults;
  if (fault || !cluster) return refuse(fault?.file ?? root, fault?.what ?? 'it is not readable');
  const damage = storage.findings.find(({ kind }) => kind === 'damaged');
  if (damage) return refuse(damage.file, damage.what);
  if (!storage.state?.snapshot) {
    return refuse(storage.directory, 'this node has not received the state of the cluster yet');
  }
  const conf = newestConfState(storage.state);
  const former = conf ? [...membersOf(conf), ...(conf.removed ?? [])] : [];
  return { ...node, cluster, standing: standingOf(storage.state), former };
}

function planOf({ cluster, standing }: Survivor, state: StoreState): RecoveryPlan {
  return {
    node: cluster.node,
    peer: cluster.peer,
    clusterId: cluster.clusterId,
    standing,
    revision: state.revision(),
    objects: state.count('/'),
    others: othersOf(state, cluster).map((member) => ({
      ...member,
      votes: standing.voters.includes(member.peer),
    })),
  };
}

/** The members of the state; of one that holds none yet, those the node was told of. */
function othersOf(state: StoreState, cluster: ClusterFile): readonly MemberRecord[] {
  const known = readMembers(state);
  return (known.length > 0 ? known : cluster.members).filter(({ peer }) => peer !== cluster.peer);
}

/** Nodes and pods stay: nodes that rejoin find theirs, and those of the others are moved as of any dead node. */
function leaveBehind(state: StoreState, cluster: ClusterFile, clusterId: string): Operation[] {
  const own = cluster.members.find(({ peer }) => peer === cluster.peer);
  const operations: Operation[] = [];
  for (const { peer, node } of othersOf(state, cluster)) {
    const record: SupersededRecord = {
      peer,
      node,
      clusterId: cluster.clusterId,
      supersededBy: clusterId,
    };
    operations.push(
      { op: 'delete', key: memberKey(peer) },
      { op: 'delete', key: memberNameKey(node) },
      putRecord(supersededKey(peer), record),
    );
  }
  const { peer, node } = cluster;
  const known = readMembers(state).find((member) => member.peer === peer);
  const record = known ?? own ?? { peer, node, addresses: [], api: '' };
  operations.push(putRecord(memberKey(peer), record), putRecord(memberNameKey(node), { peer }));
  return operations;
}

/** Reads back what was written: after the commit it is all there is. */
async function checkWritten(root: string, file: ClusterFile, state: StoreState): Promise<void> {
  const identity = { nodeId: file.peer, clusterId: file.clusterId };
  const storage = await inspectStorage(logDirectory(dataPaths(root), file), identity);
  const read = await rebuildState(storage, 'end', file);
  const same = read.revision() === state.revision() && read.count('/') === state.count('/');
  if (storage.findings.length === 0 && same) return;
  const what = storage.findings[0]?.what ?? 'it holds another state';
  throw new SkeinError('disk-failed', `what was written to ${storage.directory} reads as: ${what}`);
}

/** The directory that keeps what is replaced, with the former cluster.json in it. */
async function keepClusterFile(root: string, file: ClusterFile, nowMs: number): Promise<string> {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-');
  const kept = `${root}/replaced-${stamp}`;
  await mkdir(kept, { mode: 0o700 });
  await writeFile(`${kept}/cluster.json`, `${JSON.stringify(file, null, 2)}\n`, {
    mode: 0o600,
    flush: true,
  });
  await syncDirectory(kept);
  await syncDirectory(root);
  return kept;
}
