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
import { OUR_LEVELS } from '../consensus/versions.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { Registry } from '../lib/metrics.ts';
import type { Random } from '../lib/random.ts';
import { multicastBeacon } from '../mesh/beacon-socket.ts';
import { judgeClaim } from '../mesh/introduction.ts';
import { requestJoin } from '../mesh/join.ts';
import { parseToken } from '../mesh/join-token.ts';
import { createMesh, type JoinableMesh } from '../mesh/mesh.ts';
import { ClusterKey } from '../sealing/cluster-key.ts';
import { DEFAULT_KINDS, encodeRecord, newRecord } from '../sealing/record.ts';
import { createReplicatedStore } from '../store/replicated-store.ts';
import { SpaceQuota } from '../store/space-quota.ts';
import { StoreState } from '../store/state.ts';
import { registerStoreMetrics } from '../store/store-metrics.ts';
import type { Store, StoreReader } from '../store/types.ts';
import {
  type ClusterFile,
  type DataPaths,
  logDirectory,
  type MemberRecord,
  readClusterFile,
  writeClusterFile,
} from './data-dir.ts';
import { DiskRoom } from './disk-room.ts';
import { type JoinGrant, parseGrant } from './join-grant.ts';
import {
  clearMachineRecord,
  type MachineRecord,
  readMachineRecord,
  writeMachineRecord,
} from './machine-record.ts';
import { admissionOf, memberOfPeer, memberZones } from './members.ts';
import { identityFault, refusedError, wayBack } from './own-identity.ts';
import { clusterKeyOf } from './secrets/cluster-key.ts';
import type { NodeConfig, SettingKey } from './settings.ts';
import { readSuperseded, Supersession } from './superseded.ts';

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
  readonly clusterKey: ClusterKey;
  /** What `store` is a view of; for backups, and to see what of it is sealed on disk. */
  readonly state: StoreState;
  readonly supersession: Supersession;
  readonly quota: SpaceQuota;
  readonly diskRoom: DiskRoom;
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
      addressBook: paths.addresses,
      discovery:
        config.localDiscovery === 'off'
          ? undefined
          : { open: multicastBeacon({ interfaceAddress: config.advertiseAddress }) },
    },
  );
  try {
    const cluster = await settle(mesh, components, options);
    const directory = logDirectory(paths, cluster);
    const clusterKey = clusterKeyOf(cluster);
    const state = new StoreState({
      logger: log,
      clusterKey,
      monotonicMs: () => clock.monotonicMs(),
      historyAgeMs: config.historyMinutes * 60_000,
      historyBytesMax: config.historyMib * 1024 ** 2,
    });
    const founding = !cluster.settled && cluster.founder;
    if (founding) {
      const key = config.secretsEncryption ? clusterKey : undefined;
      state.found(encodeRecord(newRecord(key, DEFAULT_KINDS, clock.nowMs())));
    }
    const supersession = new Supersession();
    introduce(mesh, { cluster, state, supersession }, components, paths);
    mesh.admit(admissionOf(cluster.members, mesh.self, config.peers));
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
        bootstrap: founding,
        reads: config.reads,
        levels: { product: options.version },
        membership: { votersMax: config.votersMax, directory: () => memberZones(state) },
        onFatal,
      },
    );
    const quota = new SpaceQuota(state, { quotaBytes: config.storeQuotaMib * 1024 ** 2 });
    const diskRoom = new DiskRoom(
      { clock, log },
      {
        directory,
        reserveBytes: config.diskReserveMib * 1024 ** 2,
        onShort: () => void leaveToOthers(consensus, log),
      },
    );
    const gates = [quota, diskRoom];
    const store = createReplicatedStore({ state, consensus, clock, random, gates });
    registerStoreMetrics(metrics, { store, quota, diskRoom });
    await diskRoom.start();
    return { cluster, clusterKey, mesh, consensus, store, state, supersession, quota, diskRoom };
  } catch (error) {
    await mesh.stop();
    throw error;
  }
}

/** The leader's disk takes every write, its own and those forwarded: one that is nearly full should not lead. */
async function leaveToOthers(consensus: Consensus, log: Logger): Promise<void> {
  const { role, confState } = consensus.status();
  if (role !== 'leader' || confState.voters.length < 2) return;
  try {
    await consensus.transferLeadership();
  } catch (error) {
    log.warn(
      { error: messageOf(error) },
      'nobody could take over from a leader short of disk space',
    );
  }
}

/** This node's record for the others. */
export function ownRecord(mesh: JoinableMesh, config: NodeConfig, start?: number): MemberRecord {
  return {
    peer: mesh.self,
    node: config.nodeName,
    addresses: mesh.addresses(),
    api: `${config.advertiseAddress}:${config.apiPort}`,
    ...(start === undefined ? {} : { start, incarnation: mesh.incarnation }),
  };
}

function comeBack(
  file: ClusterFile,
  mesh: JoinableMesh,
  options: FoundationOptions,
  log: Logger,
): ClusterFile {
  const { config, paths, token } = options;
  if (file.peer !== mesh.self) {
    throw new SkeinError(
      'data-damaged',
      `${paths.identity} is the key of ${mesh.self}, but ${paths.cluster} belongs to ${file.peer}; put the key back, or ${wayBack(paths.root)}`,
    );
  }
  if (file.node !== config.nodeName) {
    throw new SkeinError(
      'config-invalid',
      `this node joined as "${file.node}" and cannot become "${config.nodeName}"; use --node-name ${file.node}, or, if ${paths.root} was copied from that node, delete it and join`,
    );
  }
  refuseOtherRanges(file, options);
  if (token !== undefined) {
    log.info({ cluster: file.clusterId }, 'already a member of a cluster; the token is not needed');
  }
  return file;
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

/** Finds, makes or is granted this node's place in a cluster, and counts the start. */
async function settle(
  mesh: JoinableMesh,
  components: FoundationComponents,
  options: FoundationOptions,
): Promise<ClusterFile> {
  const { paths, token } = options;
  const [existing, machine] = await Promise.all([
    readClusterFile(paths.cluster),
    readMachineRecord(paths.machine),
  ]);
  const log = logDirectory(paths, existing ?? {});
  const segments = await readdir(`${log}/wal`).catch(() => []);
  const fault = identityFault({
    root: paths.root,
    file: existing,
    machine,
    hasLog: segments.length > 0,
    joining: token !== undefined,
  });
  if (fault !== undefined) throw fault;
  const place = existing
    ? comeBack(existing, mesh, options, components.log)
    : token === undefined
      ? await found(mesh, components.log, options)
      : await join(mesh, token, machine, components, options);
  const starts = (place.starts ?? 0) + 1;
  const cluster = { ...place, starts, secretsKey: clusterKeyOf(place).toText() };
  // Both before anybody hears of this start: a number that was said once is never said again.
  await writeClusterFile(paths.cluster, cluster);
  const { clusterId, node, peer } = cluster;
  await writeMachineRecord(paths.machine, { clusterId, node, peer, start: starts }).catch(
    (error: unknown) =>
      components.log.warn({ error: messageOf(error) }, 'the machine cannot remember its node'),
  );
  return cluster;
}

/** Tells the mesh which start this is, and how to judge the starts of others: by the newest each has announced. */
function introduce(
  mesh: JoinableMesh,
  known: {
    readonly cluster: ClusterFile;
    readonly state: StoreReader;
    readonly supersession: Supersession;
  },
  { onFatal }: FoundationComponents,
  { root, machine }: DataPaths,
): void {
  const { cluster, state, supersession } = known;
  const announced = (peer: string) =>
    memberOfPeer(state, peer) ?? cluster.members.find((member) => member.peer === peer);
  mesh.introduce({
    start: cluster.starts ?? 0,
    judge: (peer, claim) => judgeClaim(claim, announced(peer)),
    stranger: (peer) =>
      readSuperseded(state, peer) && { kind: 'superseded', detail: cluster.clusterId },
    onRefused: (by, refusal) => {
      if (refusal.kind === 'superseded') return supersession.hear(refusal.detail);
      // Whoever we are, we are not that: the machine's own directory must not be taken for foreign next time.
      const forgotten = clearMachineRecord(machine).catch(() => {});
      void forgotten.then(() => onFatal(refusedError(root, by, refusal)));
    },
  });
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
    secretsKey: ClusterKey.generate().toText(),
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
  machine: MachineRecord | undefined,
  { log, signal }: FoundationComponents,
  options: FoundationOptions,
): Promise<ClusterFile> {
  const { config, version } = options;
  // A machine whose directory was wiped says who it was: that one cannot be alive any more.
  const former = machine === undefined ? {} : { former: machine.peer };
  const request = { ...ownRecord(mesh, config), version, levels: OUR_LEVELS, ...former };
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
