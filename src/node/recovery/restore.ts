/**
 * `skein restore`: a new cluster of one node from a backup. It is another cluster than the one that was backed up: another id,
 * other members; with the backup's keys its clients and tokens stay good, without them it has an authority of its own.
 *
 * Nodes of the old cluster do not exist here. Their Node objects and the pods bound to them are left out, so that what
 * controllers own is placed anew at once; a pod that nothing owns goes with its node, as in any cluster. A node of the
 * same name as this one stays, with its pods: whatever of them still runs on the machine goes on.
 */

import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { createAuthority } from '../../api/auth/pki.ts';
import { createTokenKey } from '../../api/auth/service-account-tokens.ts';
import { VERSION } from '../../cli/version.ts';
import { levelFault, OUR_LEVELS } from '../../consensus/versions.ts';
import { SkeinError } from '../../lib/errors.ts';
import { loadIdentity } from '../../mesh/identity.ts';
import { ClusterKey } from '../../sealing/cluster-key.ts';
import { StoreState } from '../../store/state.ts';
import type { Operation, Revision } from '../../store/types.ts';
import {
  type ClusterFile,
  type DataPaths,
  dataPaths,
  type MemberRecord,
  takeDataDir,
  writeClusterFile,
} from '../data-dir.ts';
import { JOIN_TOKENS_PREFIX } from '../join-tokens.ts';
import { writeMachineRecord } from '../machine-record.ts';
import {
  MEMBER_NAMES_PREFIX,
  MEMBERS_PREFIX,
  memberKey,
  memberNameKey,
  readMembers,
} from '../members.ts';
import type { NodeConfig } from '../settings.ts';
import { SUPERSEDED_PREFIX } from '../superseded.ts';
import { openBackup } from './backup-file.ts';
import type { BackupHeader } from './backup-format.ts';
import { type BackupKeys, openKeys } from './backup-keys.ts';
import {
  ATTEMPT,
  attemptIn,
  clearAttempt,
  edit,
  putRecord,
  REVISION_JUMP,
  writeGroup,
} from './group-files.ts';

export type RestoreOptions = {
  readonly config: Pick<
    NodeConfig,
    'dataDir' | 'nodeName' | 'advertiseAddress' | 'apiPort' | 'meshPort'
  >;
  /** Opens the keys in the backup. */
  readonly passphrase?: string;
  /** Called when all is written but cluster.json, which is what makes it count. Default: nothing. */
  readonly onCommit?: () => void;
  /** Make new keys although the backup holds the old ones. Default false. */
  readonly newAuthority?: boolean;
  /** The cluster key as text, for a backup whose keys are not used. Needed only where Secrets are sealed. */
  readonly secretsKey?: string;
};

export type Restored = {
  readonly clusterId: string;
  readonly node: string;
  readonly header: BackupHeader;
  readonly revision: number;
  readonly objects: number;
  /** Nodes of the old cluster that were left out, and how many pods with them. */
  readonly nodesLeftOut: readonly string[];
  readonly podsLeftOut: number;
  /** Pods among them that no controller makes anew, as namespace/name. */
  readonly podsLost: readonly string[];
  /** True if authority and token key are the old cluster's. */
  readonly keysKept: boolean;
};

const PODS_PREFIX = '/core/pods/';
const NODES_PREFIX = '/core/nodes/';
/** What may be in an "empty" directory: the lock, a key nobody used, and what `skein reset --keep-pods` keeps. */
const HARMLESS: readonly string[] = ['lock', 'identity.key', 'pods', 'network', ATTEMPT];

/**
 * Makes the data directory of a new cluster's first node from the backup at `path`. Rejects with config-invalid when the directory
 * is not empty or a key is needed, with data-damaged when the backup is not intact; then nothing is left but files that the
 * next attempt clears away.
 */
export async function restoreBackup(path: string, options: RestoreOptions): Promise<Restored> {
  const { config, onCommit = () => {} } = options;
  const backup = await openBackup(path);
  const paths = dataPaths(config.dataDir);
  const lock = await takeDataDir(paths.root);
  try {
    await refuseFilled(paths);
    const { header } = backup;
    const fault = levelFault(header.level, OUR_LEVELS, VERSION);
    if (fault) throw fault;
    const opened = await keysFor(path, backup, options);
    const state = new StoreState({ clusterKey: ClusterKey.fromText(opened.keys.secretsKey) });
    await state.restore(backup.data);
    await clearAttempt(paths.root, undefined);
    const clusterId = randomUUID();
    const { id: peer } = await loadIdentity(paths.identity);
    const self = recordOf(peer, config);
    const former = readMembers(state).map((member) => member.peer);
    const leftOut = leaveOut(state, config.nodeName);
    const operations = [...leftOut.operations, ...enrol(state, self)];
    const start = { index: state.appliedIndex, term: header.term + 1 };
    const position = edit(state, start, operations, clusterId);
    state.skipTo((state.revision() + REVISION_JUMP) as Revision);
    const log = await writeGroup(paths.root, { clusterId, nodeId: peer, state, position, former });
    const { clusterCidr, serviceCidr } = header;
    const file: ClusterFile = {
      clusterId,
      clusterCidr,
      serviceCidr,
      ...opened.keys,
      node: config.nodeName,
      peer,
      members: [self],
      founder: true,
      settled: true,
      log,
    };
    // Whoever the machine was before, it is this node now.
    await writeMachineRecord(paths.machine, { clusterId, node: file.node, peer, start: 0 });
    onCommit();
    await writeClusterFile(paths.cluster, file);
    await clearAttempt(paths.root, log);
    return {
      clusterId,
      node: file.node,
      header,
      revision: state.revision(),
      objects: state.count('/'),
      nodesLeftOut: leftOut.nodes,
      podsLeftOut: leftOut.pods,
      podsLost: leftOut.lost,
      keysKept: opened.kept,
    };
  } finally {
    await lock.release();
  }
}

async function refuseFilled({ root }: DataPaths): Promise<void> {
  const attempt = await attemptIn(root);
  const names = await readdir(root);
  const found = names.find((name) => !HARMLESS.includes(name) && name !== attempt);
  if (found === undefined) return;
  throw new SkeinError(
    'config-invalid',
    `${root} is not empty (it holds ${found}): a backup is restored into an empty directory only; choose another --data-dir, or, if what is there may go: skein reset --yes --data-dir ${root}`,
  );
}

/** The new cluster's keys: those in the backup, or new ones with the cluster key that its Secrets need. */
async function keysFor(
  path: string,
  { header, keys }: { readonly header: BackupHeader; readonly keys: Buffer | undefined },
  { passphrase, newAuthority = false, secretsKey }: RestoreOptions,
): Promise<{ readonly keys: BackupKeys; readonly kept: boolean }> {
  if (!keys && passphrase !== undefined) {
    throw new SkeinError(
      'config-invalid',
      `${path} holds no keys: --passphrase-file opens nothing`,
    );
  }
  const held = keys && passphrase !== undefined ? await openKeys(keys, passphrase) : undefined;
  if (held && !newAuthority) return { keys: held, kept: true };
  if (keys && !newAuthority) {
    throw new SkeinError(
      'config-invalid',
      `${path} holds the keys of its cluster: give their passphrase (--passphrase-file), so that kubeconfigs and tokens stay good, or --new-authority`,
    );
  }
  const text = held?.secretsKey ?? secretsKey;
  const given = text === undefined ? undefined : ClusterKey.fromText(text);
  if (header.clusterKey !== null && given?.id !== header.clusterKey) {
    const which = given ? `the one that was given is ${given.id}` : 'none was given';
    const way = header.keys
      ? 'give the passphrase of the backup (--passphrase-file), or that key (--secrets-key-file)'
      : 'give that key (--secrets-key-file); `skein secrets key` printed it on a member of the old cluster';
    throw new SkeinError(
      'key-missing',
      `Secrets in ${path} are sealed under cluster key ${header.clusterKey}, and ${which}: ${way}`,
    );
  }
  const [authority, tokenKeyPem] = await Promise.all([createAuthority(), createTokenKey()]);
  const fresh: BackupKeys = {
    caCertificatePem: authority.certificatePem,
    caKeyPem: authority.keyPem,
    tokenKeyPem,
    secretsKey: (given ?? ClusterKey.generate()).toText(),
  };
  return { keys: fresh, kept: false };
}

function recordOf(peer: string, config: RestoreOptions['config']): MemberRecord {
  const { nodeName: node, advertiseAddress, apiPort, meshPort } = config;
  const addresses = [`/ip4/${advertiseAddress}/tcp/${meshPort}`];
  return { peer, node, addresses, api: `${advertiseAddress}:${apiPort}` };
}

type Pod = {
  readonly metadata: {
    readonly namespace?: string;
    readonly name?: string;
    readonly ownerReferences?: readonly { readonly controller?: boolean }[];
  };
  readonly spec?: { readonly nodeName?: string };
};

/** Deletions of the old cluster's nodes and of what was bound to them. */
function leaveOut(state: StoreState, nodeName: string) {
  const operations: Operation[] = [];
  const nodes: string[] = [];
  const lost: string[] = [];
  let pods = 0;
  const remove = (key: string): void => void operations.push({ op: 'delete', key });
  for (const { key } of itemsOf(state, NODES_PREFIX)) {
    const name = key.slice(key.lastIndexOf('/') + 1);
    if (name === nodeName) continue;
    nodes.push(name);
    remove(key);
  }
  for (const { key, object } of itemsOf(state, PODS_PREFIX)) {
    const { metadata, spec } = object as Pod;
    if (spec?.nodeName === undefined || spec.nodeName === nodeName) continue;
    pods++;
    remove(key);
    const owned = metadata.ownerReferences?.some(({ controller }) => controller) ?? false;
    if (!owned) lost.push(`${metadata.namespace}/${metadata.name}`);
  }
  return { operations, nodes, pods, lost };
}

/** This node takes the place of all members; tokens that let machines join the old cluster let nobody join this one. */
function enrol(state: StoreState, self: MemberRecord): Operation[] {
  const former = [MEMBERS_PREFIX, MEMBER_NAMES_PREFIX, SUPERSEDED_PREFIX, JOIN_TOKENS_PREFIX];
  return [
    ...former.flatMap((prefix) =>
      itemsOf(state, prefix).map(({ key }) => ({ op: 'delete', key }) as const),
    ),
    putRecord(memberKey(self.peer), self),
    putRecord(memberNameKey(self.node), { peer: self.peer }),
  ];
}

function itemsOf(state: StoreState, prefix: string) {
  const listed = state.list(prefix);
  return listed.kind === 'listed' ? listed.items : [];
}
