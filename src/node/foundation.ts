/**
 * What everything on a node stands on: its identity and place in a cluster, the mesh, consensus and the store.
 * Three ways lead here: founding a cluster, joining one with a token, coming back to one.
 */

import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { authorityHash, createAuthority } from '../api/auth/pki.ts';
import { createTokenKey } from '../api/auth/service-account-tokens.ts';
import { createConsensus } from '../consensus/consensus.ts';
import { createFileStorage } from '../consensus/file-storage.ts';
import type { Consensus } from '../consensus/types.ts';
import type { Clock } from '../lib/clock.ts';
import { SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import { requestJoin } from '../mesh/join.ts';
import { parseToken } from '../mesh/join-token.ts';
import { createMesh, type JoinableMesh } from '../mesh/mesh.ts';
import { createReplicatedStore } from '../store/replicated-store.ts';
import { StoreState } from '../store/state.ts';
import type { Store } from '../store/types.ts';
import {
  type ClusterFile,
  type DataPaths,
  logDirectory,
  type MemberRecord,
  readClusterFile,
  writeClusterFile,
} from './data-dir.ts';
import { type JoinGrant, parseGrant } from './join-grant.ts';
import { admissionOf } from './members.ts';
import { removedError } from './removal.ts';
import type { NodeConfig, SettingKey } from './settings.ts';

export type FoundationComponents = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly signal: AbortSignal;
  /** Called once when the node cannot go on: a failed disk, a broken invariant. */
  readonly onFatal: (error: unknown) => void;
};

export type FoundationOptions = {
  readonly config: NodeConfig;
  /** Settings that were given rather than defaulted. */
  readonly given: ReadonlySet<SettingKey>;
  readonly paths: DataPaths;
  readonly token?: string | undefined;
  readonly version: string;
};

export type Foundation = {
  readonly cluster: ClusterFile;
  readonly mesh: JoinableMesh;
  readonly consensus: Consensus;
  readonly store: Store;
};

const JOIN_DEADLINE_MS = 30_000;

/** Starts mesh, consensus and store; makes or joins a cluster at first start. */
export async function layFoundation(
  components: FoundationComponents,
  options: FoundationOptions,
): Promise<Foundation> {
  const { clock, random, log, metrics, onFatal } = components;
  const { config, paths } = options;
  const mesh = await createMesh(
    { logger: log, clock, random, metrics },
    {
      identity: paths.identity,
      listen: [`/ip4/${config.bindAddress}/tcp/${config.meshPort}`],
      announce: [`/ip4/${config.advertiseAddress}/tcp/${config.meshPort}`],
    },
  );
  try {
    const existing = await readClusterFile(paths.cluster);
    const cluster = existing
      ? comeBack(existing, mesh, options, log)
      : await settle(mesh, components, options);
    const directory = logDirectory(paths, cluster);
    if (cluster.settled) await refuseWiped(directory, paths.root);
    mesh.admit(admissionOf(cluster.members, mesh.self, config.peers));
    const state = new StoreState({ logger: log });
    const consensus = await createConsensus(
      {
        mesh,
        storage: createFileStorage({
          directory,
          nodeId: mesh.self,
          clusterId: cluster.clusterId,
        }),
        stateMachine: state,
        clock,
        random,
        logger: log,
        metrics,
      },
      {
        bootstrap: !cluster.settled && cluster.founder,
        membership: { votersMax: config.votersMax },
        onFatal,
      },
    );
    const store = createReplicatedStore({ state, consensus, clock, random });
    return { cluster, mesh, consensus, store };
  } catch (error) {
    await mesh.stop();
    throw error;
  }
}

/** This node's record for the others. */
export function ownRecord(mesh: JoinableMesh, config: NodeConfig): MemberRecord {
  return {
    peer: mesh.self,
    node: config.nodeName,
    addresses: mesh.addresses(),
    api: `${config.advertiseAddress}:${config.apiPort}`,
  };
}

function comeBack(
  file: ClusterFile,
  mesh: JoinableMesh,
  options: FoundationOptions,
  log: Logger,
): ClusterFile {
  const { config, paths, token } = options;
  if (file.removed) throw removedError(file.clusterId, paths.root);
  if (file.peer !== mesh.self) {
    throw new SkeinError(
      'data-damaged',
      `${paths.identity} is the key of ${mesh.self}, but ${paths.cluster} belongs to ${file.peer}; restore the key, or delete ${paths.root} and join again under a new identity`,
    );
  }
  if (file.node !== config.nodeName) {
    throw new SkeinError(
      'config-invalid',
      `this node joined as "${file.node}" and cannot become "${config.nodeName}"; use --node-name ${file.node}`,
    );
  }
  refuseOtherRanges(file, options);
  if (token !== undefined) {
    log.info({ cluster: file.clusterId }, 'already a member of a cluster; the token is not needed');
  }
  return file;
}

/**
 * A member that lost its log must not vote again under the same identity: it would have forgotten what it
 * promised (two majorities that do not meet). Its key must go with its log.
 */
async function refuseWiped(directory: string, root: string): Promise<void> {
  const segments = await readdir(`${directory}/wal`).catch(() => []);
  if (segments.length > 0) return;
  throw new SkeinError(
    'data-damaged',
    `${directory} is empty, but this node was a member already; it must return as a new node: remove it from the cluster, delete ${root} and join again`,
  );
}

/** Ranges belong to the cluster: a node that was given others would split the network. */
function refuseOtherRanges(file: ClusterFile, { config, given }: FoundationOptions): void {
  for (const key of ['clusterCidr', 'serviceCidr'] as const) {
    if (!given.has(key) || config[key] === file[key]) continue;
    throw new SkeinError(
      'config-invalid',
      `${key}: the cluster uses ${file[key]}, which was settled when it was made; ${config[key]} cannot be used`,
    );
  }
}

async function settle(
  mesh: JoinableMesh,
  components: FoundationComponents,
  options: FoundationOptions,
): Promise<ClusterFile> {
  const cluster =
    options.token === undefined
      ? await found(mesh, components.log, options)
      : await join(mesh, options.token, components, options);
  await writeClusterFile(options.paths.cluster, cluster);
  return cluster;
}

async function found(
  mesh: JoinableMesh,
  log: Logger,
  { config }: FoundationOptions,
): Promise<ClusterFile> {
  const [authority, tokenKeyPem] = await Promise.all([createAuthority(), createTokenKey()]);
  const clusterId = randomUUID();
  log.info({ clusterId }, 'making a new cluster');
  return {
    clusterId,
    clusterCidr: config.clusterCidr,
    serviceCidr: config.serviceCidr,
    caCertificatePem: authority.certificatePem,
    caKeyPem: authority.keyPem,
    tokenKeyPem,
    node: config.nodeName,
    peer: mesh.self,
    members: [ownRecord(mesh, config)],
    founder: true,
    settled: false,
  };
}

async function join(
  mesh: JoinableMesh,
  token: string,
  { log, signal }: FoundationComponents,
  options: FoundationOptions,
): Promise<ClusterFile> {
  const { config, version } = options;
  const request = { ...ownRecord(mesh, config), version };
  const parsed = parseToken(token);
  log.info({ at: parsed.addresses }, 'joining the cluster');
  const grant: JoinGrant = parseGrant(
    await requestJoin(mesh, parsed, request, { deadlineMs: JOIN_DEADLINE_MS, signal }),
  );
  if (!authorityHash(grant.caCertificatePem).equals(parsed.caHash)) {
    throw new SkeinError(
      'not-admitted',
      'the cluster that answered has another authority than the token names; ask for a new token',
    );
  }
  const file = { ...grant, node: config.nodeName, peer: mesh.self, founder: false, settled: false };
  refuseOtherRanges(file, options);
  log.info({ clusterId: grant.clusterId, members: grant.members.length }, 'joined the cluster');
  return file;
}
