/** Data directories of nodes that ran once: written by the node's own storage, without running a node. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { Test } from 'tap';
import { foundingConfState } from '../../raft/config-change.ts';
import { asIndex, asTerm, type Entry } from '../../raft/types.ts';
import { createFileStorage } from '../../src/consensus/file-storage.ts';
import { beginGroup } from '../../src/consensus/open-state.ts';
import { loadIdentity } from '../../src/mesh/identity.ts';
import {
  type ClusterFile,
  dataPaths,
  logDirectory,
  type MemberRecord,
  writeClusterFile,
} from '../../src/node/data-dir.ts';
import { memberKey, memberNameKey } from '../../src/node/members.ts';
import { putRecord } from '../../src/node/recovery/group-files.ts';
import { encodeCommand } from '../../src/store/commands.ts';
import { StoreState } from '../../src/store/state.ts';
import type { Operation } from '../../src/store/types.ts';
import { put } from './store-values.ts';

export const CLUSTER_ID = '00000000-0000-4000-8000-000000000001';

export type NodeFiles = {
  readonly root: string;
  readonly cluster: ClusterFile;
  readonly peer: string;
  /** The directory of its log. */
  readonly log: string;
};

export type NodeFilesOptions = {
  /** Config maps `default/c<n>`, one entry each. Default 10. */
  readonly writes?: number;
  /** How many of the last entries are behind the commit index. Default 0. */
  readonly uncertain?: number;
  /** Further operations, in an entry of their own before the config maps. */
  readonly operations?: readonly Operation[];
  /** Default 64 KiB. */
  readonly segmentBytes?: number;
};

/** A directory that ends with `t`. */
export async function scratch(t: Test): Promise<string> {
  const root = await mkdtemp(`${tmpdir()}/skein-dir-`);
  t.teardown(() => rm(root, { recursive: true, force: true }));
  return root;
}

export const memberRecord = (peer: string, node: string): MemberRecord => ({
  peer,
  node,
  addresses: ['/ip4/127.0.0.1/tcp/1'],
  api: '127.0.0.1:1',
});

/** The files of node1, one of three voters, stopped after some writes in term 3. */
export async function nodeFiles(t: Test, options: NodeFilesOptions = {}): Promise<NodeFiles> {
  const { writes = 10, uncertain = 0, operations = [], segmentBytes = 65_536 } = options;
  const root = await scratch(t);
  const paths = dataPaths(root);
  const { id: peer } = await loadIdentity(paths.identity);
  const members = [peer, 'peer2', 'peer3'].map((id, n) => memberRecord(id, `node${n + 1}`));
  const cluster: ClusterFile = {
    clusterId: CLUSTER_ID,
    clusterCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    caCertificatePem: 'certificate',
    caKeyPem: 'ca key',
    tokenKeyPem: 'token key',
    node: 'node1',
    peer,
    members,
    founder: true,
    settled: true,
  };
  await writeClusterFile(paths.cluster, cluster);
  const log = logDirectory(paths, cluster);
  const storage = createFileStorage({
    directory: log,
    nodeId: peer,
    clusterId: CLUSTER_ID,
    segmentBytes,
  });
  await storage.open();
  const confState = foundingConfState([peer, 'peer2', 'peer3']);
  const meta = { index: asIndex(1), term: asTerm(1), confState };
  await beginGroup(storage, new StoreState().snapshot(), meta);
  const enrol = members.flatMap((member) => [
    putRecord(memberKey(member.peer), member),
    putRecord(memberNameKey(member.node), { peer: member.peer }),
  ]);
  const maps = Array.from({ length: writes }, (_, n) => [
    put(`/core/configmaps/default/c${n}`, { data: { n: String(n), text: 'x'.repeat(200) } }),
  ]);
  const batches = [enrol, ...(operations.length > 0 ? [operations] : []), ...maps];
  const entries = batches.map((batch, at) => entryOf(2 + at, batch));
  const commit = asIndex(1 + entries.length - uncertain);
  const hardState = { term: asTerm(3), vote: undefined, commit };
  for (const entry of entries) await storage.append({ entries: [entry] });
  await storage.append({ entries: [], hardState });
  await storage.close();
  return { root, cluster, peer, log };
}

function entryOf(index: number, operations: readonly Operation[]): Entry {
  const data = encodeCommand({
    kind: 'transaction',
    transaction: { checks: [], operations },
    client: 'test',
    sequence: index,
    acknowledged: 0,
    born: index - 1,
  });
  return { index: asIndex(index), term: asTerm(3), kind: 'data', data };
}
