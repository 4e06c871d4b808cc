/**
 * A node that is not running, read from its data directory: who it is, what its log and snapshot hold, and the state they
 * make. Never writes; the caller holds the directory's lock.
 */

import { readFile } from 'node:fs/promises';
import { VERSION } from '../../cli/version.ts';
import {
  identityOfLog,
  inspectStorage,
  lastPosition,
  newestConfState,
  type StorageReport,
} from '../../consensus/inspect-storage.ts';
import { readSnapshotFile } from '../../consensus/snapshot-files.ts';
import type { StoredState } from '../../consensus/storage.ts';
import type { CommittedEntry } from '../../consensus/types.ts';
import { VersionedMachine } from '../../consensus/versioned-machine.ts';
import { OUR_LEVELS } from '../../consensus/versions.ts';
import type { LogIdentity } from '../../consensus/wal-segment.ts';
import { messageOf, SkeinError } from '../../lib/errors.ts';
import { parseIdentity } from '../../mesh/identity.ts';
import { StoreState } from '../../store/state.ts';
import {
  type ClusterFile,
  type ClusterKeys,
  type DataPaths,
  dataPaths,
  logDirectory,
  readClusterFile,
} from '../data-dir.ts';
import { readMachineRecord } from '../machine-record.ts';
import { identityFault } from '../own-identity.ts';
import { clusterKeyOf } from '../secrets/cluster-key.ts';

/** Something that keeps the node from starting, besides what is wrong with its log. */
export type IdentityFault = { readonly file: string; readonly what: string };

export type OfflineNode = {
  readonly paths: DataPaths;
  /** Undefined when there is none, or it cannot be read. */
  readonly cluster: ClusterFile | undefined;
  /** The peer id of the key file. */
  readonly peer: string | undefined;
  readonly storage: StorageReport;
  readonly faults: readonly IdentityFault[];
};

/** Entries applied in one go. */
const PAGE_ENTRIES = 1000;

/** Reads the node in data directory `root`. Rejects with config-invalid when that is no data directory of a node. */
export async function readOfflineNode(root: string): Promise<OfflineNode> {
  const paths = dataPaths(root);
  const faults: IdentityFault[] = [];
  const cluster = await readClusterFile(paths.cluster).catch((error: unknown) => {
    if (!(error instanceof SkeinError)) throw error;
    faults.push({ file: paths.cluster, what: messageOf(error.cause ?? error) });
    return undefined;
  });
  const peer = await readPeer(paths.identity, faults);
  const directory = logDirectory(paths, cluster ?? {});
  if (!cluster && !peer && faults.length === 0 && !(await identityOfLog(`${directory}/wal`))) {
    throw new SkeinError('config-invalid', `${root} is no data directory of a node`);
  }
  if (!cluster && faults.length === 0) faults.push({ file: paths.cluster, what: 'it is missing' });
  if (!peer) faults.push({ file: paths.identity, what: 'it is missing' });
  if (cluster && peer && cluster.peer !== peer) {
    const what = `it is the key of ${peer}, and cluster.json belongs to ${cluster.peer}`;
    faults.push({ file: paths.identity, what });
  }
  const expected: LogIdentity | undefined = cluster && {
    nodeId: cluster.peer,
    clusterId: cluster.clusterId,
  };
  const storage = await inspectStorage(directory, expected);
  const fault = cluster && (await startFault(paths, cluster, storage));
  if (fault) faults.push({ file: paths.cluster, what: messageOf(fault) });
  return { paths, cluster, peer, storage, faults };
}

/**
 * Rebuilds the state of a log: up to its commit index, or with everything in it. Rejects with data-damaged when the
 * snapshot's content is not what a node writes, with key-missing when its secrets are sealed under a key that is not in `keys`,
 * with version-unsupported when a later version has written it.
 */
export async function rebuildState(
  storage: StorageReport,
  through: 'commit' | 'end',
  keys: ClusterKeys | undefined,
): Promise<StoreState> {
  const state = new StoreState(keys && { clusterKey: clusterKeyOf(keys) });
  const machine = new VersionedMachine(state, { levels: OUR_LEVELS, product: VERSION });
  const { snapshot, state: stored } = storage;
  if (snapshot) await machine.restore(readSnapshotFile(snapshot), snapshot.meta.level);
  if (!stored) return state;
  const last = through === 'end' ? lastPosition(stored).index : (stored.hardState?.commit ?? 0);
  let page: CommittedEntry[] = [];
  for (const entry of stored.entries) {
    if (entry.index > last) break;
    if (entry.kind !== 'data') continue;
    page.push(entry);
    if (page.length < PAGE_ENTRIES) continue;
    machine.apply(page);
    page = [];
  }
  machine.apply(page);
  return state;
}

/** How a log stands, for whoever compares survivors. */
export type LogStanding = {
  readonly term: number;
  readonly commit: number;
  readonly firstIndex: number | undefined;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Entries behind the commit index: nobody can tell from here whether they were acknowledged. */
  readonly uncertain: number;
  readonly voters: readonly string[];
  readonly learners: readonly string[];
};

/** The standing of a log that can be trusted. */
export function standingOf(stored: StoredState): LogStanding {
  const last = lastPosition(stored);
  const commit = stored.hardState?.commit ?? 0;
  const conf = newestConfState(stored);
  return {
    term: stored.hardState?.term ?? 0,
    commit,
    firstIndex: stored.entries[0]?.index,
    lastIndex: last.index,
    lastTerm: last.term,
    uncertain: last.index - commit,
    voters: [...new Set([...(conf?.voters ?? []), ...(conf?.votersOutgoing ?? [])])],
    learners: conf?.learners ?? [],
  };
}

/** Why a start would refuse the directory as a whole. */
async function startFault(
  { root, machine }: DataPaths,
  file: ClusterFile,
  { segments, findings }: StorageReport,
): Promise<Error | undefined> {
  const hasLog = segments.length > 0 || findings.length > 0;
  const record = await readMachineRecord(machine);
  return identityFault({ root, file, machine: record, hasLog, joining: false });
}

async function readPeer(path: string, faults: IdentityFault[]): Promise<string | undefined> {
  try {
    return parseIdentity(await readFile(path), path).id;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    faults.push({ file: path, what: messageOf(error) });
    return undefined;
  }
}
