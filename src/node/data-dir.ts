/**
 * A node's data directory, and what identifies it: which cluster it belongs to and the keys that were made
 * or handed over at first start. Directories are 0700, files 0600; a file is replaced by rename after
 * fsync, so that a crash leaves the old one or the new one.
 */

import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, SkeinError } from '../lib/errors.ts';

/** Certificate and key of the cluster's authority, and the key that signs service-account tokens (PEM). */
export type ClusterKeys = {
  readonly caCertificatePem: string;
  readonly caKeyPem: string;
  readonly tokenKeyPem: string;
};

/** What was settled when the cluster was made; the same on every node. */
export type ClusterSettings = {
  readonly clusterId: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
};

/** A member as the cluster knows it. */
export type MemberRecord = {
  readonly peer: string;
  readonly node: string;
  /** Multiaddrs at which its mesh listens; hints, never an identity. */
  readonly addresses: readonly string[];
  /** Address of its API server, host and port. */
  readonly api: string;
};

/** The file `cluster.json`: this node's place in a cluster. */
export type ClusterFile = ClusterSettings &
  ClusterKeys & {
    readonly node: string;
    readonly peer: string;
    /** Whom to dial before the replicated state is at hand. */
    readonly members: readonly MemberRecord[];
    /** True on the node that made the cluster. */
    readonly founder: boolean;
    /** True once the node's log holds the cluster's state: from then on an empty log is a lost log. */
    readonly settled: boolean;
  };

export type DataPaths = {
  readonly root: string;
  readonly identity: string;
  readonly cluster: string;
  readonly consensus: string;
  readonly pods: string;
  readonly network: string;
  readonly socket: string;
  readonly adminKubeconfig: string;
};

/** Where things are below the data directory. */
export function dataPaths(root: string): DataPaths {
  return {
    root,
    identity: `${root}/identity.key`,
    cluster: `${root}/cluster.json`,
    consensus: `${root}/consensus`,
    pods: `${root}/pods`,
    network: `${root}/network`,
    socket: `${root}/skein.sock`,
    adminKubeconfig: `${root}/admin.kubeconfig`,
  };
}

/** Makes the data directory if needed and closes it to others. */
export async function ensureDataDir(root: string): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  await chmod(root, 0o700);
}

/** Replaces a file durably, readable by root alone. */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** This node's place in a cluster, or undefined before it has one. Throws data-damaged with the remedy. */
export async function readClusterFile(path: string): Promise<ClusterFile | undefined> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const file = JSON.parse(content) as ClusterFile;
    if (typeof file.clusterId !== 'string' || typeof file.peer !== 'string') {
      throw new Error('it lacks clusterId or peer');
    }
    return file;
  } catch (cause) {
    throw new SkeinError(
      'data-damaged',
      `${path} cannot be read (${messageOf(cause)}); remove the node from the cluster, delete its data directory and join again`,
      { cause },
    );
  }
}

export async function writeClusterFile(path: string, file: ClusterFile): Promise<void> {
  await writePrivateFile(path, `${JSON.stringify(file, null, 2)}\n`);
}
