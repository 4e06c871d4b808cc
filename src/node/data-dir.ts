/**
 * A node's data directory, and what identifies it: which cluster it belongs to and the keys that were made
 * or handed over at first start. Directories are 0700, files 0600; a file is replaced by rename after
 * fsync, so that a crash leaves the old one or the new one.
 */

import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode, messageOf, SkeinError } from '../lib/errors.ts';
import { type FileLock, lockFile, shareLock } from '../lib/file-lock.ts';
import { ClusterKey } from '../sealing/cluster-key.ts';

/** Certificate and key of the cluster's authority, and the key that signs service-account tokens (PEM); the key of its secrets. */
export type ClusterKeys = {
  readonly caCertificatePem: string;
  readonly caKeyPem: string;
  readonly tokenKeyPem: string;
  /** The cluster key as text (see src/sealing). Absent in files and grants of versions that had none: then derived. */
  readonly secretsKey?: string;
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
  /** Its newest start: the number, and what the mesh calls that life of its process. */
  readonly start?: number;
  readonly incarnation?: string;
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
    /** How often the node has started with this directory; counted before anybody hears of the start. Default 0. */
    readonly starts?: number;
    /** True once the cluster has removed this node: it may not return under this identity. */
    readonly removed?: boolean;
    /** The cluster that a survivor recovered without this node: it may not return under this identity. */
    readonly supersededBy?: string;
    /** The directory of the log below the data directory. Absent: `consensus`. A recovery writes a new one beside the old. */
    readonly log?: string;
  };

export type DataPaths = {
  readonly root: string;
  readonly identity: string;
  readonly cluster: string;
  /** Where the members were last, as they signed it. */
  readonly addresses: string;
  readonly pods: string;
  readonly network: string;
  readonly socket: string;
  readonly adminKubeconfig: string;
  /** Beside the directory: what the machine remembers of its node. */
  readonly machine: string;
};

/** Where things are below the data directory. */
export function dataPaths(root: string): DataPaths {
  return {
    root,
    identity: `${root}/identity.key`,
    cluster: `${root}/cluster.json`,
    addresses: `${root}/addresses`,
    pods: `${root}/pods`,
    network: `${root}/network`,
    socket: `${root}/skein.sock`,
    adminKubeconfig: `${root}/admin.kubeconfig`,
    machine: `${root.replace(/\/+$/, '')}-machine/node.json`,
  };
}

/** Where the log and snapshots of the cluster that `file` names are. */
export function logDirectory({ root }: DataPaths, file: Pick<ClusterFile, 'log'>): string {
  return `${root}/${file.log ?? 'consensus'}`;
}

/** Makes the entries of a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Makes the data directory if needed, closes it to others and takes it for this process. Rejects with config-invalid when
 * another process uses it, with disk-failed and the remedy when it cannot be written.
 */
export async function takeDataDir(root: string): Promise<FileLock> {
  let outcome: Awaited<ReturnType<typeof lockFile>>;
  try {
    await makeDirectory(root);
    await chmod(root, 0o700);
    // Writes the process id: a full or read-only disk shows here and not halfway through the start.
    outcome = await lockFile(`${root}/lock`);
  } catch (cause) {
    throw unusable(root, cause);
  }
  if (outcome.kind === 'locked') return outcome.lock;
  throw inUse(root, outcome.holder, 'stop it first, or give this one another --data-dir');
}

/**
 * Keeps a node from starting in the data directory while somebody reads it; writes nothing. Rejects with config-invalid
 * when a process uses it.
 */
export async function shareDataDir(root: string): Promise<FileLock> {
  const outcome = await shareLock(`${root}/lock`);
  if (outcome.kind === 'locked') return outcome.lock;
  const remedy = 'stop it first (its containers go on), or look at a copy of the directory';
  throw inUse(root, outcome.holder, remedy);
}

function inUse(root: string, holder: number | undefined, remedy: string): SkeinError {
  const who = holder === undefined ? 'another process' : `process ${holder}`;
  return new SkeinError('config-invalid', `${root} is in use: ${who} runs a node there; ${remedy}`);
}

async function makeDirectory(path: string): Promise<void> {
  const mode = 0o700;
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    // What a read-only file system looks like to the recursive form; the plain one says it.
    await mkdir(path, { mode });
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space',
  EDQUOT: 'the disk quota is used up',
  EIO: 'the disk fails (dmesg says more); replace it and join this machine anew',
  EROFS: 'the file system is read-only; mount it for writing',
  EACCES: 'permission is denied; run as root',
  EPERM: 'permission is denied; run as root',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'it is a file',
  ENOENT: 'it cannot be made there',
};

/** What is wrong with a directory that cannot be written, in words; as it came if the failure is another. */
export function unusable(root: string, failure: unknown): unknown {
  const cause = fileFailure(failure);
  const remedy = REMEDIES[cause?.code ?? ''];
  const elsewhere = cause?.path !== undefined && !`${cause.path}/`.startsWith(`${root}/`);
  if (cause === undefined || remedy === undefined || elsewhere) return failure;
  return new SkeinError(
    'disk-failed',
    `${root} cannot be written: ${remedy}, or choose another --data-dir (${cause.message})`,
    { cause: failure },
  );
}

/** System calls that fail because of a disk; others have the same codes, and other remedies. */
const FILE_CALLS =
  /^(open|write|writev|mkdir|rename|f?sync|fdatasync|ftruncate|f?chmod|unlink|rmdir)$/;

/** The failed call at the bottom of a failure of the disk. */
function fileFailure(failure: unknown): NodeJS.ErrnoException | undefined {
  if (!(failure instanceof Error)) return undefined;
  const { syscall } = failure as NodeJS.ErrnoException;
  if (syscall !== undefined) return FILE_CALLS.test(syscall) ? failure : undefined;
  return hasCode(failure, 'disk-failed') ? fileFailure(failure.cause) : undefined;
}

/** Replaces a file durably, readable by root alone. */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
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
    return checked(JSON.parse(content));
  } catch (cause) {
    throw new SkeinError(
      'data-damaged',
      `${path} cannot be read (${messageOf(cause)}); remove the node from the cluster, delete its data directory and join again`,
      { cause },
    );
  }
}

const TEXTS = [
  'clusterId',
  'clusterCidr',
  'serviceCidr',
  'caCertificatePem',
  'caKeyPem',
  'tokenKeyPem',
  'node',
  'peer',
] as const;

/** Throws an Error that names the first thing the file lacks. */
function checked(value: unknown): ClusterFile {
  const file = (value ?? {}) as Partial<Record<keyof ClusterFile, unknown>>;
  const lacking = TEXTS.find((name) => typeof file[name] !== 'string' || file[name] === '');
  if (lacking !== undefined) throw new Error(`it lacks ${lacking}`);
  if (!Array.isArray(file.members)) throw new Error('it lacks members');
  if (file.secretsKey !== undefined) ClusterKey.fromText(String(file.secretsKey));
  return value as ClusterFile;
}

/** Replaces the file durably. */
export async function writeClusterFile(path: string, file: ClusterFile): Promise<void> {
  await writePrivateFile(path, `${JSON.stringify(file, null, 2)}\n`);
}
