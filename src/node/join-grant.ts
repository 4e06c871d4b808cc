/**
 * What passes between a joining node and the member that lets it in: the request (who am I) and the grant
 * (the cluster's keys, settings and members). Both are checked field by field where they arrive.
 */

import type { Consensus } from '../consensus/types.ts';
import { FIRST_LEVELS, type LevelRange, levelFault, parseLevels } from '../consensus/versions.ts';
import { hasCode, messageOf, SkeinError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { ClusterKey } from '../sealing/cluster-key.ts';
import type { Store } from '../store/types.ts';
import type { ClusterFile, ClusterKeys, ClusterSettings, MemberRecord } from './data-dir.ts';
import { putMember, readMembers } from './members.ts';
import { isNodeName, NODE_NAME_RULE } from './node-name.ts';
import { clusterKeyOf } from './secrets/cluster-key.ts';

export type JoinRequest = MemberRecord & {
  readonly version: string;
  /** What the newcomer understands; the first release does not say. */
  readonly levels?: LevelRange;
  /** Whom the machine was before its data directory was lost. */
  readonly former?: string;
};

export type JoinGrant = ClusterSettings &
  ClusterKeys & { readonly members: readonly MemberRecord[] };

/** Keys and certificates; everything else is shorter. */
const TEXT_LENGTH_MAX = 64 * 1024;
const NAME_LENGTH_MAX = 256;
const ADDRESSES_MAX = 32;

function field(value: unknown, name: string, lengthMax = TEXT_LENGTH_MAX): string {
  const found = (value as Record<string, unknown> | null | undefined)?.[name];
  if (typeof found === 'string' && found.length > 0 && found.length <= lengthMax) return found;
  throw new SkeinError('not-admitted', `the join exchange lacks a valid "${name}"`);
}

function parseMember(value: unknown): MemberRecord {
  const addresses = (value as { addresses?: unknown } | null | undefined)?.addresses;
  const valid =
    Array.isArray(addresses) &&
    addresses.length <= ADDRESSES_MAX &&
    addresses.every((address) => typeof address === 'string' && address.length <= NAME_LENGTH_MAX);
  if (!valid) throw new SkeinError('not-admitted', 'the join exchange lacks valid "addresses"');
  return {
    peer: field(value, 'peer', NAME_LENGTH_MAX),
    node: field(value, 'node', NAME_LENGTH_MAX),
    api: field(value, 'api', NAME_LENGTH_MAX),
    addresses,
  };
}

/** The grant as a joining node got it. Throws not-admitted when it is not one. */
export function parseGrant(value: unknown): JoinGrant {
  const members = (value as { members?: unknown } | null | undefined)?.members;
  if (!Array.isArray(members)) throw new SkeinError('not-admitted', 'the grant names no members');
  return {
    clusterId: field(value, 'clusterId'),
    clusterCidr: field(value, 'clusterCidr'),
    serviceCidr: field(value, 'serviceCidr'),
    caCertificatePem: field(value, 'caCertificatePem'),
    caKeyPem: field(value, 'caKeyPem'),
    tokenKeyPem: field(value, 'tokenKeyPem'),
    ...secretsKeyOf(value),
    members: members.map(parseMember),
  };
}

/** Members of versions before cluster keys grant none. */
function secretsKeyOf(value: unknown): { readonly secretsKey?: string } {
  if ((value as { secretsKey?: unknown }).secretsKey === undefined) return {};
  const secretsKey = field(value, 'secretsKey', NAME_LENGTH_MAX);
  try {
    ClusterKey.fromText(secretsKey);
  } catch (cause) {
    const text = 'the join exchange lacks a valid "secretsKey"';
    throw new SkeinError('not-admitted', text, { cause });
  }
  return { secretsKey };
}

export type AcceptComponents = {
  readonly cluster: ClusterFile;
  readonly store: Store;
  readonly consensus: Pick<Consensus, 'addMember' | 'levels'>;
  readonly log: Logger;
  /** True if the process of a member answers now. */
  readonly isAlive: (peer: string) => Promise<boolean>;
  /** Removes a node as `skein remove` does. */
  readonly remove: (node: string) => Promise<unknown>;
};

/**
 * Lets a node in whose token was proved: its record goes into the replicated state, so that everybody admits
 * it, and it becomes a learner of the log. Its name may be that of a member that is dead, if it comes from the same
 * machine: then it takes its place. Otherwise throws not-admitted with the remedy when its name is taken.
 */
export async function acceptJoin(
  components: AcceptComponents,
  from: string,
  request: unknown,
): Promise<JoinGrant> {
  const { cluster, store, consensus, log } = components;
  const record = { ...parseMember(request), peer: from };
  if (!isNodeName(record.node)) {
    const text = `"${record.node}" is no valid node name: ${NODE_NAME_RULE}`;
    throw new SkeinError('not-admitted', text);
  }
  refuseOtherVersion(consensus.levels().level, request as Partial<JoinRequest>);
  const first = await putMember(store, record);
  if (first.kind === 'name-taken') {
    await replace(components, first.by, record, (request as Partial<JoinRequest>).former);
    const second = await putMember(store, record);
    if (second.kind === 'name-taken') throw nameTaken(second.by, 'somebody else took it meanwhile');
  }
  await consensus.addMember(from);
  log.info({ member: record.node, peer: from }, 'a node joined the cluster');
  const { clusterId, clusterCidr, serviceCidr, caCertificatePem, caKeyPem, tokenKeyPem } = cluster;
  return {
    clusterId,
    clusterCidr,
    serviceCidr,
    caCertificatePem,
    caKeyPem,
    tokenKeyPem,
    secretsKey: clusterKeyOf(cluster).toText(),
    members: readMembers(store),
  };
}

/**
 * A machine that lost its data directory comes back under a new identity; its name is held by the old one, that nobody
 * can bring back. It is removed like any dead member: refused where the others could not spare it.
 */
async function replace(
  { isAlive, remove, log }: AcceptComponents,
  old: MemberRecord,
  record: MemberRecord,
  former: unknown,
): Promise<void> {
  const sameMachine = former === old.peer || hostOf(old.api) === hostOf(record.api);
  if (!sameMachine) throw nameTaken(old, 'on another machine');
  if (await isAlive(old.peer)) throw nameTaken(old, 'and it is running');
  log.warn({ member: old.node, former: old.peer, peer: record.peer }, 'a node takes its old place');
  await remove(old.node).catch((cause: unknown) => {
    throw hasCode(cause, 'config-invalid') ? nameTaken(old, messageOf(cause), cause) : cause;
  });
}

/** Before it is let in: once a member, it could not follow, and the others would wait for it. */
function refuseOtherVersion(level: number, { version, levels }: Partial<JoinRequest>): void {
  const understood = parseLevels(levels) ?? FIRST_LEVELS;
  const fault = levelFault(level, understood, String(version ?? 'unknown'));
  if (fault !== undefined) throw new SkeinError('not-admitted', fault.message, { cause: fault });
}

function nameTaken(by: MemberRecord, why: string, cause?: unknown): SkeinError {
  return new SkeinError(
    'not-admitted',
    `the cluster has a node "${by.node}" already (${by.api}, ${why}); choose another --node-name, or remove the old one first: skein remove ${by.node}`,
    { cause },
  );
}

const hostOf = (api: string): string => api.slice(0, api.lastIndexOf(':'));
